// Drift, entropy and sparsity of every layer over depth, one below the other.
import type { Stage } from "../stages";
import { depthAxis, grid, hatch, type Scale, sparsityAxis, title } from "./bars";
import type { Colors } from "./colors";
import { widthOf, write } from "./text";

/** What is drawn of a layer; null where there is no value. */
export interface Slot {
  drift: number | null;
  floor: number | null;
  /** What noise alone exceeds once in a hundred times. */
  high: number | null;
  noise: boolean;
  entropy: number | null;
  sparsity: number | null;
  /** Of the layers at its depth: low, median, high. */
  entropyBand: readonly (number | null)[];
  sparsityBand: readonly (number | null)[];
}

export interface Tracks {
  slots: readonly Slot[];
  stages: readonly Stage[];
  selected: number;
  hovered: number;
  /** Each in several lengths, the longest first. */
  titles: readonly (readonly string[])[];
  /** What the hatching and the band are. */
  keys: readonly [string, string];
}

interface Track {
  top: number;
  bottom: number;
}

export interface TracksLayout {
  width: number;
  left: number;
  right: number;
  step: number;
  gap: number;
  axisY: number;
  tracks: readonly [Track, Track, Track];
}

const LEFT = 44;
const TITLE = 22;
const FOOT = 28;
const SHARES = [0.46, 0.34, 0.2];

export function layoutTracks(width: number, height: number, count: number): TracksLayout {
  const right = Math.max(LEFT + 40, width - 4);
  const step = (right - LEFT) / Math.max(1, count);
  const plots = Math.max(120, height - 3 * TITLE - FOOT - 16);
  let top = TITLE;
  const tracks = SHARES.map((share) => {
    const bottom = top + Math.round(plots * share);
    const track = { top, bottom };
    top = bottom + 8 + TITLE;
    return track;
  }) as unknown as TracksLayout["tracks"];
  return {
    width,
    left: LEFT,
    right,
    step,
    gap: step > 14 ? 6 : step > 6 ? 2 : step > 3 ? 1 : 0,
    axisY: tracks[2].bottom + 8,
    tracks,
  };
}

export function drawTracks(
  context: CanvasRenderingContext2D,
  layout: TracksLayout,
  data: Tracks,
  colors: Colors,
): void {
  const [drift, entropy, sparsity] = layout.tracks;
  const taken = [
    key(context, data.keys[0], layout.right, drift.top - 9, colors, (x, y) =>
      hatch(context, x, y, 14, 9, colors.muted),
    ),
    key(context, data.keys[1], layout.right, entropy.top - 9, colors, (x, y) => {
      context.globalAlpha = 0.3;
      context.fillStyle = colors.good;
      context.fillRect(x, y, 14, 9);
      context.globalAlpha = 1;
    }),
    0,
  ];
  layout.tracks.forEach(({ top }, index) => {
    const room = { left: layout.left, right: layout.right - (taken[index] as number) };
    title(context, data.titles[index] ?? [], top, room, colors);
  });
  drawDrift(context, layout, drift, data, colors);
  const { slots } = data;
  const [low, high] = spanOf(slots.flatMap((slot) => [slot.entropy, ...slot.entropyBand]));
  const from = Math.min(0.75, Math.floor(low * 4) / 4);
  const to = Math.max(1, Math.ceil(high * 8) / 8);
  const ticks = [0, 0.25, 0.5, 0.75, 1].filter((tick) => tick >= from);
  const y = linear(entropy, from, to);
  grid(context, layout, { ticks }, y, (tick) => String(tick), colors);
  profile(context, layout, data, y, "entropy", colors);
  const most = spanOf(slots.flatMap((slot) => [slot.sparsity, ...slot.sparsityBand]))[1];
  const axis = sparsityAxis([], most);
  const down = linear(sparsity, 0, axis.max);
  const percents = (tick: number) => `${Number((tick * 100).toFixed(1))} %`;
  grid(context, layout, { ticks: [0, axis.max] }, down, percents, colors);
  profile(context, layout, data, down, "sparsity", colors);
  depthAxis(context, layout, data.stages, colors);
  frame(context, layout, data.selected, colors);
}

/** The smallest and the largest of what is there. */
function spanOf(values: readonly (number | null)[]): [number, number] {
  const there = values.filter((value) => value !== null);
  return there.length ? [Math.min(...there), Math.max(...there)] : [0, 1];
}

const linear =
  ({ top, bottom }: Track, from: number, to: number): Scale =>
  (value) =>
    bottom - ((bottom - top) * (Math.min(to, Math.max(from, value)) - from)) / (to - from);

/** Drift as bars on a log scale; what noise makes is hatched behind, and a bar inside is hollow. */
function drawDrift(
  context: CanvasRenderingContext2D,
  layout: TracksLayout,
  track: Track,
  { slots, selected, hovered }: Tracks,
  colors: Colors,
): void {
  const positive = slots
    .flatMap(({ drift, floor, high }) => [drift, floor, high])
    .filter((value) => value !== null && value > 0);
  const [least, most] = spanOf(positive);
  const low = Math.floor(Math.log10(least) - 0.15);
  const high = Math.log10(most) + 0.08;
  const log = linear(track, low, high);
  const y: Scale = (value) => log(Math.log10(Math.max(value, 1e-12)));
  const ticks = Array.from(
    { length: Math.max(1, Math.floor(high) - low + 1) },
    (_, index) => 10 ** (low + index),
  );
  const exact = (tick: number) => String(Number(tick.toPrecision(1)));
  grid(context, layout, { ticks }, y, exact, colors);
  const { left, step, gap } = layout;
  slots.forEach((slot, index) => {
    const x = left + index * step;
    if (slot.high !== null && slot.high > 0) {
      const top = y(slot.high);
      hatch(context, x, top, step, track.bottom - top, colors.edge);
      context.fillStyle = colors.muted;
      context.fillRect(x, Math.round(top), step, 1);
    }
    const wide = Math.max(0.75, step - Math.max(gap, step > 14 ? step * 0.36 : 0));
    const at = x + (step - wide) / 2;
    const strong = index === selected || index === hovered;
    if (slot.drift === null) return;
    const top = Math.min(track.bottom - 1, y(slot.drift));
    const tall = track.bottom - top;
    const radius = Math.min(2, wide / 3);
    context.beginPath();
    if (slot.noise) {
      context.roundRect(at + 0.5, top + 0.5, Math.max(0.5, wide - 1), tall, [radius, radius, 0, 0]);
      context.fillStyle = colors.bg;
      context.fill();
      context.strokeStyle = strong ? colors.fg : colors.muted;
      context.lineWidth = strong ? 1.5 : 1;
      context.stroke();
    } else {
      context.roundRect(at, top, wide, tall, [radius, radius, 0, 0]);
      context.fillStyle = colors.bg;
      context.fill();
      context.globalAlpha = strong ? 1 : 0.68;
      context.fillStyle = colors.entropy;
      context.fill();
      context.globalAlpha = 1;
    }
    if (slot.floor !== null && slot.floor > 0) {
      context.fillStyle = slot.noise ? colors.muted : colors.bg;
      context.fillRect(at, Math.round(y(slot.floor)), wide, 1);
    }
  });
}

/** The band of the database with its median, and the layers: filled where they leave the band. */
function profile(
  context: CanvasRenderingContext2D,
  { left, right, step }: TracksLayout,
  { slots, selected, hovered }: Tracks,
  y: Scale,
  figure: "entropy" | "sparsity",
  colors: Colors,
): void {
  const middle = (index: number) => left + (index + 0.5) * step;
  const bands = slots.map((slot) => (figure === "entropy" ? slot.entropyBand : slot.sparsityBand));
  const through = (which: number, back = false) => {
    const last = bands.length - 1;
    for (let i = 0; i <= last; i++) {
      const index = back ? last - i : i;
      const value = bands[index]?.[which];
      if (value === null || value === undefined) continue;
      const at = y(value);
      // to the edges of the chart at both ends
      if (index === 0 && !back) context.lineTo(left, at);
      if (index === last && back) context.lineTo(right, at);
      context.lineTo(middle(index), at);
      if (index === last && !back) context.lineTo(right, at);
      if (index === 0 && back) context.lineTo(left, at);
    }
  };
  context.beginPath();
  through(0);
  through(2, true);
  context.globalAlpha = 0.15;
  context.fillStyle = colors.good;
  context.fill();
  context.globalAlpha = 1;
  context.beginPath();
  through(1);
  context.strokeStyle = colors.good;
  context.lineWidth = 1;
  context.stroke();
  const color = figure === "entropy" ? colors.entropy : colors.sparse;
  const known = slots.flatMap((slot, index) =>
    slot[figure] === null ? [] : [[middle(index), y(slot[figure]), index] as const],
  );
  context.beginPath();
  for (const [x, at] of known) context.lineTo(x, at);
  context.globalAlpha = 0.45;
  context.strokeStyle = color;
  context.stroke();
  context.globalAlpha = 1;
  const size = Math.min(3.5, Math.max(1.5, step * 0.22));
  for (const [x, at, index] of known) {
    const [low, , high] = bands[index] ?? [];
    const value = slots[index]?.[figure] as number;
    const inside = low != null && high != null && value >= low && value <= high;
    context.beginPath();
    context.arc(x, at, size + (index === selected || index === hovered ? 1 : 0), 0, 2 * Math.PI);
    context.fillStyle = inside ? colors.bg : color;
    context.fill();
    context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.stroke();
  }
}

function frame(
  context: CanvasRenderingContext2D,
  { left, step, tracks }: TracksLayout,
  selected: number,
  colors: Colors,
): void {
  if (selected < 0) return;
  const width = Math.max(step, 5);
  const x = left + (selected + 0.5) * step - width / 2;
  context.strokeStyle = colors.accent;
  context.lineWidth = 1.25;
  context.beginPath();
  for (const { top, bottom } of tracks) context.roundRect(x, top - 3, width, bottom - top + 6, 4);
  context.stroke();
}

/** A sign and what it means, at the right of a title; gives the room that it takes. */
function key(
  context: CanvasRenderingContext2D,
  words: string,
  right: number,
  y: number,
  colors: Colors,
  sign: (x: number, y: number) => void,
): number {
  write(context, words, right, y, { color: colors.muted, align: "right" });
  const wide = widthOf(context, words) + 20;
  sign(right - wide, y - 8);
  return wide + 16;
}
