// A gallery laid onto device pixels: which cells are on screen, and on which pixels each begins and
// ends. Drawing and pointing both read it, so that they cannot disagree.
import type { Camera, Size } from "./camera";
import { colAt, type Layout, rowAt, tapAt, xOf, yOf } from "./layout";

/** The visible columns or rows and their pixels. */
export interface Span {
  /** First index on screen; `starts` and `ends` begin with it. */
  readonly first: number;
  readonly starts: Int32Array;
  /** The pixel behind each cell, the gap to the next one left out. */
  readonly ends: Int32Array;
}

export interface Frame {
  readonly layout: Layout;
  /** Device pixels, `bleed` on each side of what the camera sees included. */
  readonly bleed: number;
  readonly width: number;
  readonly height: number;
  /** Device pixels of one cell, and of one tap. */
  readonly cell: Size;
  readonly tap: number;
  /** Device pixels between cells, and how far they have faded in, 0 to 1. */
  readonly gap: number;
  readonly fade: number;
  /** null where cells are smaller than a pixel; then `colOf` and `rowOf` say which one a pixel shows. */
  readonly cols: Span | null;
  readonly rows: Span | null;
  readonly colOf: (x: number) => number;
  readonly rowOf: (y: number) => number;
}

/** Gaps are for cells that can be told apart; they fade in, and then grow with the cells. */
export function gapOf(cell: number, taps: number, dpr: number): { gap: number; fade: number } {
  const [from, to] = taps === 1 ? [10, 16] : [5, 9];
  const size = cell / dpr;
  if (size <= from) return { gap: 0, fade: 0 };
  const fade = Math.min(1, (size - from) / (to - from));
  const width = taps === 1 ? 1 : Math.min(4, size * 0.11);
  return { gap: Math.max(1, Math.round(width * dpr)), fade };
}

/** `bleed`: device pixels around what the camera sees, for the outlines of what is at its edges. */
export function frameOf(
  layout: Layout,
  camera: Camera,
  screen: Size,
  dpr: number,
  bleed = 0,
): Frame {
  const scale = camera.zoom * dpr;
  const width = Math.round(screen.width * dpr) + 2 * bleed;
  const height = Math.round(screen.height * dpr) + 2 * bleed;
  const left = camera.x - bleed / scale;
  const top = camera.y - bleed / scale;
  const cell = { width: layout.cellWidth * scale, height: layout.cellHeight * scale };
  const { gap, fade } = gapOf(Math.min(cell.width, cell.height), layout.kernel.taps, dpr);
  const within = (index: number, count: number) => (index >= 0 && index < count ? index : -1);
  const colOf = (x: number) => within(colAt(layout, left + (x + 0.5) / scale), layout.cols);
  const rowOf = (y: number) => within(rowAt(layout, top + (y + 0.5) / scale), layout.rows);

  const span = (
    first: number,
    last: number,
    begin: (index: number) => number,
    size: number,
    offset: number,
  ): Span => {
    const count = Math.max(0, last - first + 1);
    const starts = new Int32Array(count);
    const ends = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      const at = begin(first + i);
      const next = begin(first + i + 1);
      // where the next cell follows at once, the very same number as its start
      const end = next - at > size * 1.0001 ? at + size : next;
      starts[i] = Math.round((at - offset) * scale) + bleed;
      ends[i] = Math.round((end - offset) * scale) + bleed - gap;
    }
    return { first, starts, ends };
  };
  const lastCol = Math.min(layout.cols - 1, colAt(layout, left + width / scale));
  const lastRow = Math.min(layout.rows - 1, rowAt(layout, top + height / scale));
  const small = cell.width < 1 || cell.height < 1;
  const firstCol = Math.max(0, colAt(layout, left));
  const firstRow = Math.max(0, rowAt(layout, top));
  return {
    layout,
    bleed,
    width,
    height,
    cell,
    tap: Math.min(cell.width / layout.cellWidth, cell.height / layout.kernel.height),
    gap,
    fade,
    cols: small
      ? null
      : span(firstCol, lastCol, (col) => xOf(layout, col), layout.cellWidth, camera.x),
    rows: small
      ? null
      : span(firstRow, lastRow, (row) => yOf(layout, row), layout.cellHeight, camera.y),
    colOf,
    rowOf,
  };
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The pixels of a cell, its gap left out; null where it is not on screen. */
export function boxOf({ cols, rows }: Frame, col: number, row: number): Box | null {
  if (!cols || !rows) return null;
  const i = col - cols.first;
  const j = row - rows.first;
  const x = cols.starts[i];
  const y = rows.starts[j];
  if (x === undefined || y === undefined) return null;
  return { x, y, width: (cols.ends[i] as number) - x, height: (rows.ends[j] as number) - y };
}

export interface Hit {
  readonly slot: number;
  /** Index of the tap within the filter. */
  readonly tap: number;
}

/** The index in a span that a pixel belongs to; a gap belongs to the cell before it. */
function indexIn(span: Span, pixel: number): number {
  let low = 0;
  let high = span.starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((span.starts[middle] as number) <= pixel) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** What lies under a device pixel; null beside the filters. */
export function hitAt(frame: Frame, x: number, y: number): Hit | null {
  const { layout, cols, rows } = frame;
  if (x < 0 || y < 0 || x >= frame.width || y >= frame.height) return null;
  const px = Math.floor(x);
  const py = Math.floor(y);
  if (!cols || !rows) {
    const col = frame.colOf(px);
    const row = frame.rowOf(py);
    const slot = row * layout.cols + col;
    return col < 0 || row < 0 || slot >= layout.count ? null : { slot, tap: 0 };
  }
  if (cols.starts.length === 0 || rows.starts.length === 0) return null;
  const i = indexIn(cols, px);
  const j = indexIn(rows, py);
  const left = cols.starts[i] as number;
  const top = rows.starts[j] as number;
  const right = cols.ends[i] as number;
  const bottom = rows.ends[j] as number;
  const slot = (rows.first + j) * layout.cols + cols.first + i;
  if (px >= right + frame.gap || py >= bottom + frame.gap || slot >= layout.count) return null;
  const { slice, col, row } = tapAt(
    layout,
    Math.min(0.999999, (px - left + 0.5) / (right - left)),
    Math.min(0.999999, (py - top + 0.5) / (bottom - top)),
  );
  const { width, height } = layout.kernel;
  return { slot, tap: (slice * height + row) * width + Math.min(width - 1, col) };
}

/** A zoom near `zoom`, not above it, at which cells and taps fall on whole pixels. */
export function crispZoom(layout: Layout, zoom: number, dpr: number): number {
  const { kernel, cellWidth, cellHeight } = layout;
  const most = cellWidth * zoom * dpr;
  if (most < 3) return zoom;
  const scale = cellHeight / cellWidth;
  for (let cell = Math.floor(most); cell >= most * 0.86; cell--) {
    const { gap } = gapOf(Math.min(cell, cell * scale), kernel.taps, dpr);
    if (kernel.depth === 1 && (cell - gap) % kernel.width === 0) return cell / cellWidth / dpr;
  }
  return Math.floor(most) / cellWidth / dpr;
}
