// Maps over an input: from attributions to colours, alone or over the picture. The same functions
// draw on the screen and into a PNG.
import { BAD, diverging, STEPS, sequential, stepOf } from "../colormap";
import type { PixelScale } from "../wire/inputs";

/** One value a pixel. */
export interface Plane {
  readonly values: Float32Array;
  readonly height: number;
  readonly width: number;
}

/** How the channels become one: as `Saliency.map(reduce=...)` in Python has it. */
export type Reduced = "sum" | "abs" | "max";

export function planeOf(values: Float32Array, shape: readonly number[], how: Reduced): Plane {
  const [channels = 1, height = 1, width = 1] = shape;
  const count = height * width;
  if (channels === 1 && how === "sum") return { values, height, width };
  const found = new Float32Array(count);
  for (let at = 0; at < count; at++) {
    let one = 0;
    for (let channel = 0; channel < channels; channel++) {
      const value = values[channel * count + at] as number;
      const size = Math.abs(value);
      if (how === "sum") one += value;
      else if (how === "abs") one += size;
      // written so that NaN stays
      else one = size <= one ? one : size;
    }
    found[at] = one;
  }
  return { values: found, height, width };
}

/** Whether any value is below zero. */
export const isTwoSided = (values: Float32Array): boolean => values.some((value) => value < 0);

export interface Extremes {
  readonly low: number;
  readonly high: number;
  /** Values that are no numbers. */
  readonly bad: number;
}

export function extremesOf({ values }: Plane): Extremes {
  let [low, high, bad] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for (const value of values) {
    if (value - value !== 0) bad++;
    else {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low > high ? { low: 0, high: 0, bad } : { low, high, bad };
}

/** The size that `percent` of the values do not pass: where colours end. */
export function clipAt({ values }: Plane, percent: number): number {
  const sizes = Float32Array.from(values, Math.abs).filter((size) => size - size === 0);
  if (sizes.length === 0) return 0;
  sizes.sort();
  // between two values that are there, as numpy's percentile
  const place = ((sizes.length - 1) * (100 - percent)) / 100;
  const below = Math.floor(place);
  const [a, b] = [sizes[below] as number, sizes[Math.min(below + 1, sizes.length - 1)] as number];
  const found = a + (b - a) * (place - below);
  // where nearly all is zero, clipping would leave nothing
  return found > 0 ? found : (sizes.at(-1) as number);
}

/** Attributions so small that nothing is explained. */
export const NEXT_TO_NOTHING = 1e-8;

/** The pixels of an input as a person sees it: colours of three channels, else grey. */
export function pixelsOf(
  image: Float32Array,
  shape: readonly number[],
  { mean, std }: Pick<PixelScale, "mean" | "std">,
): Uint8ClampedArray<ArrayBuffer> {
  const [channels = 1, height = 1, width = 1] = shape;
  const count = height * width;
  const pixels = new Uint8ClampedArray(4 * count);
  const scale = (list: readonly number[], channel: number) => list[channel] ?? list[0] ?? 0;
  for (let at = 0; at < count; at++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) {
      const value = image[channel * count + at] as number;
      const pixel = 255 * (value * scale(std, channel) + scale(mean, channel));
      if (channels === 3) pixels[4 * at + channel] = pixel;
      sum += pixel;
    }
    if (channels !== 3) pixels.fill(sum / channels, 4 * at, 4 * at + 3);
    pixels[4 * at + 3] = 255;
  }
  return pixels;
}

/** Pixels of three bytes as a canvas takes them. */
export function withAlpha(bytes: Uint8Array): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray((bytes.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < bytes.length; to += 4) {
    pixels[to] = bytes[from++] as number;
    pixels[to + 1] = bytes[from++] as number;
    pixels[to + 2] = bytes[from++] as number;
  }
  return pixels;
}

/** How a map is coloured. */
export interface Coloring {
  /** The size that takes the last colour. */
  readonly range: number;
  /** Blue below zero and red above; else from the ground to the hottest. */
  readonly signed: boolean;
  readonly dark: boolean;
}

/** The packed colour of each value. */
export function shadeOf({ values }: Plane, { range, signed, dark }: Coloring): Uint32Array {
  const table = signed ? diverging(dark) : sequential(dark);
  const middle = signed ? STEPS : 0;
  return Uint32Array.from(values, (value) => {
    const step = stepOf(value, range);
    const shown = step === BAD || signed ? step : Math.max(0, step);
    return table[middle + shown] as number;
  });
}

/**
 * A map over its picture. The picture loses its colours and some contrast, so that those of the map
 * are seen; what is near zero lets it through, and `opacity` is how much the strongest covers.
 */
export function laidOver(
  plane: Plane,
  coloring: Coloring,
  pixels: Uint8ClampedArray,
  opacity: number,
): Uint32Array {
  const shades = shadeOf(plane, coloring);
  const ground = coloring.dark ? 20 : 255;
  return shades.map((shade, at) => {
    const [r, g, b] = [pixels[4 * at], pixels[4 * at + 1], pixels[4 * at + 2]] as number[];
    const grey = 0.3 * (r as number) + 0.59 * (g as number) + 0.11 * (b as number);
    const under = grey + 0.28 * (ground - grey);
    const size = Math.abs(plane.values[at] as number) / (coloring.range || 1);
    const share = opacity * (size - size === 0 ? Math.min(1, size) ** 0.6 : 1);
    const part = (shift: number) => Math.round(under + (((shade >> shift) & 255) - under) * share);
    return ((255 << 24) | (part(16) << 16) | (part(8) << 8) | part(0)) >>> 0;
  });
}

/** Where an image stands in a box that is larger than it. */
export interface Frame {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Packed pixels on a canvas of their own, to be drawn at any size. */
export function sheetOf(pixels: Uint32Array | Uint8ClampedArray, height: number, width: number) {
  const sheet = document.createElement("canvas");
  sheet.width = width;
  sheet.height = height;
  const context = sheet.getContext("2d");
  if (!context) return sheet;
  const image = context.createImageData(width, height);
  image.data.set(new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, 4 * height * width));
  context.putImageData(image, 0, 0);
  return sheet;
}

/** Draws a sheet into a frame: pixels stay squares where they are enlarged. */
export function place(
  context: CanvasRenderingContext2D,
  sheet: HTMLCanvasElement,
  { x, y, width, height }: Frame,
): void {
  const enlarged = width * context.getTransform().a >= sheet.width;
  context.imageSmoothingEnabled = !enlarged;
  context.imageSmoothingQuality = "high";
  context.drawImage(sheet, x, y, width, height);
}

/** Outlines one pixel of an input. */
export function outline(
  context: CanvasRenderingContext2D,
  { x, y, width, height }: Frame,
  at: { readonly row: number; readonly column: number },
  size: { readonly height: number; readonly width: number },
): void {
  const [across, down] = [width / size.width, height / size.height];
  const left = x + at.column * across;
  const top = y + at.row * down;
  const wide = Math.max(across, 5);
  const tall = Math.max(down, 5);
  const box = [left - (wide - across) / 2, top - (tall - down) / 2, wide, tall] as const;
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 65%)";
  context.strokeRect(...box);
  context.lineWidth = 1.4;
  context.strokeStyle = "#fff";
  context.strokeRect(...box);
}
