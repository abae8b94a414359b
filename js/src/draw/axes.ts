// What stands beside a gallery: which output and which input one sees, and which of them are dead.
import type { Dead } from "../filters";
import type { Camera, Size } from "./camera";
import type { Colors } from "./colors";
import { type Layout, xOf, yOf } from "./layout";
import { font } from "./text";

/** What the camera sees, in CSS pixels from the corner of the canvas. */
export interface Plot extends Size {
  readonly left: number;
  readonly top: number;
}

const TOP = 20;

/** Around the filters, for the outlines of those at the edges. */
export const BLEED = 2;
const TEXT = 10.5;

/** Room for the labels, on whole device pixels so that the filters stay sharp. */
export function plotOf(layout: Pick<Layout, "outs" | "outsPerRow">, size: Size, dpr: number): Plot {
  const digits = String(Math.max(0, layout.outs - 1)).length;
  const labels = layout.outsPerRow > 0 ? Math.max(34, 14 + 6.7 * digits) : 0;
  const snapped = (length: number) => Math.round(length * dpr) / dpr;
  const left = snapped(Math.max(BLEED, labels));
  const top = snapped(TOP);
  return {
    left,
    top,
    width: Math.max(1, size.width - left - BLEED),
    height: Math.max(1, size.height - top - BLEED),
  };
}

/** The smallest power of two that keeps labels apart: channels are counted in powers of two. */
export const stepFor = (pitch: number, apart: number): number =>
  2 ** Math.max(0, Math.ceil(Math.log2(apart / pitch)));

export interface AxesState {
  readonly layout: Layout;
  readonly camera: Camera;
  readonly plot: Plot;
  readonly colors: Colors;
  readonly dead: Dead | null;
  /** Chosen output. */
  readonly channel: number | null;
  /** Filter pointed at. */
  readonly hover: number | null;
  /** What the flow is sorted by, in words. */
  readonly flow: string;
}

export function drawAxes(context: CanvasRenderingContext2D, state: AxesState): void {
  const { layout, plot, colors, flow } = state;
  context.font = font(TEXT);
  context.textBaseline = "middle";
  if (layout.outsPerRow === 0) {
    context.textAlign = "left";
    context.fillStyle = colors.muted;
    context.fillText(flow, 0, TOP / 2);
    return;
  }
  drawRows(context, state);
  drawColumns(context, state);
  context.fillStyle = colors.muted;
  context.textAlign = "left";
  context.fillText("out ↓", 0, TOP / 2);
  if (layout.outsPerRow > 1) {
    const inputs = layout.inputs > 1 ? `${layout.inputs} inputs side by side` : "one filter each";
    context.fillText(`${layout.outsPerRow} outputs a row, ${inputs}`, plot.left, TOP / 2);
  }
}

function drawRows(context: CanvasRenderingContext2D, state: AxesState): void {
  const { layout, camera, plot, colors, dead, channel, hover } = state;
  const pitch = layout.cellHeight * camera.zoom;
  const step = stepFor(pitch, 16);
  const screenY = (row: number) => plot.top + (yOf(layout, row) - camera.y) * camera.zoom;
  const last = Math.min(
    layout.rows - 1,
    Math.ceil((camera.y + plot.height / camera.zoom) / layout.cellHeight),
  );
  const named = [hover === null ? null : Math.floor(hover / layout.inputs), channel].map((out) =>
    out === null ? null : Math.floor(out / layout.outsPerRow),
  );
  context.save();
  context.beginPath();
  context.rect(0, plot.top - BLEED, plot.left, plot.height + 2 * BLEED);
  context.clip();
  context.textAlign = "right";
  context.fillStyle = colors.muted;
  const right = plot.left - 9;
  const first = Math.floor(Math.max(0, camera.y / layout.cellHeight) / step) * step;
  for (let row = first; row <= last; row += step) {
    // a tick gives way to what is pointed at or chosen
    if (named.some((near) => near !== null && Math.abs(near - row) * pitch < 13)) continue;
    const y = row === 0 ? Math.max(plot.top + 5, screenY(0) + pitch / 2) : screenY(row) + pitch / 2;
    if (y < plot.top + 4 || y > plot.top + plot.height - 4) continue;
    context.fillText(String(row * layout.outsPerRow), right, y);
  }
  if (dead && layout.outsPerRow === 1) {
    context.fillStyle = colors.sparse;
    for (const out of dead.outputs) {
      context.fillRect(plot.left - 6, screenY(out), 3.5, Math.max(1, pitch - 1));
    }
  }
  const label = (out: number, fill: string, ink: string) => {
    const y = screenY(Math.floor(out / layout.outsPerRow)) + pitch / 2;
    pill(context, String(out), right, Math.max(plot.top + 7, y), "right", fill, ink);
  };
  const pointed = hover === null ? null : Math.floor(hover / layout.inputs);
  if (channel !== null) label(channel, colors.accent, colors.bg);
  if (pointed !== null && pointed !== channel) label(pointed, colors.fg, colors.bg);
  context.restore();
}

function drawColumns(context: CanvasRenderingContext2D, state: AxesState): void {
  const { layout, camera, plot, colors, dead, hover } = state;
  const pitch = layout.cellWidth * camera.zoom;
  const screenX = (col: number) => plot.left + (xOf(layout, col) - camera.x) * camera.zoom;
  context.save();
  context.beginPath();
  context.rect(plot.left - BLEED, 0, plot.width + 2 * BLEED, plot.top);
  context.clip();
  const middle = plot.top / 2 - 1;
  const hovered = hover === null ? null : hover % layout.inputs;
  if (layout.outsPerRow === 1) {
    const step = stepFor(pitch, 34);
    const seen = camera.x + plot.width / camera.zoom;
    const last = Math.min(layout.cols - 1, Math.ceil(seen / layout.cellWidth));
    const title = "in →";
    const long = context.measureText(title).width;
    const edge = screenX(layout.cols);
    // behind the last column where there is room, else over it
    const titled = Math.min(edge + 6, plot.left + plot.width - long - 2);
    const room = titled - 4;
    const covered = hovered !== null && screenX(hovered) + pitch / 2 > room - 12;
    context.textAlign = "left";
    context.fillStyle = colors.muted;
    if (room > plot.left + 20 && !covered) context.fillText(title, titled, middle);
    context.textAlign = "center";
    const first = Math.floor(Math.max(0, camera.x / layout.cellWidth) / step) * step;
    for (let col = first; col <= last; col += step) {
      const label = String(col);
      const half = context.measureText(label).width / 2;
      const middleX = screenX(col) + pitch / 2;
      const x = col === 0 ? Math.max(plot.left + half, middleX) : middleX;
      if (x - half < plot.left || x + half > room - 4) continue;
      if (hovered !== null && Math.abs(hovered - col) * pitch < 26) continue;
      context.fillText(label, x, middle);
    }
    if (dead) {
      context.fillStyle = colors.sparse;
      for (const input of dead.inputs) {
        context.fillRect(screenX(input), plot.top - 6, Math.max(1, pitch - 1), 3.5);
      }
    }
    if (hovered !== null) {
      const x = screenX(hovered) + pitch / 2;
      pill(context, String(hovered), x, middle, "center", colors.fg, colors.bg);
    }
  }
  context.restore();
}

function pill(
  context: CanvasRenderingContext2D,
  text: string,
  x: number,
  y: number,
  align: "right" | "center",
  fill: string,
  ink: string,
): void {
  const width = context.measureText(text).width + 8;
  const left = align === "right" ? x - width + 4 : x - width / 2;
  context.fillStyle = fill;
  context.beginPath();
  context.roundRect(left, y - 7, width, 14, 4);
  context.fill();
  context.fillStyle = ink;
  context.textAlign = "center";
  context.fillText(text, left + width / 2, y + 0.5);
}
