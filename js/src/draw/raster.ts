// The filters themselves, written pixel by pixel: one look-up a pixel, whatever the zoom, the order
// and the number of filters, and no limit on the size of a layer as a canvas texture has one.
import { diverging, mix, STEPS } from "../colormap";
import { type Box, boxOf, type Frame } from "./frame";
import { tapAt } from "./layout";
import { EMPTY, type Overview, type TapLevel, type Texture } from "./texture";

/** Device pixels as a canvas stores them. */
export interface Surface {
  readonly pixels: Uint32Array;
  readonly width: number;
  readonly height: number;
}

export interface Material {
  readonly texture: Texture;
  readonly overview: Overview;
  /** The filter of each slot; null where they are the same. */
  readonly order: Uint32Array | null;
  /** The pixel of step s at [s + STEPS], BAD and EMPTY included. */
  readonly table: Uint32Array;
}

/** The diverging map with the ground behind it. */
export function tableOf(dark: boolean, ground: number): Uint32Array {
  const table = new Uint32Array(STEPS + EMPTY + 1);
  table.set(diverging(dark));
  table[STEPS + EMPTY] = ground;
  return table;
}

export function paintFilters(surface: Surface, frame: Frame, material: Material): void {
  surface.pixels.fill(material.table[STEPS + EMPTY] as number);
  if (frame.cols && frame.rows) new Cells(surface, frame, material).paint();
  else paintOverview(surface, frame, material);
}

/** Cells smaller than a pixel: each pixel shows a texel that covers at least all of it. */
function paintOverview({ pixels, width, height }: Surface, frame: Frame, material: Material): void {
  const across = Math.max(0, Math.ceil(Math.log2(1 / frame.cell.width)));
  const down = Math.max(0, Math.ceil(Math.log2(1 / frame.cell.height)));
  const level = material.overview.level(across, down);
  const { table } = material;
  const texels = new Int32Array(width);
  for (let x = 0; x < width; x++) texels[x] = frame.colOf(x) >> across;
  let drawn = -1;
  for (let y = 0; y < height; y++) {
    const row = frame.rowOf(y) >> down;
    if (row < 0) continue;
    const line = y * width;
    if (row === drawn) {
      pixels.copyWithin(line, line - width, line);
      continue;
    }
    drawn = row;
    const base = row * level.width;
    for (let x = 0; x < width; x++) {
      const texel = texels[x] as number;
      if (texel >= 0)
        pixels[line + x] = table[(level.steps[base + texel] as number) + STEPS] as number;
    }
  }
}

/** Cells of a pixel and more: taps, or several of them in a texel where they are smaller. */
class Cells {
  readonly #surface: Surface;
  readonly #frame: Frame;
  readonly #material: Material;
  readonly #detail: number;
  readonly #level: TapLevel;
  /** Where in a filter each pixel of a line reads; -1 in gaps. */
  readonly #offsets: Int32Array;
  readonly #ground: number;

  constructor(surface: Surface, frame: Frame, material: Material) {
    this.#surface = surface;
    this.#frame = frame;
    this.#material = material;
    this.#detail = Math.max(0, Math.ceil(Math.log2(1 / frame.tap) - 1e-6));
    this.#level = material.texture.taps(this.#detail);
    this.#ground = material.table[STEPS + EMPTY] as number;
    this.#offsets = this.#across();
  }

  paint(): void {
    const { frame, width, height } = { frame: this.#frame, ...this.#surface };
    const { pixels } = this.#surface;
    const rows = frame.rows as NonNullable<Frame["rows"]>;
    const tall = frame.layout.kernel.height;
    for (let j = 0; j < rows.starts.length; j++) {
      const start = rows.starts[j] as number;
      const end = rows.ends[j] as number;
      let drawn = -1;
      for (let y = Math.max(0, start); y < Math.min(height, end); y++) {
        const line = Math.floor(((y - start + 0.5) / (end - start)) * tall) >> this.#detail;
        if (line === drawn) pixels.copyWithin(y * width, (y - 1) * width, y * width);
        else this.#line(y * width, rows.first + j, line);
        drawn = line;
      }
      if (frame.fade < 1) {
        for (let y = Math.max(1, end); y < Math.min(height, end + frame.gap); y++) {
          for (let at = y * width; at < (y + 1) * width; at++) {
            pixels[at] = mix(pixels[at - width] as number, this.#ground, frame.fade);
          }
        }
      }
    }
  }

  #across(): Int32Array {
    const { layout, gap, fade } = this.#frame;
    const cols = this.#frame.cols as NonNullable<Frame["cols"]>;
    const { width } = this.#surface;
    const offsets = new Int32Array(width).fill(-1);
    for (let i = 0; i < cols.starts.length; i++) {
      const start = cols.starts[i] as number;
      const end = cols.ends[i] as number;
      for (let x = Math.max(0, start); x < Math.min(width, end); x++) {
        const { slice, col } = tapAt(layout, (x - start + 0.5) / (end - start), 0);
        if (col === layout.kernel.width) continue;
        offsets[x] = slice * this.#level.height * this.#level.width + (col >> this.#detail);
      }
      if (fade < 1) offsets.fill(offsets[end - 1] ?? -1, Math.max(0, end), Math.max(0, end + gap));
    }
    return offsets;
  }

  #line(at: number, row: number, texelRow: number): void {
    const { pixels, width } = this.#surface;
    const { layout, gap, fade } = this.#frame;
    const cols = this.#frame.cols as NonNullable<Frame["cols"]>;
    const { order, table } = this.#material;
    const { steps, size } = this.#level;
    const offsets = this.#offsets;
    const within = texelRow * this.#level.width;
    for (let i = 0; i < cols.starts.length; i++) {
      const slot = row * layout.cols + cols.first + i;
      if (slot >= layout.count) break;
      const base = (order ? (order[slot] as number) : slot) * size + within;
      const end = cols.ends[i] as number;
      const last = Math.min(width, end + (fade < 1 ? gap : 0));
      for (let x = Math.max(0, cols.starts[i] as number); x < last; x++) {
        const offset = offsets[x] as number;
        if (offset >= 0) {
          pixels[at + x] = table[(steps[base + offset] as number) + STEPS] as number;
        }
      }
      if (fade < 1) {
        for (let x = Math.max(0, end); x < last; x++) {
          pixels[at + x] = mix(pixels[at + x] as number, this.#ground, fade);
        }
      }
    }
  }
}

export interface Marks {
  /** 1 a filter: outlined in `outline`. */
  readonly sparse: Uint8Array | null;
  /** 1 a filter: hatched in `hatch`. */
  readonly bad: Uint8Array | null;
  readonly outline: number;
  readonly hatch: number;
  /** Most are sparse: their outlines step back behind the rest. */
  readonly faint: boolean;
}

/** How much of what it covers a faint outline lets through. */
const THROUGH = 0.55;

/** Smallest cell, in CSS pixels, on which a mark can be told from the taps. */
export const MARKED = 8;

/** Outlines and hatchings, each cell's own: shapes, so that nothing hangs on colour. */
export function paintMarks(
  surface: Surface,
  frame: Frame,
  order: Uint32Array | null,
  marks: Marks,
  dpr: number,
): void {
  const { cols, rows, layout, cell } = frame;
  if (!cols || !rows || Math.min(cell.width, cell.height) < MARKED * dpr) return;
  if (!marks.sparse && !marks.bad) return;
  const thick = Math.max(1, Math.round((marks.faint ? 0.75 : 1.25) * dpr));
  const through = marks.faint ? THROUGH : 0;
  const out = frame.gap >= 2 * thick ? thick : Math.floor(frame.gap / 2);
  for (let j = 0; j < rows.starts.length; j++) {
    for (let i = 0; i < cols.starts.length; i++) {
      const slot = (rows.first + j) * layout.cols + cols.first + i;
      if (slot >= layout.count) return;
      const filter = order ? (order[slot] as number) : slot;
      const sparse = marks.sparse?.[filter];
      const bad = marks.bad?.[filter];
      if (!sparse && !bad) continue;
      const box = boxOf(frame, cols.first + i, rows.first + j) as Box;
      if (bad) hatch(surface, box, marks.hatch, dpr);
      if (sparse) outline(surface, box, { out, thick, through, pixel: marks.outline });
    }
  }
}

interface Pen {
  readonly out: number;
  readonly thick: number;
  readonly through: number;
  readonly pixel: number;
}

/** A frame of `thick` pixels that begins `out` pixels outside the box; its corners are left out. */
function outline({ pixels, width, height }: Surface, box: Box, pen: Pen) {
  const { out, thick, through, pixel } = pen;
  const x0 = box.x - out;
  const y0 = box.y - out;
  const x1 = box.x + box.width + out;
  const y1 = box.y + box.height + out;
  const fill = (left: number, top: number, right: number, bottom: number) => {
    const from = Math.max(0, left);
    const to = Math.min(width, right);
    if (to <= from) return;
    for (let y = Math.max(0, top); y < Math.min(height, bottom); y++) {
      const line = y * width;
      if (through === 0) pixels.fill(pixel, line + from, line + to);
      else
        for (let at = line + from; at < line + to; at++)
          pixels[at] = mix(pixel, pixels[at] as number, through);
    }
  };
  fill(x0 + 1, y0, x1 - 1, y0 + thick);
  fill(x0 + 1, y1 - thick, x1 - 1, y1);
  fill(x0, y0 + thick, x0 + thick, y1 - thick);
  fill(x1 - thick, y0 + thick, x1, y1 - thick);
}

function hatch({ pixels, width, height }: Surface, box: Box, pixel: number, dpr: number) {
  const period = Math.max(3, Math.round(5 * dpr));
  const thick = Math.max(1, Math.round(1.2 * dpr));
  for (let y = Math.max(0, box.y); y < Math.min(height, box.y + box.height); y++) {
    for (let x = Math.max(0, box.x); x < Math.min(width, box.x + box.width); x++) {
      if ((x - box.x + y - box.y) % period < thick) pixels[y * width + x] = pixel;
    }
  }
}
