// Sparsity at any eps, from the counts the kernel sent once: no request while the slider moves.
import type { Bar } from "./draw/bars";
import type { Entropy, LayerInfo, Row } from "./protocol";

/** Index of the grid value nearest to eps on a log scale. */
export function nearestIndex(grid: readonly number[], eps: number): number {
  let best = 0;
  grid.forEach((value, index) => {
    const distance = Math.abs(Math.log(value / eps));
    if (distance < Math.abs(Math.log((grid[best] as number) / eps))) best = index;
  });
  return best;
}

const same = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.abs(b);

/**
 * Share of sparse filters at eps: exact where the kernel measured at this eps or eps lies on the
 * grid, else on the straight line between its neighbours (until the kernel has answered).
 */
export function sparsityAt(row: Row, eps: number, grid: readonly number[]): number | null {
  if (same(row.eps, eps) || row.n === 0 || row.curve.length !== grid.length) return row.sparsity;
  if (row.sparsity === null) return null;
  const above = grid.findIndex((value) => value > eps || same(value, eps));
  const at = (index: number) => (row.curve[index] as number) / row.n;
  if (above === -1) return at(grid.length - 1);
  const high = grid[above] as number;
  if (above === 0 || same(high, eps)) return at(above);
  const low = grid[above - 1] as number;
  const part = Math.log(eps / low) / Math.log(high / low);
  return at(above - 1) + part * (at(above) - at(above - 1));
}

/** Sparse filters at eps, to be shown as a count. */
export function sparseCount(row: Row, eps: number, grid: readonly number[]): number | null {
  const share = sparsityAt(row, eps, grid);
  return share === null ? null : Math.round(share * row.n);
}

const FIELD = {
  normalized: "variance_entropy_normalized",
  raw: "variance_entropy",
  clean: "variance_entropy_clean_normalized",
} as const;

/** The entropy a mode shows, or why there is none. */
export function entropyOf(row: Row, mode: Entropy): { value: number | null; why: string } {
  const field = FIELD[mode];
  const value = row[field];
  if (value !== null) return { value, why: "" };
  // T_H is defined for 3 x 3 only; the value expected of random filters says the same for the rest.
  const { variance_entropy: raw, entropy_of_random: random } = row;
  if (mode === "normalized" && raw !== null && random !== null && random > 0) {
    return { value: raw / random, why: "" };
  }
  return { value: null, why: row.omitted[field] ?? row.reason ?? "not measured" };
}

/** What the charts draw of a layer. */
export function toBar(
  layer: LayerInfo,
  row: Row | undefined,
  eps: number,
  mode: Entropy,
  grid: readonly number[],
): Bar {
  const none = { entropy: null, sparsity: null, threshold: null };
  if (layer.reason !== null || (row && row.reason !== null)) return { state: "unscored", ...none };
  if (!row) return { state: "loading", ...none };
  return {
    state: "ready",
    entropy: entropyOf(row, mode).value,
    sparsity: sparsityAt(row, eps, grid),
    threshold: row.random_threshold,
  };
}
