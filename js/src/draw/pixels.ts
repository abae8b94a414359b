// Pictures that came as bytes, and maps that came as numbers, as a canvas takes them.
import { diverging, STEPS, stepOf } from "../colormap";
import type { Extent } from "../wire/features";

/** Picture number `index` of those that lie one behind the other: (height, width, 1 or 3). */
export function imageOf(bytes: Uint8Array, extent: Extent, index = 0): ImageData | null {
  const [height, width, colors] = extent;
  const count = height * width;
  const start = index * count * colors;
  if (count === 0 || bytes.length < start + count * colors) return null;
  const image = new ImageData(width, height);
  const { data } = image;
  for (let pixel = 0, from = start, to = 0; pixel < count; pixel++, from += colors, to += 4) {
    data[to] = bytes[from] as number;
    data[to + 1] = bytes[colors === 1 ? from : from + 1] as number;
    data[to + 2] = bytes[colors === 1 ? from : from + 2] as number;
    data[to + 3] = 255;
  }
  return image;
}

/** Shares of a picture: top, left, bottom, right. */
export type Box = readonly [number, number, number, number];

/** The pixels of a picture that lie in a box, one at least. */
export function partOf([height, width]: Extent, box: Box = [0, 0, 1, 1]) {
  const [top, left, bottom, right] = box;
  const x = Math.min(width - 1, Math.max(0, Math.round(left * width)));
  const y = Math.min(height - 1, Math.max(0, Math.round(top * height)));
  return {
    x,
    y,
    width: Math.max(1, Math.min(width, Math.round(right * width)) - x),
    height: Math.max(1, Math.min(height, Math.round(bottom * height)) - y),
  };
}

/**
 * A map in signed colours, where `range` takes the last one. Over a picture what is near zero lets
 * it through, so that only what fires or is held down covers it.
 */
export function heatOf(
  map: Float32Array,
  [height, width]: readonly [number, number],
  range: number,
  dark: boolean,
  over: boolean,
): ImageData {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const table = diverging(dark);
  for (let at = 0; at < pixels.length; at++) {
    const step = stepOf(map[at] as number, range);
    const color = table[step + STEPS] as number;
    const share = over ? Math.min(1, Math.abs(step) / STEPS) ** 0.75 * 0.9 : 1;
    pixels[at] = ((color & 0xffffff) | (Math.round(255 * share) << 24)) >>> 0;
  }
  return image;
}

/** An image as something that can be drawn at any size. */
export function canvasOf(image: ImageData): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

/** The largest box of these proportions in the middle of another. */
export function fitIn(aspect: number, width: number, height: number) {
  const wide = Math.min(width, height * aspect);
  const tall = wide / aspect;
  return { x: (width - wide) / 2, y: (height - tall) / 2, width: wide, height: tall };
}

/** Pixels of a picture so small are seen one by one rather than blurred. */
export const CRISP = 112;
