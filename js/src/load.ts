// Requests of several replies put together: large layers come in pages.
import { type Client, Superseded } from "./client";
import type { Headers } from "./protocol";

/** Histograms of a layer: of its weights over [low, high], and of log10(max|filter| / max|layer|). */
export type Distribution = Headers["distribution"] & { weights: Uint32Array; peaks: Uint32Array };

/** The filters of a layer. While `loaded < out` the rest of `weights` is still zero. */
export interface FilterSet {
  layer: string;
  /** Outputs that are shown: all, or as many as `MOST_WEIGHTS` allows. */
  out: number;
  /** Outputs that the layer has. */
  outputs: number;
  inputs: number;
  kernel: readonly number[];
  /** Taps of a filter: the product of `kernel`. */
  taps: number;
  /** Outputs that have come. */
  loaded: number;
  /**
   * (out, inputs, taps); filled in place, page by page. A large layer's are shown before their last
   * digits have come: those are in the next set.
   */
  weights: Float32Array;
  /** Largest finite |weight| of the layer. */
  maxAbs: number;
  /** (count, taps). */
  eigenimages: Float32Array;
  /** Share of the variance that each eigenimage explains, descending. */
  explained: Float32Array;
  /** Mean filter: (taps). */
  mean: Float32Array;
}

/** More than any convolution of common networks has; 64 MB. Of a larger layer the first outputs show. */
export const MOST_WEIGHTS = 16_000_000;

/** Time to paint a large layer's filters before the rest of their digits takes the line. */
const PAINTED_MS = 200;

/** From the next frame on; a page that is hidden has none. */
const painted = () =>
  new Promise<void>((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve, PAINTED_MS));
    setTimeout(resolve, 10 * PAINTED_MS);
  });

/** How many outputs of a layer are shown. */
export function shownOutputs(out: number, perOutput: number): number {
  return Math.min(out, Math.max(1, Math.floor(MOST_WEIGHTS / Math.max(1, perOutput))));
}

/**
 * Loads all pages of a layer that are shown; `show` gets the set after each, the weights filled so far.
 * The last digits of a layer that is not `wanted` any more stay where they are.
 */
export async function loadFilters(
  client: Client,
  layer: string,
  show: (set: FilterSet) => void,
  kind: "filters" | "reference_filters" = "filters",
  wanted = () => true,
): Promise<FilterSet> {
  let { header, arrays } = await client.request(kind, { layer, start: 0 });
  const { inputs, kernel } = header;
  const taps = kernel.reduce((product, side) => product * side, 1);
  const out = shownOutputs(header.out, inputs * taps);
  const size = out * inputs * taps;
  const whole = header.stop >= out;
  const { upper } = arrays;
  const first = upper ? joined(upper) : (arrays.weights as Float32Array);
  const weights = whole ? first.subarray(0, size) : new Float32Array(size);
  if (!whole) weights.set(first);
  const set: FilterSet = {
    layer,
    out,
    outputs: header.out,
    inputs,
    kernel,
    taps,
    loaded: header.stop,
    weights,
    maxAbs: header.max_abs ?? 0,
    eigenimages: arrays.eigenimages,
    explained: arrays.explained,
    mean: arrays.mean,
  };
  if (upper) {
    show(set);
    await painted();
    if (!wanted()) throw new Superseded();
    const reading = header.reading as number;
    const { arrays: rest } = await client.request("filters_exact", { layer, reading });
    const exact = rest.lower ? joined(upper, rest.lower) : (rest.weights as Float32Array);
    return { ...set, weights: exact.subarray(0, size) };
  }
  while (header.stop < out) {
    show({ ...set, loaded: header.stop });
    // One page after the other: a newer request of the same kind would take the older one's place.
    ({ header, arrays } = await client.request(kind, { layer, start: header.stop }));
    const start = header.start * inputs * taps;
    weights.set((arrays.weights as Float32Array).subarray(0, size - start), start);
  }
  return { ...set, loaded: out };
}

/**
 * Weights of their upper and lower 16 bits. Without the lower, the middle of what they may be: off by
 * 0.4 % at most, which no colour shows; zeros, infinity and NaN stay what they are.
 */
export function joined(upper: Uint16Array, lower?: Uint16Array): Float32Array {
  const bits = new Int32Array(upper.length);
  // a loop for each: a third faster, and millions go through it before the first picture
  if (lower) {
    for (let at = 0; at < upper.length; at++)
      bits[at] = ((upper[at] as number) << 16) | (lower[at] as number);
  } else {
    for (let at = 0; at < upper.length; at++) {
      const high = upper[at] as number;
      // one comparison for 0 < size < infinity
      const low = ((high & 0x7fff) - 1) >>> 0 < 0x7f7f ? 0x8000 : 0;
      bits[at] = (high << 16) | low;
    }
  }
  return new Float32Array(bits.buffer);
}

/** Loads the cluster label of each of the `out * inputs` filters that are shown of a layer. */
export async function loadClusters(
  client: Client,
  layer: string,
  out: number,
  inputs: number,
): Promise<Uint8Array> {
  const labels = new Uint8Array(out * inputs);
  for (let start = 0; start < out; ) {
    const { arrays } = await client.request("cluster", { layer, start });
    labels.set(arrays.labels.subarray(0, labels.length - start * inputs), start * inputs);
    start += Math.max(1, Math.floor(arrays.labels.length / inputs));
  }
  return labels;
}

/** Loads the histograms of a layer. */
export async function loadDistribution(
  client: Client,
  layer: string,
  kind: "distribution" | "reference_distribution" = "distribution",
): Promise<Distribution> {
  const { header, arrays } = await client.request(kind, { layer });
  return { ...header, weights: arrays.weights, peaks: arrays.peaks };
}
