// Drift, entropy and sparsity of every layer over depth, one below the other.
import type { Stage } from "../stages";
import type { Drifted } from "../wire/drift";
import { depthAxis, grid, hatch, type Scale, sparsityAxis, title } from "./bars";
import type { Colors } from "./colors";
import { widthOf, write } from "./text";

export interface Tracks {
  slots: readonly Drifted[];
  /** (2, layers, 3): of sparsity and of entropy low, median, high of the layers at its depth. */
  bands: Float32Array;
  stages: readonly Stage[];
  selected: number;
  hovered: number;
  /** Each in several lengths, the longest first. */
  titles: readonly (readonly string[])[];
  /** What the hatching and the band are. */
  signs: readonly [string, string];
}

type Point = readonly [x: number, y: number];

interface Track {
  top: number;
  bottom: number;
}

const LEFT = 44;
const TITLE = 22;
const FOOT = 28;

export function layoutTracks(width: number, height: number, count: number) {
  const right = Math.max(LEFT + 40, width - 4);
  const step = (right - LEFT) / Math.max(1, count);
  const plots = Math.max(120, height - 3 * TITLE - FOOT - 16);
  let bottom = -8;
  const track = (share: number): Track => {
    const top = bottom + 8 + TITLE;
    bottom = top + Math.round(plots * share);
    return { top, bottom };
  };
  const tracks = [track(0.46), track(0.34), track(0.2)] as const;
  const gap = step > 14 ? 6 : step > 6 ? 2 : step > 3 ? 1 : 0;
  return { width, left: LEFT, right, step, gap, axisY: bottom + 8, tracks };
}

export type TracksLayout = ReturnType<typeof layoutTracks>;

export function drawTracks(
  context: CanvasRenderingContext2D,
  layout: TracksLayout,
  data: Tracks,
  colors: Colors,
): void {
  const { left, right, step, tracks } = layout;
  const [drift, entropy, sparsity] = tracks;
  tracks.forEach(({ top }, index) => {
    const titles = data.titles[index] ?? [];
    const sign = data.signs[index] ?? "";
    const x = right - widthOf(context, sign) - 20;
    // rather the title alone than less than its shortest
    const room = sign ? x - 16 : right;
    const fits = room - left >= widthOf(context, titles.at(-1) ?? "", 11, 600);
    title(context, titles, top, { left, right: fits ? room : right }, colors);
    if (!sign || !fits) return;
    write(context, sign, x + 20, top - 9, { color: colors.muted });
    if (index) fillFaint(context, colors.good, 0.3, () => context.fillRect(x, top - 17, 14, 9));
    else hatch(context, x, top - 17, 14, 9, colors.muted);
  });
  drawDrift(context, layout, drift, data, colors);
  const many = data.bands.length / 2;
  const band = data.bands.subarray(many);
  const [low, high] = spanOf([...band, ...data.slots.map((slot) => slot.entropy)]);
  const from = Math.min(0.75, Math.floor(low * 4) / 4);
  const y = linear(entropy, from, Math.max(1, Math.ceil(high * 8) / 8));
  const ticks = [0, 0.25, 0.5, 0.75, 1].filter((tick) => tick >= from);
  grid(context, layout, { ticks }, y, String, colors);
  profile(context, layout, data, band, y, "entropy", colors.entropy, colors);
  const below = data.bands.subarray(0, many);
  const [, most] = spanOf([...below, ...data.slots.map((slot) => slot.sparsity)]);
  const { max } = sparsityAxis([], most);
  const down = linear(sparsity, 0, max);
  const percents = (tick: number) => `${Math.round(tick * 100)} %`;
  grid(context, layout, { ticks: [0, max] }, down, percents, colors);
  profile(context, layout, data, below, down, "sparsity", colors.sparse, colors);
  depthAxis(context, layout, data.stages, colors);
  if (data.selected < 0) return;
  const wide = Math.max(step, 5);
  const x = left + (data.selected + 0.5) * step - wide / 2;
  context.beginPath();
  for (const { top, bottom } of tracks) context.roundRect(x, top - 3, wide, bottom - top + 6, 4);
  outline(context, colors.accent, 1.25);
}

/** The smallest and the largest of what is there. */
function spanOf(values: readonly (number | null)[]): [number, number] {
  const there = values.filter((value) => value !== null && Number.isFinite(value)) as number[];
  return there.length ? [Math.min(...there), Math.max(...there)] : [0, 1];
}

const linear =
  ({ top, bottom }: Track, from: number, to: number): Scale =>
  (value) =>
    bottom - ((bottom - top) * (Math.min(to, Math.max(from, value)) - from)) / (to - from);

function outline(context: CanvasRenderingContext2D, color: string, width: number): void {
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke();
}

function fillFaint(
  context: CanvasRenderingContext2D,
  color: string,
  alpha: number,
  fill: () => void,
): void {
  context.globalAlpha = alpha;
  context.fillStyle = color;
  fill();
  context.globalAlpha = 1;
}

/** Drift as bars on a log scale; what noise makes is hatched behind, and a bar inside is hollow. */
function drawDrift(
  context: CanvasRenderingContext2D,
  layout: TracksLayout,
  track: Track,
  { slots, selected, hovered }: Tracks,
  colors: Colors,
): void {
  const values = slots.flatMap(({ drift, floor, floor_high }) => [drift, floor, floor_high]);
  const [least, most] = spanOf(values.filter((value) => value !== null && value > 0));
  const low = Math.floor(Math.log10(least || 0.1) - 0.15);
  const high = Math.log10(most) + 0.08;
  const log = linear(track, low, high);
  const y: Scale = (value) => log(Math.log10(Math.max(value, 1e-12)));
  const decades = Math.max(1, Math.floor(high) - low + 1);
  const ticks = Array.from({ length: decades }, (_, index) => 10 ** (low + index));
  grid(context, layout, { ticks }, y, (tick) => String(+tick.toPrecision(1)), colors);
  const { left, step, gap } = layout;
  const wide = Math.max(0.75, step - Math.max(gap, step > 14 ? step * 0.36 : 0));
  slots.forEach(({ drift, floor, floor_high, noise }, index) => {
    const x = left + index * step;
    if (floor_high) {
      const top = y(floor_high);
      hatch(context, x, top, step, track.bottom - top, colors.edge);
      context.fillStyle = colors.muted;
      context.fillRect(x, Math.round(top), step, 1);
    }
    if (drift === null) return;
    const at = x + (step - wide) / 2;
    const strong = index === selected || index === hovered;
    const top = Math.min(track.bottom - 1, y(drift));
    const radius = Math.min(2, wide / 3);
    context.beginPath();
    context.roundRect(at, top, wide, track.bottom - top, [radius, radius, 0, 0]);
    context.fillStyle = colors.bg;
    context.fill();
    if (noise) outline(context, strong ? colors.fg : colors.muted, strong ? 1.5 : 1);
    else fillFaint(context, colors.entropy, strong ? 1 : 0.68, () => context.fill());
    if (!floor) return;
    context.fillStyle = noise ? colors.muted : colors.bg;
    context.fillRect(at, Math.round(y(floor)), wide, 1);
  });
}

/** The band of the others with its median, and the layers: filled where they leave the band. */
function profile(
  context: CanvasRenderingContext2D,
  { left, right, step }: TracksLayout,
  { slots, selected, hovered }: Tracks,
  band: Float32Array,
  y: Scale,
  figure: "entropy" | "sparsity",
  color: string,
  colors: Colors,
): void {
  const middle = (index: number) => left + (index + 0.5) * step;
  const edge = (which: number): Point[] => {
    const points = slots.flatMap((_, index): Point[] => {
      const value = band[3 * index + which] as number;
      return Number.isFinite(value) ? [[middle(index), y(value)]] : [];
    });
    // to the edges of the chart
    const [first, last] = [points[0], points.at(-1)];
    if (first && last) return [[left, first[1]], ...points, [right, last[1]]];
    return points;
  };
  const trace = (points: readonly Point[]) => {
    context.beginPath();
    for (const [x, at] of points) context.lineTo(x, at);
  };
  trace([...edge(0), ...edge(2).reverse()]);
  fillFaint(context, colors.good, 0.15, () => context.fill());
  trace(edge(1));
  outline(context, colors.good, 1);
  const known = slots.flatMap((slot, index) => {
    const value = slot[figure];
    return value === null ? [] : [{ x: middle(index), at: y(value), value, index }];
  });
  trace(known.map(({ x, at }) => [x, at]));
  context.globalAlpha = 0.45;
  outline(context, color, 1);
  context.globalAlpha = 1;
  const size = Math.min(3.5, Math.max(1.5, step * 0.22));
  for (const { x, at, value, index } of known) {
    const inside = value >= (band[3 * index] as number) && value <= (band[3 * index + 2] as number);
    context.beginPath();
    context.arc(x, at, size + +(index === selected || index === hovered), 0, 7);
    context.fillStyle = inside ? colors.bg : color;
    context.fill();
    outline(context, color, 1.5);
  }
}
