// A cell in words: what the card shows, the tip says and a screen reader reads out.
import type { Matrix } from "../comparing";
import type { Cell } from "../draw/heatmap";
import { count, figure } from "../format";
import type { Side } from "../protocol";

export interface Pair {
  readonly row: Side;
  readonly column: Side;
  /** "0.627 ± 0.012", or "no value". */
  readonly value: string;
  /** Of a directed measure: the same weighted by the column's layer. */
  readonly reverse: string | null;
  /** Why there is no value. */
  readonly reason: string | null;
}

export function pairAt(found: Matrix, { row, column }: Cell): Pair | null {
  const [a, b] = [found.rows[row], found.columns[column]];
  if (!a || !b) return null;
  const at = row * found.columns.length + column;
  const value = found.matrix[at] as number;
  if (Number.isNaN(value)) {
    const reason = a.reason ?? b.reason ?? found.mismatch;
    return { row: a, column: b, value: "no value", reverse: null, reason };
  }
  const spread = found.stderr[at] as number;
  const error = Number.isNaN(spread) ? "" : ` ± ${figure(spread)}`;
  const reverse = found.reverse ? figure(found.reverse[at]) : null;
  return { row: a, column: b, value: figure(value) + error, reverse, reason: null };
}

export const nameOfSide = ({ key, kind }: Side): string => key || kind;

/** "Conv2d, 16×32×32": of one sample. */
export function sideInWords({ kind, shape, same_as }: Side): string {
  const sides = shape.length ? `, ${shape.join("×")}` : "";
  return kind + sides + (same_as === null ? "" : `, the same tensor as ${same_as}`);
}

/** The column that is most like a row, itself and its twins left out. */
export function closest(found: Matrix, values: Float32Array, row: number, identical: number) {
  const own = found.rows[row];
  const alone = found.comparison === "self";
  let best = -1;
  found.columns.forEach((column, index) => {
    const value = values[row * found.columns.length + index] as number;
    if (Number.isNaN(value)) return;
    const twin = (own?.same_as ?? own?.key) === (column.same_as ?? column.key);
    if (alone && twin) return;
    const before = best < 0 ? Number.NaN : (values[row * found.columns.length + best] as number);
    if (best < 0 || (identical === 0 ? value < before : value > before)) best = index;
  });
  return best < 0 ? null : { row, column: best };
}

/** "3 of 8 batches"; "3 batches" where it is not known how many there are. */
export function batchesInWords({ done, total }: Matrix): string {
  const of = total ? ` of ${count(total)}` : "";
  return `${count(done)}${of} ${(total || done) === 1 ? "batch" : "batches"}`;
}
