// What is said of drift: every layer's filters against those of a summary, a database, a model.

export type DriftAgainst = "shipped" | "database" | "reference";

export interface DriftParams {
  drift: DriftAsked;
}

export interface DriftAsked {
  against: string;
  /** "all", "depth" (of each layer those at its depth), or a group of the summary. */
  group: string;
}

/** What a model can be compared with. */
export interface DriftSource {
  name: DriftAgainst;
  title: string;
  /** It is so large that it is read only when a person asks for it. */
  asks: boolean;
}

/** One layer; the last row is all of them together. */
export interface Drifted {
  key: string;
  /** From 0 to 1; null of all layers. */
  depth_norm: number | null;
  n: number;
  left_out: number;
  /** null of no filters, here or in the group. */
  drift: number | null;
  /** What noise makes: on average, and once in a hundred times. */
  floor: number | null;
  floor_high: number | null;
  /** How often noise alone makes as much. */
  p: number | null;
  noise: boolean;
  sparsity: number | null;
  entropy: number | null;
  /** Share of the layers at this depth with less. */
  sparsity_rank: number | null;
  entropy_rank: number | null;
  /** What it is compared with. */
  group: string;
  text: string;
}

export interface DriftHeaders {
  drift: DriftAsked & {
    revision: number;
    done: number;
    total: number | null;
    /** Of what it is compared with. */
    title: string;
    models: number;
    filters: number;
    /** Those that can be asked for, and those that `others` has. */
    groups: string[];
    shown: string[];
    rows: Drifted[];
    /** Layers at the depth of each layer. */
    beside: number[];
    /** Where the histograms begin and end. */
    span: [low: number, high: number];
    /** Layers that are not compared, and why. */
    missing: [key: string, why: string][];
    notes: string[];
  };
}

/** Of histograms (rows, components, bins). */
export interface DriftReplies {
  drift: {
    counts: Uint32Array;
    others: Uint32Array;
    /** (rows, components): what each adds to the drift. */
    parts: Float32Array;
    /** (2, layers, 3): sparsity and entropy at the depth of each layer; low, median, high. */
    bands: Float32Array;
    /** (2 or 1, components, taps), and the share of the variance: of the summary, of the model. */
    components: Float32Array;
    explained: Float32Array;
  };
}
