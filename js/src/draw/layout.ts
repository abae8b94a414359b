// Where each filter of a gallery lies, in world units: one tap is 1 x 1 (1-D and 1x1 kernels are
// stretched). Filters fill slots row by row; in position order a row holds whole outputs.

export interface Kernel {
  readonly depth: number;
  readonly height: number;
  readonly width: number;
  readonly taps: number;
}

export function kernelOf(sizes: readonly number[]): Kernel {
  const [width = 1, height = 1, depth = 1] = [...sizes].reverse();
  return { depth, height, width, taps: depth * height * width };
}

export interface Layout {
  readonly kernel: Kernel;
  readonly outs: number;
  readonly inputs: number;
  /** Filters; the last row may not be full. */
  readonly count: number;
  readonly cols: number;
  readonly rows: number;
  /** Position order: whole outputs in a row, most often 1. Sorted: 0. */
  readonly outsPerRow: number;
  /** World size of one filter. */
  readonly cellWidth: number;
  readonly cellHeight: number;
  /** World units between two outputs of one row. */
  readonly space: number;
  readonly width: number;
  readonly height: number;
}

/** World units between two slices of a 3-D kernel. */
const SLICE = 0.5;

/** How thin a weight of a 1x1 kernel may be drawn. */
const STRETCH = 40;

const clamp = (value: number, low: number, high: number): number =>
  Math.min(high, Math.max(low, value));

/** World size of one filter: stretched where it would be a thin strip. */
function cellOf(kernel: Kernel): [width: number, height: number] {
  const width = kernel.depth * kernel.width + (kernel.depth - 1) * SLICE;
  return [width, kernel.height === 1 ? Math.max(1, width / 3) : kernel.height];
}

function place(
  kernel: Kernel,
  outs: number,
  inputs: number,
  cols: number,
  outsPerRow: number,
  cell: readonly [number, number],
  space: number,
): Layout {
  const count = outs * inputs;
  const rows = Math.max(1, Math.ceil(count / cols));
  const [cellWidth, cellHeight] = cell;
  const width = cols * cellWidth + Math.max(0, outsPerRow - 1) * space;
  const height = rows * cellHeight;
  // biome-ignore format: one line
  return { kernel, outs, inputs, count, cols, rows, outsPerRow, cellWidth, cellHeight, space, width, height };
}

/**
 * Outputs down, inputs across. Where that would be a thin strip, 1x1 kernels are stretched, and
 * for the others several outputs share a row (a depthwise layer then is a near-square flow).
 *
 * `aspect` is width / height of what it is drawn in.
 */
export function byPosition(kernel: Kernel, outs: number, inputs: number, aspect: number): Layout {
  const [width, height] = cellOf(kernel);
  const tall = (outs * height * aspect) / (inputs * width);
  if (kernel.taps === 1 && inputs > 1) {
    const stretch = clamp(tall, 1 / STRETCH, STRETCH);
    const cell: [number, number] =
      stretch > 1.5 ? [stretch, 1] : stretch < 1 / 1.5 ? [1, 1 / stretch] : [1, 1];
    if (tall < 2.5 * STRETCH) return place(kernel, outs, inputs, inputs, 1, cell, 0);
  }
  if (tall <= 2.5) return place(kernel, outs, inputs, inputs, 1, [width, height], 0);
  // a power of two, as most channel counts are, so that rows begin with round numbers
  const perRow = clamp(2 ** Math.round(Math.log2(Math.sqrt(tall))), 1, outs);
  const space = inputs > 1 && perRow > 1 ? Math.min(width, Math.max(1, height / 3)) : 0;
  return place(kernel, outs, inputs, perRow * inputs, perRow, [width, height], space);
}

/** A near-square flow, for sorted filters. */
export function inFlow(kernel: Kernel, outs: number, inputs: number, aspect: number): Layout {
  const cell = cellOf(kernel);
  const count = outs * inputs;
  const cols = clamp(Math.ceil(Math.sqrt((count * aspect * cell[1]) / cell[0])), 1, count || 1);
  return place(kernel, outs, inputs, cols, 0, cell, 0);
}

/** World x at which a column begins. */
export const xOf = (layout: Layout, col: number): number =>
  col * layout.cellWidth + (layout.space > 0 ? Math.floor(col / layout.inputs) * layout.space : 0);

/** World y at which a row begins. */
export const yOf = (layout: Layout, row: number): number => row * layout.cellHeight;

/** The column at a world x, or the one before the space that x falls into. */
export function colAt(layout: Layout, x: number): number {
  const { cellWidth, space, inputs } = layout;
  if (space === 0) return Math.floor(x / cellWidth);
  const group = inputs * cellWidth + space;
  const index = Math.floor(x / group);
  return index * inputs + Math.min(inputs - 1, Math.floor((x - index * group) / cellWidth));
}

export const rowAt = (layout: Layout, y: number): number => Math.floor(y / layout.cellHeight);

/** The tap at a point of a cell, both from 0 to 1; `col` = width in the space between slices. */
export function tapAt(
  { kernel, cellWidth }: Layout,
  u: number,
  v: number,
): { slice: number; col: number; row: number } {
  const row = Math.floor(v * kernel.height);
  if (kernel.depth === 1) return { slice: 0, col: Math.floor(u * kernel.width), row };
  const pitch = (cellWidth + SLICE) / kernel.depth;
  const at = u * cellWidth;
  const slice = Math.min(kernel.depth - 1, Math.floor(at / pitch));
  return { slice, col: Math.min(kernel.width, Math.floor(at - slice * pitch)), row };
}

/** The slot of each filter: the inverse of an order, which gives the filter of each slot. */
export function slotsOf(order: Uint32Array): Uint32Array {
  const slots = new Uint32Array(order.length);
  order.forEach((filter, slot) => {
    slots[filter] = slot;
  });
  return slots;
}
