import { figure, percent, weight } from "../format";

/** Figures of a layer over training: what they are called, and how they are written. */
export const TRENDS: Readonly<Record<string, readonly [string, (value: number) => string]>> = {
  variance_entropy: ["entropy", figure],
  sparsity: ["sparsity", percent],
  exact_zeros: ["exact zeros", percent],
  l2: ["norm", weight],
  cka_first: ["CKA to first", figure],
  cka_last: ["CKA to last", figure],
};
