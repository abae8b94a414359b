/** Figures that can be followed over training, and what they are called. */
export const TRENDS: Readonly<Record<string, string>> = {
  entropy: "entropy",
  sparsity: "sparsity",
  exact_zeros: "exact zeros",
  l2: "norm",
  cka_first: "CKA to first",
};
