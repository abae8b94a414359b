// The weights of a layer as steps of a colour map, and the same at coarser detail.
//
// A texel of a coarser level holds the root mean square of what it covers, with the sign of its
// sum: weight stays visible when zoomed out, and nothing is skipped. A NaN stays a NaN.
import { BAD, STEPS, stepOf } from "../colormap";
import type { Kernel } from "./layout";

/** Where there is no filter: behind BAD in the look-up table. */
export const EMPTY = BAD + 1;

/** Several taps of every filter in one texel: `size` texels a filter, slice by slice. */
export interface TapLevel {
  readonly steps: Int16Array;
  readonly width: number;
  readonly height: number;
  readonly size: number;
}

/** Several filters in one texel. */
export interface GridLevel {
  readonly steps: Int16Array;
  readonly width: number;
  readonly height: number;
}

/** Steps of raw weights. `ranges`: the |w| of the last step, one for all or one a filter. */
export function quantise(
  weights: Float32Array,
  taps: number,
  ranges: number | Float32Array,
): Int16Array {
  const steps = new Int16Array(weights.length);
  const shared = typeof ranges === "number" ? ranges : 0;
  for (let at = 0, filter = 0; at < weights.length; filter++) {
    const range = typeof ranges === "number" ? shared : (ranges[filter] as number);
    const scale = range > 0 ? STEPS / range : 0;
    // colormap.stepOf, spelt out: this loop runs over millions
    for (const end = at + taps; at < end; at++) {
      const step = (weights[at] as number) * scale;
      steps[at] =
        step < STEPS && step > -STEPS
          ? ((step + (STEPS + 0.5)) | 0) - STEPS
          : stepOf(weights[at] as number, range);
    }
  }
  return steps;
}

const signed = (energy: number, sum: number, count: number): number => {
  const size = Math.sqrt(energy / count);
  return sum < 0 ? -size - 0.5 : size + 0.5;
};

/** One axis at half the detail. */
function halved(level: GridLevel, across: boolean): GridLevel {
  const { steps, width, height } = level;
  const w = across ? (width + 1) >> 1 : width;
  const h = across ? height : (height + 1) >> 1;
  const out = new Int16Array(w * h);
  for (let y = 0, to = 0; y < h; y++) {
    for (let x = 0; x < w; x++, to++) {
      const from = across ? y * width + 2 * x : 2 * y * width + x;
      const single = across ? 2 * x + 1 === width : 2 * y + 1 === height;
      const a = steps[from] as number;
      const b = single ? EMPTY : (steps[across ? from + 1 : from + width] as number);
      // sorted by norm, neighbours are as large: where they cancel, one of them has its sign
      out[to] = a >= BAD || b >= BAD ? special(a, b) : signed(a * a + b * b, a + b || a, 2);
    }
  }
  return { steps: out, width: w, height: h };
}

/** One of the two is BAD or EMPTY: emptiness gives way, a NaN does not. */
function special(a: number, b: number): number {
  if (a === EMPTY) return b;
  return b === EMPTY ? a : BAD;
}

export class Texture {
  readonly #kernel: Kernel;
  readonly #levels: TapLevel[];
  #filters: Int16Array | null = null;

  constructor(weights: Float32Array, kernel: Kernel, ranges: number | Float32Array) {
    const { width, height, taps } = kernel;
    this.#kernel = kernel;
    this.#levels = [{ steps: quantise(weights, taps, ranges), width, height, size: taps }];
  }

  /** 2^level x 2^level taps in a texel; the last level has one texel a slice. */
  taps(level: number): TapLevel {
    const { width, height } = this.#kernel;
    const last = Math.ceil(Math.log2(Math.max(width, height)));
    const index = Math.min(level, last);
    this.#levels[index] ??= this.#reduced(index);
    return this.#levels[index];
  }

  /** One texel a filter. */
  get filters(): Int16Array {
    if (!this.#filters) {
      const { taps } = this.#kernel;
      const { steps } = this.#levels[0] as TapLevel;
      this.#filters = taps === 1 ? steps : new Int16Array(steps.length / taps);
      if (taps > 1) reduce(steps, this.#filters, taps);
    }
    return this.#filters;
  }

  #reduced(level: number): TapLevel {
    const full = this.#levels[0] as TapLevel;
    const { depth } = this.#kernel;
    const width = Math.ceil(full.width / 2 ** level);
    const height = Math.ceil(full.height / 2 ** level);
    const size = depth * height * width;
    const slices = full.steps.length / (full.width * full.height);
    const steps = new Int16Array(slices * height * width);
    let to = 0;
    for (let slice = 0; slice < slices; slice++) {
      const base = slice * full.width * full.height;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) steps[to++] = block(full, base, x, y, level);
      }
    }
    return { steps, width, height, size };
  }
}

function block(full: TapLevel, base: number, x: number, y: number, level: number): number {
  const right = Math.min(full.width, (x + 1) << level);
  const bottom = Math.min(full.height, (y + 1) << level);
  let energy = 0;
  let sum = 0;
  let count = 0;
  for (let row = y << level; row < bottom; row++) {
    for (let col = x << level; col < right; col++) {
      const step = full.steps[base + row * full.width + col] as number;
      if (step === BAD) return BAD;
      energy += step * step;
      sum += step;
      count++;
    }
  }
  return signed(energy, sum, count);
}

/** Runs of `taps` texels to one each. */
function reduce(steps: Int16Array, out: Int16Array, taps: number): void {
  for (let filter = 0, at = 0; filter < out.length; filter++) {
    let energy = 0;
    let sum = 0;
    let bad = false;
    for (const end = at + taps; at < end; at++) {
      const step = steps[at] as number;
      energy += step * step;
      sum += step;
      if (step === BAD) bad = true;
    }
    out[filter] = bad ? BAD : signed(energy, sum, taps);
  }
}

/** What a gallery looks like from afar, in one order. */
export class Overview {
  readonly #levels = new Map<number, GridLevel>();
  readonly #make: () => GridLevel;

  constructor(
    texture: Texture,
    cols: number,
    rows: number,
    count: number,
    order: Uint32Array | null,
  ) {
    this.#make = () => {
      const { filters } = texture;
      if (!order && filters.length === cols * rows) {
        return { steps: filters, width: cols, height: rows };
      }
      const steps = new Int16Array(cols * rows).fill(EMPTY);
      for (let slot = 0; slot < count; slot++) {
        steps[slot] = filters[order ? (order[slot] as number) : slot] as number;
      }
      return { steps, width: cols, height: rows };
    };
  }

  /** 2^across x 2^down filters in a texel. */
  level(across: number, down: number): GridLevel {
    const key = across * 64 + down;
    let level = this.#levels.get(key);
    if (!level) {
      if (across === 0 && down === 0) level = this.#make();
      else if (across > down) level = halved(this.level(across - 1, down), true);
      else level = halved(this.level(across, down - 1), false);
      this.#levels.set(key, level);
    }
    return level;
  }
}
