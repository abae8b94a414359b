// Random numbers that are the same in every run.

/** Uniform in [0, 1): mulberry32. */
export function random(seed: number, count: number): Float64Array {
  let state = seed;
  return Float64Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  });
}

/** Standard normal: Box and Muller. */
export function normal(seed: number, count: number): Float32Array {
  const uniform = random(seed, 2 * count);
  return Float32Array.from({ length: count }, (_, i) => {
    const radius = Math.sqrt(-2 * Math.log(1 - (uniform[2 * i] as number)));
    return radius * Math.cos(2 * Math.PI * (uniform[2 * i + 1] as number));
  });
}
