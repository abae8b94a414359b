// A matrix of similarities with the names of its layers: rows upward from the bottom left. The same
// function draws on the screen and into a PNG.
import { BAD, inkOn, likeness, STEPS } from "../colormap";
import { figure } from "../format";
import type { Camera, Size } from "./camera";
import type { Colors } from "./colors";
import { type Axis, drawColumnNames, drawRowNames, INNER, type Room, STAGES, TITLE } from "./lanes";
import { font } from "./text";

export interface Cell {
  readonly row: number;
  readonly column: number;
}

/** The values that the ends of the colours stand for; `turned`: the low end is the bright one. */
export interface Range {
  readonly low: number;
  readonly high: number;
  readonly turned: boolean;
}

export interface Scene {
  readonly values: Float32Array;
  readonly rows: Axis;
  readonly columns: Axis;
  readonly range: Range;
  readonly dark: boolean;
  readonly colors: Colors;
}

export interface Choice {
  readonly camera: Camera;
  readonly chosen: Cell | null;
  /** The row of the chosen layer, which may have no column yet; -1: it is none of the rows. */
  readonly marked: number;
  readonly hover: Cell | null;
}

/** What the camera sees, in CSS pixels from the corner of the canvas. */
export interface Plot extends Size {
  readonly left: number;
  readonly top: number;
}

/** Around the cells, for the outlines of those at the edges. */
const BLEED = 4;
const NAMES = 6 + INNER + STAGES + TITLE;
/** CSS pixels that stand above and below the cells. */
export const AROUND = BLEED + NAMES;

export function plotOf(room: Room, size: Size): Plot {
  const left = 34 + room.stages + (room.inner ? room.inner + 6 : 0);
  return {
    left,
    top: BLEED,
    width: Math.max(1, size.width - left - BLEED),
    height: Math.max(1, size.height - AROUND),
  };
}

/** Cells are squares; only in a strip of a matrix do they grow the other way. */
export function cellOf(rows: number, columns: number, { width, height }: Size): Size {
  const shape = height / Math.max(1, rows) / (width / Math.max(1, columns));
  const stretch = (by: number) => Math.min(8, Math.max(1, by / 3));
  return { width: stretch(1 / shape), height: stretch(shape) };
}

/** The step of a value on the colours; below and above the range it is held at the ends. */
export function stepAt(value: number, { low, high, turned }: Range): number {
  if (value - value !== 0) return BAD;
  const share = high > low ? (value - low) / (high - low) : value >= high ? 1 : 0;
  const step = Math.round(STEPS * Math.min(1, Math.max(0, share)));
  return turned ? STEPS - step : step;
}

/** One pixel a cell, the first row at the bottom. */
export function shade(
  pixels: Uint32Array,
  values: Float32Array,
  columns: number,
  range: Range,
  table: Uint32Array,
): void {
  const rows = values.length / columns;
  for (let row = 0; row < rows; row++) {
    const line = (rows - 1 - row) * columns;
    for (let column = 0; column < columns; column++) {
      const step = stepAt(values[row * columns + column] as number, range);
      pixels[line + column] = table[step] as number;
    }
  }
}

export class HeatmapPainter {
  readonly #canvas = document.createElement("canvas");
  #shaded: Scene | null = null;

  /** Draw onto `size` CSS pixels of a cleared context. */
  draw(
    context: CanvasRenderingContext2D,
    scene: Scene,
    { camera, chosen, marked, hover }: Choice,
    plot: Plot,
    room: Room,
    cell: Size,
  ): void {
    const { rows, columns, colors } = scene;
    if (rows.count === 0 || columns.count === 0) return;
    this.#shade(scene);
    const [across, down] = [cell.width * camera.zoom, cell.height * camera.zoom];
    const x = (column: number) => plot.left + column * across - camera.x * camera.zoom;
    const y = (row: number) => plot.top + (rows.count - row) * down - camera.y * camera.zoom;
    const right = Math.min(plot.left + plot.width, x(columns.count));
    const bottom = Math.min(plot.top + plot.height, y(0));

    context.save();
    context.beginPath();
    context.rect(plot.left, plot.top, right - plot.left, bottom - plot.top);
    context.clip();
    // cells smaller than a pixel are averaged, larger ones stay sharp
    context.imageSmoothingEnabled = Math.min(across, down) * context.getTransform().a < 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#canvas, x(0), y(rows.count), across * columns.count, down * rows.count);
    const seen = {
      left: Math.max(0, Math.floor((plot.left - x(0)) / across)),
      right: Math.min(columns.count, Math.ceil((right - x(0)) / across)),
      low: Math.max(0, Math.floor((y(0) - bottom) / down)),
      high: Math.min(rows.count, Math.ceil((y(0) - plot.top) / down)),
    };
    hatchMissing(context, scene, seen, { x, y, across, down });
    if (across >= 30 && down >= 16) writeValues(context, scene, seen, { x, y, across, down });
    if (chosen) {
      context.strokeStyle = "rgb(255 255 255 / 50%)";
      context.lineWidth = 1;
      context.strokeRect(plot.left - 4, y(chosen.row + 1) - 0.5, plot.width + 8, down + 1);
      context.strokeRect(x(chosen.column) - 0.5, plot.top - 4, across + 1, plot.height + 8);
    }
    context.restore();

    context.save();
    context.beginPath();
    const [wide, tall] = [right - plot.left, bottom - plot.top];
    context.rect(plot.left - BLEED, plot.top - BLEED, wide + 2 * BLEED, tall + 2 * BLEED);
    context.clip();
    const ring = ({ row, column }: Cell, color: string) =>
      outline(context, x(column), y(row + 1), across, down, color, colors.bg);
    if (chosen) ring(chosen, colors.accent);
    else if (marked >= 0) {
      context.fillStyle = colors.accent;
      context.fillRect(plot.left - BLEED, y(marked + 1), 3, Math.max(3, down));
    }
    if (hover && !same(hover, chosen)) ring(hover, colors.fg);
    context.restore();

    const track = { from: plot.top, to: bottom, at: y };
    drawRowNames(context, rows, track, plot.left, room, colors);
    drawColumnNames(context, columns, { from: plot.left, to: right, at: x }, bottom, colors);
  }

  #shade(scene: Scene): void {
    if (this.#shaded === scene) return;
    this.#shaded = scene;
    const { values, rows, columns, range, dark } = scene;
    this.#canvas.width = columns.count;
    this.#canvas.height = rows.count;
    const image = new ImageData(columns.count, rows.count);
    const pixels = new Uint32Array(image.data.buffer);
    shade(pixels, values, columns.count, range, likeness(dark));
    this.#canvas.getContext("2d")?.putImageData(image, 0, 0);
  }
}

export const same = (a: Cell | null, b: Cell | null): boolean =>
  a?.row === b?.row && a?.column === b?.column;

interface Seen {
  readonly left: number;
  readonly right: number;
  readonly low: number;
  readonly high: number;
}

interface Grid {
  readonly x: (column: number) => number;
  readonly y: (row: number) => number;
  readonly across: number;
  readonly down: number;
}

/** Diagonal lines over what has no value: told by a shape, whatever the colour. */
function hatchMissing(
  context: CanvasRenderingContext2D,
  { values, columns, colors }: Scene,
  { left, right, low, high }: Seen,
  { x, y, across, down }: Grid,
): void {
  context.beginPath();
  let found = false;
  for (let row = low; row < high; row++) {
    let start = -1;
    for (let column = left; column <= right; column++) {
      const missing = column < right && Number.isNaN(values[row * columns.count + column]);
      if (missing && start < 0) start = column;
      if (missing || start < 0) continue;
      context.rect(x(start), y(row + 1), (column - start) * across, down);
      found = true;
      start = -1;
    }
  }
  if (!found) return;
  context.fillStyle = colors.soft;
  context.fill();
  context.save();
  context.clip();
  const [from, to] = [x(left), x(right)];
  const [top, bottom] = [y(high), y(low)];
  context.beginPath();
  for (let at = from - (bottom - top); at < to; at += 6) {
    context.moveTo(at, bottom);
    context.lineTo(at + bottom - top, top);
  }
  context.strokeStyle = colors.edge;
  context.lineWidth = 1.25;
  context.stroke();
  context.restore();
}

function writeValues(
  context: CanvasRenderingContext2D,
  { values, columns, range, dark }: Scene,
  { left, right, low, high }: Seen,
  { x, y, across, down }: Grid,
): void {
  const table = likeness(dark);
  context.font = font(10.5);
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let row = low; row < high; row++) {
    for (let column = left; column < right; column++) {
      const value = values[row * columns.count + column] as number;
      if (Number.isNaN(value)) continue;
      context.fillStyle = inkOn(table[stepAt(value, range)] as number);
      context.fillText(
        figure(value, 2).replace("0.", "."),
        x(column) + across / 2,
        y(row) - down / 2,
      );
    }
  }
}

function outline(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  width: number,
  height: number,
  color: string,
  halo: string,
): void {
  const [wide, tall] = [Math.max(0, 6 - width) / 2, Math.max(0, 6 - height) / 2];
  context.lineJoin = "round";
  for (const [style, line] of [
    [color, 5],
    [halo, 2.5],
  ] as const) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.strokeRect(x - wide, y - tall, width + 2 * wide, height + 2 * tall);
  }
}

/** The cell under a point of the canvas. */
export function cellAt(
  { rows, columns }: Pick<Scene, "rows" | "columns">,
  camera: Camera,
  plot: Plot,
  cell: Size,
  x: number,
  y: number,
): Cell | null {
  const [px, py] = [x - plot.left, y - plot.top];
  if (px < 0 || py < 0 || px >= plot.width || py >= plot.height) return null;
  const column = Math.floor((camera.x + px / camera.zoom) / cell.width);
  const row = rows.count - 1 - Math.floor((camera.y + py / camera.zoom) / cell.height);
  return row < 0 || column >= columns.count ? null : { row, column };
}
