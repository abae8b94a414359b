// A histogram as a smooth curve.

/**
 * Densities at `points` places over `span`: a Gaussian kernel with Silverman's bandwidth
 * 0.9 min(sd, IQR / 1.34) n^(-1/5), each filter at the middle of its bin. null of no filters.
 */
export function smoothed(
  counts: Uint32Array,
  [low, high]: readonly [number, number],
  points = 96,
): Float64Array | null {
  const bin = (high - low) / counts.length;
  const middle = (index: number) => low + (index + 0.5) * bin;
  let n = 0;
  let sum = 0;
  counts.forEach((count, index) => {
    n += count;
    sum += count * middle(index);
  });
  if (n === 0 || !(bin > 0)) return null;
  let scatter = 0;
  counts.forEach((count, index) => {
    scatter += count * (middle(index) - sum / n) ** 2;
  });
  const deviation = Math.sqrt(scatter / n);
  const between = (quantile(counts, 0.75 * n) - quantile(counts, 0.25 * n)) * bin;
  const spread = Math.min(deviation, between / 1.34) || deviation;
  const width = Math.max(0.9 * spread * n ** -0.2, bin / 2);
  const norm = n * width * Math.sqrt(2 * Math.PI);
  return Float64Array.from({ length: points }, (_, point) => {
    const at = low + (point / (points - 1)) * (high - low);
    let density = 0;
    counts.forEach((count, index) => {
      if (count) density += count * Math.exp(-0.5 * ((at - middle(index)) / width) ** 2);
    });
    return density / norm;
  });
}

/** The place, in bins, below which there are so many. */
function quantile(counts: Uint32Array, wanted: number): number {
  let below = 0;
  for (let index = 0; index < counts.length; index++) {
    const next = below + (counts[index] as number);
    if (next >= wanted) {
      // between the middles of the last bin that ended before and of this one, as numpy's interp
      return index === 0 ? 0 : index - 1 + (wanted - below) / Math.max(1, next - below);
    }
    below = next;
  }
  return counts.length - 1;
}
