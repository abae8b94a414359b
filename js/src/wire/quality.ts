// What is measured of each layer.

export type Tone = "good" | "warn" | "bad" | "none";

/** One layer's quality: `LayerQuality.to_json()` with its curve and verdict. */
export interface Row {
  key: string;
  n: number;
  kernel: number[];
  eps: number;
  sparsity: number | null;
  variance_entropy: number | null;
  variance_entropy_normalized: number | null;
  variance_entropy_clean: number | null;
  variance_entropy_clean_normalized: number | null;
  entropy_of_random: number | null;
  random_threshold: number | null;
  p_random: number | null;
  orthogonality: number | null;
  orthogonality_excluded: number | null;
  l1: number | null;
  l2: number | null;
  max_abs: number | null;
  exact_zeros: number | null;
  dead_outputs: number | null;
  dead_inputs: number | null;
  out: number;
  inputs: number;
  explained_variance: number[];
  reason: string | null;
  /** Field -> why it is null. */
  omitted: Record<string, string>;
  /** Sparse filters at each value of `Structure.eps_grid`. */
  curve: number[];
  verdict: { title: string; text: string; tone: Tone };
}

export interface Summary {
  eps: number;
  revision: number;
  rows: Row[];
}
