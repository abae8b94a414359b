// A single kernel as a picture of one pixel a tap, for the page to enlarge.
import { diverging, STEPS, stepOf } from "../colormap";
import type { Kernel } from "./layout";

/** `range`: |value| of the last colour. Slices of a 3-D kernel lie side by side, a pixel apart. */
export function paintKernel(
  canvas: HTMLCanvasElement,
  { depth, height, width }: Kernel,
  values: Float32Array,
  range: number,
  dark: boolean,
): void {
  canvas.width = depth * width + depth - 1;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(canvas.width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const table = diverging(dark);
  values.forEach((value, tap) => {
    const slice = Math.floor(tap / (width * height));
    const row = Math.floor(tap / width) % height;
    const at = row * canvas.width + slice * (width + 1) + (tap % width);
    pixels[at] = table[stepOf(value, range) + STEPS] as number;
  });
  context.putImageData(image, 0, 0);
}
