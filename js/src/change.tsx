// How a figure of the model differs from the reference's: in words, and as a mark on a bar.
import { figure, percent } from "./format";
import type { Row } from "./protocol";
import type { Store } from "./state";

/** "0.038 less", "the same". */
export function changeInWords(change: number, text: (size: number) => string): string {
  const size = text(Math.abs(change));
  if (size === text(0)) return "the same";
  return `${size} ${change > 0 ? "more" : "less"}`;
}

/** Shares differ by points: "2.3 % more" could be taken for a share of the other. */
export const points = (share: number): string => {
  const size = percent(Math.round(share * 1e4) / 1e4).replace(" %", "");
  return `${size} ${size === "1" ? "point" : "points"}`;
};

/** "int8 0.850: 0.038 less"; "" where one of both has no value. */
export function besideInWords(
  store: Store,
  layer: string,
  of: (row: Row) => number | null,
  kind: "share" | "figure" = "figure",
  digits = 3,
): string {
  const { pairing } = store;
  const change = pairing.change(layer, of);
  const row = pairing.rows.value.get(layer);
  if (change === null || !row) return "";
  const fixed = (value: number | null) => figure(value, digits);
  const [text, size] = kind === "share" ? [percent, points] : [fixed, fixed];
  return `${pairing.title.value} ${text(of(row))}: ${changeInWords(change, size)}`;
}

interface Props {
  /** In percent of the bar. */
  now: number;
  before: number;
  /** In the unit of the figure. */
  change: number;
}

/** Smaller changes are told, and not marked. */
const MARKED = 0.005;

/** What a bar gained (striped, at its end) or lost (dashed, behind it), and which way it went. */
export function ChangeMark({ now, before, change }: Props) {
  if (Math.abs(change) < MARKED) return null;
  const more = change > 0;
  const [left, right] = [now, before].map((at) => Math.max(0, Math.min(100, at))).sort(upwards);
  const width = Math.max(4, (right as number) - (left as number));
  const from = Math.min(more ? now - width : now, 100 - width);
  return (
    <>
      <s class={more ? "cl-more" : "cl-less"} style={{ left: `${from}%`, width: `${width}%` }} />
      <b />
    </>
  );
}

const upwards = (a: number, b: number) => a - b;
