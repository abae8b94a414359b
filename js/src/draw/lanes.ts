// The names beside a heatmap: stages under brackets, and between these and the cells the finest
// names for which there is room, so that 20 layers and 400 can be read, and a zoom says more.
import { hierarchy, type Stage } from "../stages";
import type { Colors } from "./colors";
import { fitMiddle, widthOf, write } from "./text";

export interface Axis {
  readonly title: string;
  readonly count: number;
  readonly stages: readonly Stage[];
  /** The finest first. */
  readonly inner: readonly (readonly Stage[])[];
}

export function axisOf(title: string, names: readonly string[]): Axis {
  const [stages = [], ...inner] = hierarchy(names);
  return { title, count: names.length, stages, inner: inner.reverse() };
}

/** Where an axis runs on screen: `from` to `to`, and where index i begins. */
export interface Track {
  readonly from: number;
  readonly to: number;
  readonly at: (index: number) => number;
}

interface Placed {
  readonly label: string;
  /** The part on screen. */
  readonly low: number;
  readonly high: number;
}

const LINE = 12;

function visible(runs: readonly Stage[], { from, to, at }: Track): Placed[] {
  const placed: Placed[] = [];
  for (const { label, start, end } of runs) {
    const [a, b] = [at(start), at(end)];
    const low = Math.max(from, Math.min(a, b));
    const high = Math.min(to, Math.max(a, b));
    if (high - low > 0.5) placed.push({ label, low, high });
  }
  return placed;
}

/** The finest names of which nearly all that are on screen fit. */
function finest(axis: Axis, track: Track, fits: (run: Placed) => boolean): Placed[] {
  for (const runs of axis.inner) {
    const named = visible(runs, track).filter(({ label }) => label !== "");
    const fitting = named.filter(fits);
    if (fitting.length > 0 && fitting.length >= 0.75 * named.length) return fitting;
  }
  return [];
}

/** The longest runs get their labels first; one that finds no room is told on hover. */
function apart(runs: readonly Placed[], least: (run: Placed) => number): Placed[] {
  const taken: [number, number][] = [];
  return [...runs]
    .sort((a, b) => b.high - b.low - (a.high - a.low))
    .filter((run) => {
      const middle = (run.low + run.high) / 2;
      const half = least(run) / 2;
      if (taken.some(([low, high]) => middle - half < high && low < middle + half)) return false;
      taken.push([middle - half, middle + half]);
      return true;
    });
}

/** Room that the names of rows take: of the stages, and of what is finer. */
export interface Room {
  readonly stages: number;
  readonly inner: number;
}

export function roomFor(context: CanvasRenderingContext2D, axis: Axis, most: number): Room {
  const widest = (runs: readonly Stage[], limit: number) =>
    Math.min(limit, Math.ceil(Math.max(0, ...runs.map(({ label }) => widthOf(context, label)))));
  const stages = widest(axis.stages, Math.min(96, 0.5 * most));
  const inner = widest(axis.inner[0] ?? [], Math.min(88, most - stages));
  return { stages, inner: inner < 16 ? 0 : inner };
}

/** Beside the rows; `right` is where the cells begin. */
export function drawRowNames(
  context: CanvasRenderingContext2D,
  axis: Axis,
  track: Track,
  right: number,
  room: Room,
  colors: Colors,
): void {
  let edge = right - 6;
  const style = { color: colors.muted, align: "right", baseline: "middle" } as const;
  const inner = room.inner ? finest(axis, track, ({ low, high }) => high - low >= LINE) : [];
  for (const { label, low, high } of inner) {
    const text = fitMiddle(context, label, room.inner, 10.5);
    write(context, text, edge, (low + high) / 2, { ...style, size: 10.5 });
  }
  if (inner.length) {
    const widest = Math.max(...inner.map(({ label }) => widthOf(context, label, 10.5)));
    edge -= Math.min(room.inner, widest) + 6;
  }
  const stages = visible(axis.stages, track);
  for (const { low, high } of stages) {
    context.fillStyle = colors.edge;
    context.fillRect(edge - 1.5, low + 1, 1.5, Math.max(1, high - low - 2));
  }
  for (const { label, low, high } of apart(stages, () => LINE + 2)) {
    const text = fitMiddle(context, label, room.stages);
    const y = Math.min(Math.max((low + high) / 2, track.from + 6), track.to - 6);
    write(context, text, edge - 8, y, style);
  }
  const x = edge - 8 - room.stages - 14;
  context.save();
  context.translate(x, (track.from + track.to) / 2);
  context.rotate(-Math.PI / 2);
  const title = fitMiddle(context, axis.title, Math.max(40, track.to - track.from), 11, 600);
  write(context, title, 0, 0, { ...style, color: colors.fg, weight: 600, align: "center" });
  context.restore();
}

/** Heights of what stands under the columns. */
export const INNER = 14;
export const STAGES = 20;
export const TITLE = 16;

/** Under the columns; `top` is where the cells end. */
export function drawColumnNames(
  context: CanvasRenderingContext2D,
  axis: Axis,
  track: Track,
  top: number,
  colors: Colors,
): void {
  let edge = top + 6;
  const style = { color: colors.muted, align: "center", baseline: "middle" } as const;
  const wide = (text: string, size = 11) => widthOf(context, text, size);
  const inner = finest(axis, track, ({ label, low, high }) => wide(label, 10.5) + 5 <= high - low);
  for (const { label, low, high } of inner) {
    write(context, label, (low + high) / 2, edge + 5, { ...style, size: 10.5 });
  }
  if (inner.length) edge += INNER;
  const stages = visible(axis.stages, track);
  for (const { low, high } of stages) {
    context.fillStyle = colors.edge;
    context.fillRect(low + 1, edge, Math.max(1, high - low - 2), 1.5);
  }
  for (const { label, low, high } of apart(stages, ({ label }) => wide(label) + 10)) {
    const room = Math.max(high - low, 60);
    const text = fitMiddle(context, label, room);
    const half = wide(text) / 2;
    const x = Math.min(Math.max((low + high) / 2, track.from + half - 20), track.to - half);
    write(context, text, x, edge + 12, style);
  }
  const middle = (track.from + track.to) / 2;
  const title = fitMiddle(context, axis.title, Math.max(80, track.to - track.from), 11, 600);
  write(context, title, middle, edge + STAGES + 8, { ...style, color: colors.fg, weight: 600 });
}
