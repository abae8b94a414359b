// The diagonal of a matrix over depth: how alike each layer is to its own counterpart.
import { figure } from "../format";
import type { Size } from "./camera";
import type { Colors } from "./colors";
import type { Range } from "./heatmap";
import { type Axis, drawColumnNames, INNER, STAGES, TITLE } from "./lanes";
import { write } from "./text";

export interface Line {
  readonly values: Float32Array;
  readonly stderr: Float32Array;
  readonly axis: Axis;
  readonly range: Range;
  readonly title: string;
  readonly chosen: number;
  readonly hover: number;
}

const LEFT = 44;
const RIGHT = 8;
const TOP = 26;

export const stepOn = ({ width }: Size, count: number): number =>
  (width - LEFT - RIGHT) / Math.max(1, count);

/** The layer at x, or -1. */
export function layerAt(size: Size, count: number, x: number): number {
  const index = Math.floor((x - LEFT) / stepOn(size, count));
  return index >= 0 && index < count ? index : -1;
}

/** The middle of a layer on the axis of depth. */
export const middleOf = (size: Size, count: number, index: number): number =>
  LEFT + (index + 0.5) * stepOn(size, count);

export function drawDiagonal(
  context: CanvasRenderingContext2D,
  size: Size,
  { values, stderr, axis, range, title, chosen, hover }: Line,
  colors: Colors,
): void {
  const bottom = size.height - 6 - INNER - STAGES - TITLE;
  const { low, high } = range;
  const y = (value: number) =>
    bottom - ((bottom - TOP) * (Math.min(high, Math.max(low, value)) - low)) / (high - low || 1);
  const x = (index: number) => middleOf(size, axis.count, index);
  write(context, title, LEFT, 12, { color: colors.fg, weight: 600 });
  for (let tick = 0; tick <= 4; tick++) {
    const value = low + ((high - low) * tick) / 4;
    const at = Math.round(y(value));
    context.fillStyle = tick === 0 ? colors.edge : colors.line;
    context.fillRect(LEFT, at, size.width - LEFT - RIGHT, 1);
    const style = { color: colors.muted, align: "right", baseline: "middle" } as const;
    write(context, figure(value, 2), LEFT - 7, at + 0.5, style);
  }
  const step = stepOn(size, axis.count);
  for (const [index, alpha] of [
    [hover, 0.5],
    [chosen, 1],
  ] as const) {
    if (index < 0) continue;
    context.globalAlpha = alpha;
    context.fillStyle = colors.soft;
    context.fillRect(x(index) - Math.max(1, step / 2), TOP, Math.max(2, step), bottom - TOP);
    context.globalAlpha = 1;
  }
  for (const run of runsOf(values)) {
    band(context, run, values, stderr, x, y, colors.entropy);
    context.beginPath();
    for (const index of run) context.lineTo(x(index), y(values[index] as number));
    context.strokeStyle = colors.entropy;
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.stroke();
  }
  values.forEach((value, index) => {
    if (Number.isNaN(value)) return;
    const strong = index === chosen || index === hover;
    if (step < 7 && !strong) return;
    context.beginPath();
    context.arc(x(index), y(value), strong ? 4 : 2.5, 0, 2 * Math.PI);
    context.fillStyle = strong ? colors.accent : colors.entropy;
    context.fill();
  });
  const track = {
    from: LEFT,
    to: size.width - RIGHT,
    at: (index: number) => LEFT + index * step,
  };
  drawColumnNames(context, axis, track, bottom, colors);
}

/** Neighbours that have values: a line breaks where there is none. */
export function runsOf(values: Float32Array): number[][] {
  const runs: number[][] = [];
  values.forEach((value, index) => {
    if (Number.isNaN(value)) return;
    const last = runs.at(-1);
    if (last && last.at(-1) === index - 1) last.push(index);
    else runs.push([index]);
  });
  return runs;
}

/** One standard error to either side. */
function band(
  context: CanvasRenderingContext2D,
  run: readonly number[],
  values: Float32Array,
  stderr: Float32Array,
  x: (index: number) => number,
  y: (value: number) => number,
  color: string,
): void {
  const edge = (index: number, sign: number) =>
    y((values[index] as number) + sign * (stderr[index] || 0));
  context.beginPath();
  for (const index of run) context.lineTo(x(index), edge(index, 1));
  for (const index of [...run].reverse()) context.lineTo(x(index), edge(index, -1));
  context.globalAlpha = 0.2;
  context.fillStyle = color;
  context.fill();
  context.globalAlpha = 1;
}
