// The two bar charts over depth: pure geometry and drawing, no state and no DOM.
import type { Entropy } from "../protocol";
import type { Stage } from "../stages";
import type { Colors } from "./colors";
import { drawLegend, drawReference, ownWidth, type ReferenceBars } from "./paired";
import { fitMiddle, widthOf, write } from "./text";

export interface Bar {
  state: "ready" | "loading" | "unscored";
  entropy: number | null;
  sparsity: number | null;
  /** Raw entropy at which filters pass for random ones. */
  threshold: number | null;
}

export interface BarsData {
  bars: readonly Bar[];
  stages: readonly Stage[];
  selected: number;
  hovered: number;
  mode: Entropy;
  guides: { good: number; random: number; redundant: number };
  /** Each in several lengths, the longest first. */
  entropyTitle: readonly string[];
  sparsityTitle: readonly string[];
  /** Where the axis of sparsity ends at least. */
  sparsityLeast?: number;
  /** Beside the model's. */
  reference?: ReferenceBars | null;
}

export interface Axis {
  max: number;
  ticks: readonly number[];
}

export interface BarsLayout {
  width: number;
  left: number;
  right: number;
  /** Width of a layer's slot, its gap included. */
  step: number;
  gap: number;
  entropy: { top: number; bottom: number };
  sparsity: { top: number; bottom: number };
  axisY: number;
}

const RAW = "what random filters have";
const LEFT = 44;
const GUTTER = 76;
const TITLE = 22;
const FOOT = 28;

/** Room for the words at the right of the guide lines only where the chart is wide enough. */
const gutter = (width: number): number => (width >= 460 ? GUTTER : 6);

export function layoutBars(width: number, height: number, count: number): BarsLayout {
  const left = LEFT;
  const right = Math.max(left + 40, width - gutter(width));
  const plots = Math.max(80, height - 2 * TITLE - FOOT - 12);
  const entropyHeight = Math.round(plots * 0.64);
  const entropyBottom = TITLE + entropyHeight;
  const sparsityTop = entropyBottom + 12 + TITLE;
  const sparsityBottom = sparsityTop + plots - entropyHeight;
  const step = (right - left) / Math.max(1, count);
  return {
    width,
    left,
    right,
    step,
    gap: step > 14 ? 6 : step > 6 ? 2 : step > 3 ? 1 : 0,
    entropy: { top: TITLE, bottom: entropyBottom },
    sparsity: { top: sparsityTop, bottom: sparsityBottom },
    axisY: sparsityBottom + 8,
  };
}

/** Index of the layer at x, or -1. */
export function barAt(
  { left, step, right }: Pick<BarsLayout, "left" | "step" | "right">,
  x: number,
  count: number,
): number {
  if (x < left || x > right || count === 0) return -1;
  return Math.min(count - 1, Math.floor((x - left) / step));
}

/** An axis from 0 that ends at a round number above the largest value. */
export function sparsityAxis(bars: readonly Bar[], least = 0): Axis {
  const largest = Math.max(least, ...bars.map((bar) => bar.sparsity ?? 0));
  const max = [0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1].find((round) => largest <= round * 1.02) ?? 1;
  return { max, ticks: [0, max / 2, max] };
}

export function entropyAxis(data: Pick<BarsData, "bars" | "mode" | "guides" | "reference">): Axis {
  const all = [...data.bars, ...(data.reference?.bars ?? [])];
  const largest = Math.max(0, ...all.map((bar) => bar?.entropy ?? 0));
  if (data.mode !== "raw") {
    const { good, random, redundant } = data.guides;
    return { max: Math.max(1.15, largest * 1.05), ticks: [0, random, redundant, good] };
  }
  const thresholds = data.bars.map((bar) => bar.threshold ?? 0);
  const top = Math.max(largest, ...thresholds, 0.5);
  const unit = top > 1.2 ? 0.5 : 0.25;
  const ticks = Array.from({ length: Math.floor(top / unit) + 1 }, (_, index) => index * unit);
  return { max: top * 1.1, ticks };
}

export function drawBars(
  context: CanvasRenderingContext2D,
  layout: BarsLayout,
  data: BarsData,
  colors: Colors,
): void {
  const entropy = entropyAxis(data);
  const sparsity = sparsityAxis(data.bars, data.sparsityLeast);
  const y1 = scale(layout.entropy, entropy.max);
  const y2 = scale(layout.sparsity, sparsity.max);
  const { reference } = data;
  const { left, right } = layout;
  // rather the title alone than less than its shortest
  const least = left + widthOf(context, data.entropyTitle.at(-1) ?? "", 11, 600);
  // in raw mode the end of the line says what the marks are
  const before = right - widthOf(context, RAW) - 36;
  const end = data.mode === "raw" && before >= least ? before : right;
  const room = reference
    ? drawLegend(context, reference, least, end, layout.entropy.top - 9, colors)
    : end;
  title(context, data.entropyTitle, layout.entropy.top, { left, right: room }, colors);
  title(context, data.sparsityTitle, layout.sparsity.top, layout, colors);
  if (data.mode !== "raw") bands(context, layout, data, y1, colors);
  grid(context, layout, entropy, y1, (tick) => String(Number(tick.toFixed(2))), colors);
  grid(context, layout, sparsity, y2, (tick) => `${Number((tick * 100).toFixed(1))} %`, colors);

  data.bars.forEach((bar, index) => {
    const x = layout.left + index * layout.step + layout.gap / 2;
    const width = Math.max(0.75, layout.step - layout.gap);
    const strong = index === data.selected || index === data.hovered;
    context.globalAlpha = strong ? 1 : 0.58;
    if (bar.state === "loading") loading(context, layout, x, width, index, colors);
    else if (bar.state === "unscored") unscored(context, layout, x, width, colors);
    else {
      const own = reference ? ownWidth(width) : width;
      column(context, x, own, y1, bar.entropy, colors.entropy, colors.edge);
      column(context, x, own, y2, bar.sparsity, colors.sparse, colors.edge);
    }
    context.globalAlpha = 1;
    const beside = reference?.bars[index];
    if (beside)
      drawReference(context, beside, { x, width }, { entropy: y1, sparsity: y2 }, strong, colors);
    if (data.mode === "raw" && bar.threshold !== null) {
      context.fillStyle = colors.fg;
      context.fillRect(x, Math.round(y1(bar.threshold)), width, 1);
    }
  });
  if (end < right) rawLegend(context, layout, colors);
  depthAxis(context, layout, data.stages, colors);
  frame(context, layout, data.selected, colors.accent);
}

export type Scale = (value: number) => number;

function scale({ top, bottom }: { top: number; bottom: number }, max: number): Scale {
  return (value) => bottom - ((bottom - top) * Math.min(value, max)) / max;
}

export function title(
  context: CanvasRenderingContext2D,
  texts: readonly string[],
  top: number,
  { left, right }: Pick<BarsLayout, "left" | "right">,
  colors: Colors,
): void {
  const room = right - left;
  const fits = texts.find((text) => widthOf(context, text, 11, 600) <= room);
  const fitted = fits ?? fitMiddle(context, texts.at(-1) ?? "", room, 11, 600);
  write(context, fitted, left, top - 9, { color: colors.fg, weight: 600 });
}

function bands(
  context: CanvasRenderingContext2D,
  layout: BarsLayout,
  { guides }: BarsData,
  y: Scale,
  colors: Colors,
): void {
  const { left, right, entropy } = layout;
  const fill = (from: number, to: number, color: string) => {
    context.globalAlpha = 0.08;
    context.fillStyle = color;
    context.fillRect(left, from, right - left, to - from);
    context.globalAlpha = 1;
  };
  fill(entropy.top, y(guides.random), colors.bad);
  fill(y(guides.random), y(guides.good), colors.good);
  fill(y(guides.redundant), entropy.bottom, colors.sparse);
  if (right - left < 380) return;
  const word = (text: string, at: number) =>
    write(context, text, right + 8, at, { color: colors.muted, baseline: "middle" });
  // The words stand beside their bands, and keep apart where the bands are low.
  const diverse = (y(guides.random) + y(guides.good)) / 2;
  const random = Math.min((entropy.top + y(guides.random)) / 2, diverse - 13);
  word("like random", Math.max(random, entropy.top + 2));
  word("diverse", Math.max(diverse, entropy.top + 15));
  word("redundant", (y(guides.redundant) + entropy.bottom) / 2);
}

export function grid(
  context: CanvasRenderingContext2D,
  { left, right }: Pick<BarsLayout, "left" | "right">,
  { ticks }: Pick<Axis, "ticks">,
  y: Scale,
  label: (tick: number) => string,
  colors: Colors,
): void {
  const labelled: number[] = [];
  for (const tick of ticks) {
    const at = Math.round(y(tick));
    context.fillStyle = tick === 0 ? colors.edge : colors.line;
    context.fillRect(left, at, right - left, 1);
    // A label that would touch one before it is left out; its line stays.
    if (labelled.some((other) => Math.abs(other - at) < 11)) continue;
    labelled.push(at);
    const style = { color: colors.muted, align: "right", baseline: "middle" } as const;
    write(context, label(tick), left - 7, at + 0.5, style);
  }
}

function column(
  context: CanvasRenderingContext2D,
  x: number,
  width: number,
  y: Scale,
  value: number | null,
  color: string,
  none: string,
): void {
  const base = y(0);
  if (value === null) {
    // No value by nature (1 x 1 filters have no entropy): a dotted foot, told on hover.
    context.fillStyle = none;
    for (let at = x; at < x + width - 1; at += 4) context.fillRect(at, base - 4, 2, 2);
    return;
  }
  const top = Math.min(base - 1, y(value));
  context.fillStyle = color;
  context.beginPath();
  const radius = Math.min(2, width / 3);
  context.roundRect(x, top, width, base - top, [radius, radius, 0, 0]);
  context.fill();
}

function loading(
  context: CanvasRenderingContext2D,
  { entropy, sparsity }: BarsLayout,
  x: number,
  width: number,
  index: number,
  colors: Colors,
): void {
  context.globalAlpha = 1;
  context.fillStyle = colors.soft;
  // A calm outline of what is to come; no figure can be read from it.
  const part = 0.62 + 0.08 * Math.sin(index * 1.7);
  for (const [{ top, bottom }, share] of [
    [entropy, part],
    [sparsity, 0.3],
  ] as const) {
    const height = (bottom - top) * share;
    context.fillRect(x, bottom - height, width, height);
  }
}

function unscored(
  context: CanvasRenderingContext2D,
  { entropy, sparsity }: BarsLayout,
  x: number,
  width: number,
  colors: Colors,
): void {
  for (const { top, bottom } of [entropy, sparsity]) {
    hatch(context, x, top, width, bottom - top, colors.edge);
  }
}

/** Diagonal lines: "no score" in any colour and none. */
export function hatch(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  width: number,
  height: number,
  color: string,
): void {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.beginPath();
  for (let at = -height; at < width; at += 5) {
    context.moveTo(x + at, y + height);
    context.lineTo(x + at + height, y);
  }
  context.strokeStyle = color;
  context.lineWidth = 1;
  context.stroke();
  context.restore();
}

function rawLegend(
  context: CanvasRenderingContext2D,
  { right, entropy }: BarsLayout,
  colors: Colors,
): void {
  const style = { color: colors.muted, align: "right" } as const;
  write(context, RAW, right, entropy.top - 9, style);
  const width = widthOf(context, RAW);
  context.fillStyle = colors.fg;
  context.fillRect(right - width - 20, entropy.top - 13, 14, 1);
}

export function depthAxis(
  context: CanvasRenderingContext2D,
  layout: Pick<BarsLayout, "width" | "left" | "step" | "gap" | "axisY">,
  stages: readonly Stage[],
  colors: Colors,
): void {
  const { width, left, step, gap, axisY } = layout;
  const placed: [number, number][] = [];
  // The longest stages get their labels first; one that finds no room is told on hover.
  const bySize = [...stages].sort((a, b) => b.end - b.start - (a.end - a.start));
  for (const { label, start, end } of bySize) {
    const from = left + start * step + gap / 2;
    const to = left + end * step - gap / 2;
    context.fillStyle = colors.edge;
    context.fillRect(from, axisY, Math.max(1, to - from), 1.5);
    const short = label.slice(label.lastIndexOf(".") + 1);
    for (const text of new Set([label, short])) {
      const half = widthOf(context, text) / 2;
      const middle = Math.min(Math.max((from + to) / 2, left - 30 + half), width - half);
      const [a, b] = [middle - half - 5, middle + half + 5];
      if (2 * half > 30 + Math.max(to - from, 46)) continue;
      if (placed.some(([c, d]) => a < d && c < b)) continue;
      placed.push([a, b]);
      write(context, text, middle, axisY + 15, { color: colors.muted, align: "center" });
      break;
    }
  }
}

function frame(
  context: CanvasRenderingContext2D,
  { left, step, entropy, sparsity }: BarsLayout,
  selected: number,
  color: string,
): void {
  if (selected < 0) return;
  const width = Math.max(step, 5);
  const x = left + (selected + 0.5) * step - width / 2;
  context.strokeStyle = color;
  context.lineWidth = 1.25;
  context.beginPath();
  for (const { top, bottom } of [entropy, sparsity]) {
    context.roundRect(x, top - 3, width, bottom - top + 6, 4);
  }
  context.stroke();
}
