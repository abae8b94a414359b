// The wire of one layer's weights: how they are spread, and the filters themselves, page by page.

export interface FilterParams {
  distribution: { layer: string };
  filters: { layer: string; start: number };
  filters_exact: { layer: string; reading: number };
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
    /** Of a page with `upper`: what to ask for the rest with. */
    reading?: number;
  };
  filters_exact: { layer: string };
  cluster: { layer: string; start: number; k: number };
}

export interface FilterReplies {
  distribution: { weights: Uint32Array; peaks: Uint32Array };
  filters: {
    /** Missing where `upper` has half of it. */
    weights?: Float32Array;
    /** The upper 16 bits of each weight of a large layer. */
    upper?: Uint16Array;
    eigenimages: Float32Array;
    explained: Float32Array;
    mean: Float32Array;
  };
  /** The lower 16 bits of each weight, or all of it where weights have changed. */
  filters_exact: { lower?: Uint16Array; weights?: Float32Array };
  cluster: { labels: Uint8Array };
}
