// The two histograms of a layer: its weights, and the largest weight of each filter.
import { percent, weight } from "../format";
import type { Distribution } from "../load";
import type { Colors } from "./colors";
import { widthOf, write } from "./text";

const TITLE = 20;
const FOOT = 16;

/** All weights of the layer, symmetric about zero. */
export function drawWeights(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  { weights, low, high }: Distribution,
  colors: Colors,
): void {
  const plot = { top: TITLE, bottom: height - FOOT };
  write(context, "Weights", 0, 11, { color: colors.fg, weight: 600 });
  context.globalAlpha = 0.75;
  columns(context, width, plot, weights, () => colors.entropy);
  context.globalAlpha = 1;
  base(context, width, plot.bottom, colors);
  const y = height - 3;
  write(context, weight(low), 0, y, { color: colors.muted });
  write(context, "0", width / 2, y, { color: colors.muted, align: "center" });
  write(context, weight(high), width, y, { color: colors.muted, align: "right" });
}

/** The largest weight of each filter, of the layer's largest, on a log scale; those below eps are sparse. */
export function drawPeaks(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  { peaks, peak_low: low, peak_high: high }: Distribution,
  eps: number,
  sparse: string,
  colors: Colors,
): void {
  const plot = { top: TITLE, bottom: height - FOOT };
  const titles = ["Largest weight of each filter", "Largest per filter", "Largest"];
  const title = titles.find((text) => widthOf(context, text, 11, 600) <= width) ?? "";
  write(context, title, 0, 11, { color: colors.fg, weight: 600 });
  const limit = Math.log10(eps);
  const binWidth = (high - low) / peaks.length;
  context.globalAlpha = 0.75;
  columns(context, width, plot, peaks, (bin) =>
    low + (bin + 0.5) * binWidth < limit ? colors.sparse : colors.entropy,
  );
  context.globalAlpha = 1;
  base(context, width, plot.bottom, colors);
  const x = ((limit - low) / (high - low)) * width;
  context.fillStyle = colors.fg;
  context.fillRect(Math.round(x), plot.top - 2, 1, plot.bottom - plot.top + 2);
  // The words stand on whichever side of the line has the room.
  const room = widthOf(context, sparse) + 6;
  const left = x < room;
  const at = left ? x + 5 : x - 5;
  const align = left ? "left" : "right";
  write(context, sparse, at, plot.top + 8, { color: colors.fg, align });
  const y = height - 3;
  for (let power = Math.ceil(low); power <= high; power += 2) {
    const place = ((power - low) / (high - low)) * width;
    const side = power === low ? "left" : power === high ? "right" : "center";
    const text = percent(10 ** power);
    write(context, power === low ? `≤ ${text}` : text, place, y, {
      color: colors.muted,
      align: side,
    });
  }
}

function columns(
  context: CanvasRenderingContext2D,
  width: number,
  { top, bottom }: { top: number; bottom: number },
  counts: Uint32Array,
  color: (bin: number) => string,
): void {
  const most = counts.reduce((a, b) => Math.max(a, b), 1);
  const step = width / counts.length;
  const gap = step > 5 ? 1.5 : step > 2.5 ? 0.75 : 0;
  counts.forEach((value, bin) => {
    if (value === 0) return;
    const height = Math.max(1, ((bottom - top) * value) / most);
    context.fillStyle = color(bin);
    context.fillRect(bin * step, bottom - height, Math.max(0.5, step - gap), height);
  });
}

function base(context: CanvasRenderingContext2D, width: number, y: number, colors: Colors): void {
  context.fillStyle = colors.edge;
  context.fillRect(0, y, width, 1);
}
