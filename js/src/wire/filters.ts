// The wire of one layer's weights: how they are spread, and the filters themselves, page by page.

export interface FilterParams {
  distribution: { layer: string };
  filters: { layer: string; start: number };
  cluster: { layer: string; start: number };
}

export interface FilterHeaders {
  distribution: {
    layer: string;
    low: number;
    high: number;
    peak_low: number;
    peak_high: number;
    n: number;
  };
  filters: {
    layer: string;
    start: number;
    stop: number;
    out: number;
    inputs: number;
    kernel: number[];
    max_abs: number | null;
    /** Outputs in a full page: the next page starts at `start + page`. */
    page: number;
  };
  cluster: { layer: string; start: number; k: number };
}

export interface FilterReplies {
  distribution: { weights: Uint32Array; peaks: Uint32Array };
  filters: {
    weights: Float32Array;
    eigenimages: Float32Array;
    explained: Float32Array;
    mean: Float32Array;
  };
  cluster: { labels: Uint8Array };
}
