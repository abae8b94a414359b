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
  /** Those that can be asked for before anything is known of it. */
  groups: [name: string, title: string][];
  /** It is so large that it is read only when a person asks for it. */
  asks: boolean;
}

/** One layer; the last row is all of them together. null where there is no value. */
export interface Drifted {
  key: string;
  drift: number | null;
  /** What noise makes: on average, and once in a hundred times. */
  floor: number | null;
  floor_high: number | null;
  noise: boolean;
  sparsity: number | null;
  entropy: number | null;
  /** The place in `others` of what it is compared with, and what that is called. */
  beside: number;
  legend: string;
  /** Its figures, line by line; and where it stands. */
  said: string[];
  sentences: [stands: string, drift: string];
}

export interface DriftHeaders {
  drift: DriftAsked & {
    revision: number;
    done: number;
    total: number | null;
    /** What it is compared with, in a word, and who made that. */
    other: string;
    made: string;
    /** Those that can be asked for, and what they are. */
    groups: [name: string, title: string][];
    /** Of drift, entropy and sparsity, each in several lengths, the longest first. */
    titles: string[][];
    /** What the hatching and the band are. */
    signs: [noise: string, band: string];
    rows: Drifted[];
    /** Where the curves begin and end. */
    span: [low: number, high: number];
    about: string;
    /** How it is computed: the formula first. */
    how: string[];
    /** Layers that are not compared, and why. */
    missing: [key: string, why: string][];
  };
}

export interface DriftReplies {
  drift: {
    /** Densities (rows, components, points), NaN of no filters; `others` of what `beside` says. */
    curves: Float32Array;
    others: Float32Array;
    /** (rows, components): what each adds to the drift. */
    parts: Float32Array;
    /** (2, layers, 3): sparsity and entropy at the depth of each layer; low, median, high. */
    bands: Float32Array;
    /** (2 or 1, components, taps), and the share of the variance: of the summary, of the model. */
    components: Float32Array;
    explained: Float32Array;
  };
}
