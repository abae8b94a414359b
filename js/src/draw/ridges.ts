// Coefficients along each component: a ridge for the group, a line for the model, one for the layer;
// before each ridge the patterns themselves.
import type { Colors } from "./colors";
import { canvasOf, heatOf } from "./pixels";
import { widthOf, write } from "./text";

export interface Ridges {
  /** Names of the group, the model, the layer; "" of what is not drawn. */
  readonly names: readonly string[];
  /** Of each component their densities at evenly spaced points. */
  readonly curves: readonly (readonly Float32Array[])[];
  /** Components of the two bases (components, taps), and what each explains. */
  readonly bases: readonly { name: string; images: Float32Array; shares: Float32Array }[];
  /** Share of the drift that each component makes. */
  readonly parts: readonly number[];
  readonly span: readonly [number, number];
  readonly dark: boolean;
  readonly hover: Hover | null;
}

/** The component pointed at, and where: a share of the width. */
export interface Hover {
  component: number;
  at: number;
}

const HEAD = 40;
const FOOT = 18;

export function layoutRidges(
  size: { width: number; height: number },
  count: number,
  bases: number,
) {
  const row = (size.height - HEAD - FOOT) / Math.max(1, count);
  // whole pixels a tap
  const side = Math.min(27, 3 * Math.floor((row - 4) / 3));
  const column = Math.max(57, side + 36);
  return { side, column, left: bases * column + 2, right: size.width - 38, top: HEAD, row, count };
}

export type RidgesLayout = ReturnType<typeof layoutRidges>;

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
  const { bases, curves, hover, span, parts } = data;
  const layout = layoutRidges(size, curves.length, bases.length);
  const { side, column, left, right, top, row } = layout;
  const bottom = size.height - FOOT;
  const say = (text: string, x: number, y: number, align: CanvasTextAlign = "left") =>
    write(context, text, x, y, { color: colors.muted, size: 10.5, baseline: "middle", align });
  legend(context, data, size.width, colors);
  say("of drift", size.width, HEAD - 9, "right");
  if (hover) {
    context.fillStyle = colors.soft;
    context.fillRect(0, top + hover.component * row, size.width, row);
    context.fillStyle = colors.edge;
    context.fillRect(Math.round(left + hover.at * (right - left)), top, 1, bottom - top);
  }
  bases.forEach(({ name, images, shares }, place) => {
    const x = place * column;
    say(name, x, HEAD - 9);
    shares.forEach((share, index) => {
      const y = top + (index + 0.5) * row;
      const taps = images.subarray(index * shares.length, (index + 1) * shares.length);
      const most = taps.reduce((known, value) => Math.max(known, Math.abs(value)), 0);
      const tall = Math.sqrt(taps.length);
      // a kernel that is no square is drawn as a line of taps
      const sides = tall % 1 ? ([1, taps.length] as const) : ([tall, tall] as const);
      context.imageSmoothingEnabled = false;
      const image = canvasOf(heatOf(taps, sides, most, data.dark, false));
      context.drawImage(image, x, Math.round(y - side / 2), side, side);
      say(percents(share), x + side + 4, y);
    });
  });
  curves.forEach((three, index) => {
    const base = top + (index + 1) * row - 1;
    context.fillStyle = colors.line;
    context.fillRect(left, Math.round(base), right - left, 1);
    ridge(context, three, layout, base, colors);
    say(percents(parts[index] as number), size.width, base - row / 2 + 1, "right");
  });
  const [low, high] = span;
  const figure = (value: number) => value.toFixed(1).replace("-", "−");
  say(figure(low), left, bottom + 11);
  say("0", left + (low / (low - high)) * (right - left), bottom + 11, "center");
  say(figure(high), right, bottom + 11, "right");
}

const percents = (share: number): string =>
  Number.isFinite(share) ? `${Math.round(100 * share)} %` : "–";

/** The title, and each kind of line with its name: filled, dashed, drawn through. */
function legend(
  context: CanvasRenderingContext2D,
  { names }: Ridges,
  width: number,
  colors: Colors,
): void {
  let x = width;
  [...names.entries()].reverse().forEach(([index, name]) => {
    if (!name) return;
    write(context, name, x, 8.5, { color: colors.fg, align: "right", baseline: "middle" });
    x -= widthOf(context, name) + 19;
    if (index) {
      stroke(context, index, colors, [
        [x, 8],
        [x + 14, 8],
      ]);
    } else {
      context.fillStyle = colors.edge;
      context.fillRect(x, 4, 14, 8);
    }
    x -= 14;
  });
  const style = { color: colors.fg, size: 12.5, weight: 600, baseline: "middle" } as const;
  if (x > 90) write(context, "Coefficients", 0, 8, style);
}

function stroke(
  context: CanvasRenderingContext2D,
  index: number,
  colors: Colors,
  points: readonly (readonly [number, number])[],
): void {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.strokeStyle = [colors.edge, colors.entropy, colors.sparse][index] as string;
  context.setLineDash(index === 1 ? [4, 2.5] : []);
  context.stroke();
  context.setLineDash([]);
}

function ridge(
  context: CanvasRenderingContext2D,
  three: readonly Float32Array[],
  { left, right, row }: RidgesLayout,
  base: number,
  colors: Colors,
): void {
  const finite = three.flatMap((values) => [...values]).filter(Number.isFinite);
  // the highest overlaps the row above a little
  const scale = (row * 1.12) / Math.max(1e-9, ...finite);
  three.forEach((values, index) => {
    if (!Number.isFinite(values[0])) return;
    const points = Array.from(values, (value, step) => {
      return [left + (step / (values.length - 1)) * (right - left), base - value * scale] as const;
    });
    stroke(context, index, colors, points);
    if (index) return;
    context.globalAlpha = 0.5;
    context.fillStyle = colors.edge;
    context.fill();
    context.globalAlpha = 1;
  });
}
