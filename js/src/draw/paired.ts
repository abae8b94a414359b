// The reference's bars beside the model's: hollow, so that nothing hangs on colour.
import type { Bar } from "./bars";
import type { Colors } from "./colors";
import { fitMiddle, widthOf, write } from "./text";

export interface ReferenceBars {
  /** In the order of the model's; null where there is none to draw. */
  readonly bars: readonly (Bar | null)[];
  /** Of the model, and of the reference. */
  readonly titles: readonly [string, string];
}

type Scale = (value: number) => number;

/** Narrower slots have room for one bar: the reference is a line across it. */
const ROOM = 9;

/** How much of a slot the model's bar takes. */
export const ownWidth = (width: number): number =>
  width < ROOM ? width : Math.round(width * 0.62);

/** `slot`: left end and width of what both have together. */
export function drawReference(
  context: CanvasRenderingContext2D,
  { entropy, sparsity }: Bar,
  slot: { x: number; width: number },
  y: { entropy: Scale; sparsity: Scale },
  strong: boolean,
  colors: Colors,
): void {
  for (const [value, scale, color] of [
    [entropy, y.entropy, colors.entropy],
    [sparsity, y.sparsity, colors.sparse],
  ] as const) {
    if (value === null) continue;
    const { x, width } = slot;
    const base = scale(0);
    const top = Math.min(base - 1, scale(value));
    if (width < ROOM) {
      context.fillStyle = colors.bg;
      context.fillRect(x - 0.5, top - 1.5, width + 1, 3);
      context.fillStyle = colors.fg;
      context.fillRect(x - 0.5, top - 0.5, width + 1, 1);
      continue;
    }
    const left = x + ownWidth(width) + 1.5;
    const right = x + width - 0.5;
    context.globalAlpha = strong ? 0.16 : 0.08;
    context.fillStyle = color;
    context.fillRect(left, top, right - left, base - top);
    context.globalAlpha = strong ? 1 : 0.7;
    context.strokeStyle = color;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(left, base);
    context.lineTo(left, top + 0.5);
    context.lineTo(right, top + 0.5);
    context.lineTo(right, base);
    context.stroke();
  }
  context.globalAlpha = 1;
}

const LONGEST = 120;
const SWATCH = 9;

/** Which bar is whose, from `least` to `right`, where that has the room; gives where it begins. */
export function drawLegend(
  context: CanvasRenderingContext2D,
  { titles }: ReferenceBars,
  least: number,
  right: number,
  y: number,
  colors: Colors,
): number {
  const all = titles.map((title) => fitMiddle(context, title, LONGEST, 11));
  const begin = all.reduce((x, words) => x - widthOf(context, words) - SWATCH - 17, right);
  if (begin < least) return right;
  let x = right;
  for (const [index, words] of [...all.entries()].reverse()) {
    write(context, words, x, y, { color: colors.muted, align: "right" });
    x -= widthOf(context, words) + SWATCH + 5;
    context.fillStyle = context.strokeStyle = colors.muted;
    context.lineWidth = 1;
    if (index === 0) context.fillRect(x, y - 8, SWATCH, 8);
    else context.strokeRect(x + 0.5, y - 7.5, SWATCH - 1, 7);
    x -= 12;
  }
  return x;
}
