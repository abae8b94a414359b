// A gallery of filters, with what is marked in it and what stands beside it. The same function draws
// on the screen and into a PNG.
import { inkOn, parse, STEPS } from "../colormap";
import type { Dead } from "../filters";
import { BLEED, drawAxes, plotOf } from "./axes";
import type { Camera, Size } from "./camera";
import type { Colors } from "./colors";
import { type Box, boxOf, type Frame, frameOf } from "./frame";
import { type Layout, xOf, yOf } from "./layout";
import { type Material, paintFilters, paintMarks, type Surface } from "./raster";
import { font } from "./text";

export interface Scene {
  readonly layout: Layout;
  readonly material: Material;
  /** The slot of each filter; null where they are the same. */
  readonly slots: Uint32Array | null;
  readonly weights: Float32Array;
  readonly sparse: Uint8Array | null;
  /** More than half of the filters are sparse. */
  readonly mostlySparse: boolean;
  readonly bad: Uint8Array | null;
  readonly dead: Dead | null;
  /** What the flow is sorted by, in words. */
  readonly flow: string;
  /** Slots at which a cluster begins. */
  readonly starts: readonly number[];
  readonly colors: Colors;
}

export interface Choice {
  readonly camera: Camera;
  /** Chosen output. */
  readonly channel: number | null;
  /** Filter that stays in the card. */
  readonly pinned: number | null;
  /** Filter pointed at. */
  readonly hover: number | null;
}

/** Smallest tap, in CSS pixels, that its value is written into. */
const LEGIBLE = 38;

export class GalleryPainter {
  #image: ImageData | null = null;
  #surface: Surface | null = null;

  /** Draw onto `size` CSS pixels of a cleared context that is scaled, and moved perhaps. */
  draw(context: CanvasRenderingContext2D, scene: Scene, choice: Choice, size: Size): Frame {
    const { a: dpr, e, f } = context.getTransform();
    const { layout, material, colors } = scene;
    const plot = plotOf(layout, size, dpr);
    const frame = frameOf(layout, choice.camera, plot, dpr, Math.round(BLEED * dpr));
    const surface = this.#resize(frame);
    paintFilters(surface, frame, material);
    const marks = {
      sparse: scene.sparse,
      bad: scene.bad,
      outline: parse(colors.sparse, context),
      hatch: parse(colors.bad, context),
      faint: scene.mostlySparse,
    };
    paintMarks(surface, frame, material.order, marks, dpr);
    // straight onto device pixels, which is where they were computed for
    const x = Math.round(e + plot.left * dpr) - frame.bleed;
    const y = Math.round(f + plot.top * dpr) - frame.bleed;
    context.putImageData(this.#image as ImageData, x, y);

    context.save();
    context.translate((x - e) / dpr, (y - f) / dpr);
    context.beginPath();
    context.rect(0, 0, frame.width / dpr, frame.height / dpr);
    context.clip();
    drawValues(context, scene, frame, dpr);
    context.fillStyle = colors.fg;
    for (const slot of scene.starts) {
      const { x, y, height } = grown(placeOf(frame, choice.camera, slot, dpr), 8);
      context.fillRect(x - 2, y - 1, 2.5, height + 2);
    }
    drawChoice(context, scene, choice, frame, dpr);
    context.restore();
    const { camera, channel, hover } = choice;
    drawAxes(context, { ...scene, plot, camera, channel, hover });
    return frame;
  }

  #resize({ width, height }: Frame): Surface {
    if (this.#surface?.width !== width || this.#surface.height !== height) {
      this.#image = new ImageData(width, height);
      this.#surface = { pixels: new Uint32Array(this.#image.data.buffer), width, height };
    }
    return this.#surface as Surface;
  }
}

/** The box of a slot in CSS pixels of the plot, also where cells are smaller than a pixel. */
function placeOf({ layout, ...frame }: Frame, camera: Camera, slot: number, dpr: number): Box {
  const col = slot % layout.cols;
  const row = Math.floor(slot / layout.cols);
  const box = boxOf({ layout, ...frame }, col, row);
  if (box) {
    return { x: box.x / dpr, y: box.y / dpr, width: box.width / dpr, height: box.height / dpr };
  }
  return {
    x: (xOf(layout, col) - camera.x) * camera.zoom + frame.bleed / dpr,
    y: (yOf(layout, row) - camera.y) * camera.zoom + frame.bleed / dpr,
    width: layout.cellWidth * camera.zoom,
    height: layout.cellHeight * camera.zoom,
  };
}

/** At least `least` pixels about the middle of a box. */
function grown({ x, y, width, height }: Box, least: number): Box {
  const wider = Math.max(0, least - width) / 2;
  const taller = Math.max(0, least - height) / 2;
  return { x: x - wider, y: y - taller, width: width + 2 * wider, height: height + 2 * taller };
}

function ring(context: CanvasRenderingContext2D, box: Box, color: string, halo: string): void {
  const { x, y, width, height } = grown(box, 5);
  context.lineJoin = "round";
  const stroke = (style: string, line: number) => {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.strokeRect(x - 1, y - 1, width + 2, height + 2);
  };
  stroke(halo, 4);
  stroke(color, 2);
}

function drawChoice(
  context: CanvasRenderingContext2D,
  { layout, slots, colors }: Scene,
  { camera, channel, pinned, hover }: Choice,
  frame: Frame,
  dpr: number,
): void {
  const place = (filter: number) =>
    placeOf(frame, camera, slots ? (slots[filter] as number) : filter, dpr);
  if (channel !== null && channel < layout.outs) {
    const first = channel * layout.inputs;
    context.strokeStyle = colors.accent;
    context.lineWidth = 1.5;
    if (slots) {
      context.beginPath();
      for (let input = 0; input < layout.inputs; input++) {
        const { x, y, width, height } = grown(place(first + input), 3);
        if (x + width > 0 && y + height > 0 && x < frame.width && y < frame.height) {
          context.rect(x - 0.5, y - 0.5, width + 1, height + 1);
        }
      }
      context.stroke();
    } else {
      // whole outputs lie side by side: one box about all filters of the chosen one
      const scale = camera.zoom;
      const col = first % layout.cols;
      const row = Math.floor(first / layout.cols);
      const box = grown(
        {
          x: (xOf(layout, col) - camera.x) * scale + frame.bleed / dpr,
          y: (yOf(layout, row) - camera.y) * scale + frame.bleed / dpr,
          width: layout.inputs * layout.cellWidth * scale - frame.gap / dpr,
          height: layout.cellHeight * scale - frame.gap / dpr,
        },
        3,
      );
      context.strokeRect(box.x - 1.25, box.y - 1.25, box.width + 2.5, box.height + 2.5);
    }
  }
  if (pinned !== null && pinned < layout.count) {
    ring(context, place(pinned), colors.accent, colors.bg);
  }
  if (hover !== null && hover !== pinned) ring(context, place(hover), colors.fg, colors.bg);
}

/** Values inside of the taps, once there is room. */
function drawValues(
  context: CanvasRenderingContext2D,
  scene: Scene,
  frame: Frame,
  dpr: number,
): void {
  const { cols, rows, layout } = frame;
  if (!cols || !rows || frame.tap < LEGIBLE * dpr) return;
  const { kernel } = layout;
  const { order, table, texture } = scene.material;
  const { steps } = texture.taps(0);
  context.font = font(10.5);
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let j = 0; j < rows.starts.length; j++) {
    for (let i = 0; i < cols.starts.length; i++) {
      const slot = (rows.first + j) * layout.cols + cols.first + i;
      if (slot >= layout.count) return;
      const filter = order ? (order[slot] as number) : slot;
      const box = boxOf(frame, cols.first + i, rows.first + j) as Box;
      const unit = box.width / layout.cellWidth;
      for (let tap = 0; tap < kernel.taps; tap++) {
        const slice = Math.floor(tap / (kernel.width * kernel.height));
        const row = Math.floor(tap / kernel.width) % kernel.height;
        const pitch =
          (layout.cellWidth - kernel.depth * kernel.width) / Math.max(1, kernel.depth - 1);
        const col = (tap % kernel.width) + slice * (kernel.width + (kernel.depth > 1 ? pitch : 0));
        const wide = kernel.taps === 1 ? layout.cellWidth : 1;
        const x = (box.x + (col + wide / 2) * unit) / dpr;
        const y = (box.y + ((row + 0.5) / kernel.height) * box.height) / dpr;
        if (x < -20 || y < -10 || x > frame.width / dpr + 20 || y > frame.height / dpr + 10)
          continue;
        const at = filter * kernel.taps + tap;
        context.fillStyle = inkOn(table[(steps[at] as number) + STEPS] as number);
        context.fillText(short(scene.weights[at] as number), x, y);
      }
    }
  }
}

/** Four characters or so: ".137", "1.37", "4e-5". */
export function short(value: number): string {
  const size = Math.abs(value);
  const text =
    !Number.isFinite(value) || size >= 100
      ? String(value).slice(0, 4)
      : size >= 0.001 || size === 0
        ? value.toFixed(size >= 1 ? 2 : 3)
        : value.toExponential(0);
  return text.replaceAll("-", "−").replace(/^(−?)0\./, "$1.");
}
