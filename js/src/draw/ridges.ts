// Coefficients along each component: a ridge for the group, a line for the model, one for the layer;
// before each ridge the patterns themselves.
import { css, diverging, STEPS, stepOf } from "../colormap";
import type { Colors } from "./colors";
import { widthOf, write } from "./text";

export interface Curve {
  /** Densities at evenly spaced points; null where there are no filters. */
  readonly values: Float64Array | null;
  readonly name: string;
}

export interface Ridges {
  /** Of each component: the group, the model, the layer. */
  readonly curves: readonly (readonly [Curve, Curve, Curve])[];
  /** Components of the two bases (components, taps), and what each explains. */
  readonly bases: readonly { name: string; images: Float32Array; shares: Float32Array }[];
  readonly kernel: readonly [height: number, width: number];
  /** Share of the layer's drift that each component makes. */
  readonly parts: readonly (number | null)[];
  readonly span: readonly [number, number];
  readonly dark: boolean;
  /** The component pointed at, and where: a share of the width. */
  readonly hover: { component: number; at: number } | null;
}

const HEAD = 40;
const FOOT = 18;

export interface RidgesLayout {
  /** Side of an eigenimage, and from one to the next across. */
  readonly side: number;
  readonly column: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly row: number;
  readonly count: number;
}

export function layoutRidges(
  { width, height }: { width: number; height: number },
  { bases, curves }: Pick<Ridges, "bases" | "curves">,
): RidgesLayout {
  const count = Math.max(1, curves.length);
  const row = (height - HEAD - FOOT) / count;
  // whole pixels a tap
  const side = Math.min(27, 3 * Math.floor((row - 4) / 3));
  const column = Math.max(57, side + 36);
  const left = bases.length * column + 2;
  return { side, column, left, right: width - 38, top: HEAD, row, count };
}

/** The component at a point, and where along it. */
export function ridgeAt({ left, right, top, row, count }: RidgesLayout, x: number, y: number) {
  const component = Math.floor((y - top) / row);
  if (component < 0 || component >= count) return null;
  return { component, at: Math.min(1, Math.max(0, (x - left) / (right - left))) };
}

export function drawRidges(
  context: CanvasRenderingContext2D,
  size: { width: number; height: number },
  data: Ridges,
  colors: Colors,
): void {
  const layout = layoutRidges(size, data);
  const { side, column, left, right, top, row } = layout;
  const { bases, curves, hover, span, parts } = data;
  const muted = { color: colors.muted, size: 10.5, baseline: "middle" } as const;
  legend(context, data, size.width, colors);
  bases.forEach(({ name }, index) => {
    write(context, name, index * column, HEAD - 9, muted);
  });
  write(context, "of drift", size.width, HEAD - 9, { ...muted, align: "right" });
  const bottom = top + row * curves.length;
  if (hover) {
    context.fillStyle = colors.soft;
    context.fillRect(0, top + hover.component * row, size.width, row);
    context.fillStyle = colors.edge;
    context.fillRect(Math.round(left + hover.at * (right - left)), top, 1, bottom - top);
  }
  curves.forEach((three, index) => {
    const base = top + (index + 1) * row;
    bases.forEach((basis, place) => {
      const y = base - row / 2;
      const x = place * column + 0.5;
      image(context, basis.images, index, data, x, Math.round(y - side / 2) + 0.5, side, colors);
      const share = `${Math.round(100 * (basis.shares[index] as number))} %`;
      write(context, share, x + side + 4, y + 0.5, muted);
    });
    context.fillStyle = colors.line;
    context.fillRect(left, Math.round(base) - 1, right - left, 1);
    ridge(context, three, layout, base - 1, colors);
    const part = parts[index] ?? null;
    const text = part === null ? "–" : `${Math.round(100 * part)} %`;
    write(context, text, size.width, base - row / 2 + 0.5, { ...muted, align: "right" });
  });
  const [low, high] = span;
  const zero = left + ((0 - low) / (high - low)) * (right - left);
  const y = bottom + 11;
  write(context, low.toFixed(1).replace("-", "−"), left, y, muted);
  if (zero > left + 30 && zero < right - 30) {
    write(context, "0", zero, y, { ...muted, align: "center" });
  }
  write(context, high.toFixed(1), right, y, { ...muted, align: "right" });
}

/** The title, and each kind of line with its name: filled, dashed, drawn through. */
function legend(
  context: CanvasRenderingContext2D,
  { curves }: Ridges,
  width: number,
  colors: Colors,
): void {
  const shown = [...(curves[0] ?? [])].flatMap(({ name, values }, index) =>
    values && name ? [{ name, index, wide: widthOf(context, name) }] : [],
  );
  const title = "Coefficients";
  const all = shown.reduce((sum, { wide }) => sum + wide + 33, 0);
  const room = width - widthOf(context, title, 12.5, 600) - 16 >= all - 14;
  if (room) {
    write(context, title, 0, 8, {
      color: colors.fg,
      size: 12.5,
      weight: 600,
      baseline: "middle",
    });
  }
  let x = room ? width - all + 14 : 0;
  for (const { name, index, wide } of shown) {
    if (index === 0) {
      context.fillStyle = colors.edge;
      context.fillRect(x, 4, 14, 8);
    } else stroke(context, index, colors, () => line(context, [x, 8], [x + 14, 8]));
    write(context, name, x + 19, 8.5, { color: colors.fg, baseline: "middle" });
    x += wide + 33;
  }
}

function line(
  context: CanvasRenderingContext2D,
  from: readonly [number, number],
  to: readonly [number, number],
): void {
  context.moveTo(...from);
  context.lineTo(...to);
}

function stroke(
  context: CanvasRenderingContext2D,
  index: number,
  colors: Colors,
  path: () => void,
): void {
  context.beginPath();
  path();
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.strokeStyle = index === 1 ? colors.entropy : index === 2 ? colors.sparse : colors.edge;
  context.setLineDash(index === 1 ? [4, 2.5] : []);
  context.stroke();
  context.setLineDash([]);
}

function ridge(
  context: CanvasRenderingContext2D,
  three: Ridges["curves"][number],
  { left, right, row }: RidgesLayout,
  base: number,
  colors: Colors,
): void {
  let most = 0;
  for (const { values } of three) most = Math.max(most, ...(values ?? []));
  if (most === 0) return;
  // the highest overlaps the row above a little
  const tall = row * 1.12;
  three.forEach(({ values }, index) => {
    if (!values) return;
    const path = () => {
      values.forEach((value, step) => {
        const x = left + (step / (values.length - 1)) * (right - left);
        context.lineTo(x, base - (value / most) * tall);
      });
    };
    if (index === 0) {
      context.beginPath();
      context.moveTo(left, base);
      path();
      context.lineTo(right, base);
      context.fillStyle = colors.edge;
      context.globalAlpha = 0.5;
      context.fill();
      context.globalAlpha = 1;
    }
    stroke(context, index, colors, path);
  });
}

function image(
  context: CanvasRenderingContext2D,
  images: Float32Array,
  index: number,
  { kernel: [height, width], dark }: Ridges,
  x: number,
  y: number,
  longest: number,
  colors: Colors,
): void {
  const taps = images.subarray(index * height * width, (index + 1) * height * width);
  const range = taps.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const side = longest / Math.max(height, width);
  const table = diverging(dark);
  const edge = (place: number) => Math.round(place * side);
  taps.forEach((value, tap) => {
    const [row, column] = [Math.floor(tap / width), tap % width];
    context.fillStyle = css(table[stepOf(value, range) + STEPS] as number);
    const [a, b] = [edge(column), edge(row)];
    context.fillRect(x + a, y + b, edge(column + 1) - a, edge(row + 1) - b);
  });
  context.strokeStyle = colors.line;
  context.lineWidth = 1;
  context.strokeRect(x - 0.5, y - 0.5, edge(width) + 1, edge(height) + 1);
}
