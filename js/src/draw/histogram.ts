// The two histograms of a layer: its weights, and the largest weight of each filter.
import { percent, weight } from "../format";
import type { Distribution } from "../load";
import type { Colors } from "./colors";
import { fitMiddle, widthOf, write } from "./text";

const TITLE = 20;
const FOOT = 16;

/** All weights of the layer, symmetric about zero. */
export function drawWeights(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  own: Distribution,
  colors: Colors,
  reference: Distribution | null = null,
  named = "",
): void {
  const plot = { top: TITLE, bottom: height - FOOT };
  const high = Math.max(own.high, reference?.high ?? 0);
  const low = -high;
  const [mine, theirs] = [own, reference].map(
    (of) => of && spreadOf(of.weights, of.low, of.high, { low, high, width }),
  ) as [Spread, Spread | null];
  const most = Math.max(mine.most, theirs?.most ?? 0);
  write(context, "Weights", 0, 11, { color: colors.fg, weight: 600 });
  const x = widthOf(context, "Weights", 11, 600) + 12;
  const words = fitMiddle(context, named, width - x - 18, 11);
  if (reference && x + 18 + widthOf(context, words) <= width) {
    // a line as the outline is
    context.fillStyle = colors.fg;
    context.fillRect(x, 7, 12, 1.1);
    write(context, words, x + 18, 11, { color: colors.muted });
  }
  context.globalAlpha = 0.75;
  columns(context, mine, most, plot, () => colors.entropy);
  context.globalAlpha = 1;
  if (theirs) outline(context, theirs, most, plot, colors);
  base(context, width, plot.bottom, colors);
  const y = height - 3;
  const marks: Mark[] = [
    [weight(low), 0, "left"],
    [weight(high), width, "right"],
    ["0", width / 2, "center"],
  ];
  label(context, marks, y, colors);
}

/** The largest weight of each filter, of the layer's largest, on a log scale; those below eps are sparse. */
export function drawPeaks(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  { peaks, peak_low: low, peak_high: high }: Distribution,
  eps: number,
  sparse: string,
  colors: Colors,
  reference: Distribution | null = null,
): void {
  const plot = { top: TITLE, bottom: height - FOOT };
  const titles = ["Largest weight of each filter", "Largest per filter", "Largest"];
  const title = titles.find((text) => widthOf(context, text, 11, 600) <= width) ?? "";
  write(context, title, 0, 11, { color: colors.fg, weight: 600 });
  const limit = Math.log10(eps);
  const binWidth = (high - low) / peaks.length;
  const place = { low, high, width };
  const mine = spreadOf(peaks, low, high, place);
  const theirs = reference && spreadOf(reference.peaks, low, high, place);
  const most = Math.max(mine.most, theirs?.most ?? 0);
  context.globalAlpha = 0.75;
  columns(context, mine, most, plot, (bin) =>
    low + (bin + 0.5) * binWidth < limit ? colors.sparse : colors.entropy,
  );
  context.globalAlpha = 1;
  if (theirs) outline(context, theirs, most, plot, colors);
  base(context, width, plot.bottom, colors);
  const x = ((limit - low) / (high - low)) * width;
  context.fillStyle = colors.fg;
  context.fillRect(Math.round(x), plot.top - 2, 1, plot.bottom - plot.top + 2);
  // The words stand on whichever side of the line has the room.
  const room = widthOf(context, sparse) + 6;
  const left = x < room;
  const at = left ? x + 5 : x - 5;
  const align = left ? "left" : "right";
  const style = { color: colors.fg, align } as const;
  if (!left || width - x >= room) write(context, sparse, at, plot.top + 8, style);
  const marks: Mark[] = [];
  for (let power = Math.ceil(low); power <= high; power += 2) {
    const place = ((power - low) / (high - low)) * width;
    const side = power === low ? "left" : power === high ? "right" : "center";
    const text = percent(10 ** power);
    const mark: Mark = [power === low ? `≤ ${text}` : text, place, side];
    if (side === "center") marks.push(mark);
    else marks.unshift(mark);
  }
  label(context, marks, height - 3, colors);
}

type Mark = readonly [text: string, x: number, align: CanvasTextAlign];

/** Labels of an axis, the most important first: one that would touch one before it is left out. */
function label(
  context: CanvasRenderingContext2D,
  marks: readonly Mark[],
  y: number,
  colors: Colors,
): void {
  const placed: [number, number][] = [];
  for (const [text, x, align] of marks) {
    const wide = widthOf(context, text);
    const from = x - (align === "left" ? 0 : align === "right" ? wide : wide / 2);
    const to = from + wide + 8;
    if (placed.some(([a, b]) => from < b && a < to)) continue;
    placed.push([from, to]);
    write(context, text, x, y, { color: colors.muted, align });
  }
}

/** A histogram laid onto an axis: bins of another one may be of another width. */
interface Spread {
  /** Share of all in each pixel of a bin: what histograms of other bins compare by. */
  heights: Float64Array;
  most: number;
  /** CSS pixels at which the first bin begins, and of each. */
  left: number;
  step: number;
}

function spreadOf(
  counts: Uint32Array,
  from: number,
  to: number,
  { low, high, width }: { low: number; high: number; width: number },
): Spread {
  // all weights are zero: all in the middle of an axis without a length
  const scale = high > low ? width / (high - low) : 0;
  const [left, step] = scale
    ? [(from - low) * scale, ((to - from) * scale) / counts.length]
    : [0, width / counts.length];
  const total = counts.reduce((sum, value) => sum + value, 0) || 1;
  const heights = Float64Array.from(counts, (value) => (step > 0 ? value / total / step : 0));
  return { heights, most: Math.max(...heights), left, step };
}

function columns(
  context: CanvasRenderingContext2D,
  { heights, left, step }: Spread,
  most: number,
  { top, bottom }: { top: number; bottom: number },
  color: (bin: number) => string,
): void {
  const gap = step > 5 ? 1.5 : step > 2.5 ? 0.75 : 0;
  heights.forEach((value, bin) => {
    if (value === 0) return;
    const height = Math.max(1, ((bottom - top) * value) / most);
    context.fillStyle = color(bin);
    context.fillRect(left + bin * step, bottom - height, Math.max(0.5, step - gap), height);
  });
}

/** The reference's, as a line of steps. */
function outline(
  context: CanvasRenderingContext2D,
  { heights, left, step }: Spread,
  most: number,
  { top, bottom }: { top: number; bottom: number },
  colors: Colors,
): void {
  context.beginPath();
  context.moveTo(left, bottom);
  heights.forEach((value, bin) => {
    const y = bottom - ((bottom - top) * value) / most;
    context.lineTo(left + bin * step, y);
    context.lineTo(left + (bin + 1) * step, y);
  });
  context.lineTo(left + heights.length * step, bottom);
  context.lineJoin = "round";
  for (const [color, width] of [
    [colors.bg, 3],
    [colors.fg, 1.1],
  ] as const) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.globalAlpha = color === colors.bg ? 0.6 : 0.85;
    context.stroke();
  }
  context.globalAlpha = 1;
}

function base(context: CanvasRenderingContext2D, width: number, y: number, colors: Colors): void {
  context.fillStyle = colors.edge;
  context.fillRect(0, y, width, 1);
}
