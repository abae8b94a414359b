import { describe, expect, it } from "vitest";
import {
  deadOf,
  entropiesOf,
  entropyOf,
  normsOf,
  orderBy,
  orderByLabel,
  peaksOf,
  reachOf,
  sparseOf,
  startsOf,
  strongestOf,
} from "../src/filters";
import { normal, random } from "./random";

const naive = (values: Float32Array, largestFirst: boolean) =>
  Array.from(values.keys()).sort((a, b) => {
    const [x, y] = [values[a] as number, values[b] as number];
    const [nx, ny] = [!Number.isFinite(x), !Number.isFinite(y)];
    if (nx || ny) return Number(nx) - Number(ny) || a - b;
    return (largestFirst ? y - x : x - y) || a - b;
  });

describe("norm, peak and entropy of a filter", () => {
  const weights = normal(7, 40 * 9);
  weights.fill(0, 0, 9);
  weights.set([0, 0, 0, 0, -2, 0, 0, 0, 0], 9);
  weights.fill(-0.5, 18, 27);
  weights[30] = Number.NaN;
  weights[40] = Number.POSITIVE_INFINITY;

  it("has the norm that is defined", () => {
    const norms = normsOf(weights, 9);
    for (let filter = 5; filter < 40; filter++) {
      const taps = Array.from(weights.subarray(filter * 9, filter * 9 + 9));
      expect(norms[filter]).toBeCloseTo(Math.hypot(...taps), 5);
    }
    expect(norms[0]).toBe(0);
    expect(norms[3]).toBeNaN();
  });

  it("takes peaks over finite weights and counts the filters that are not finite", () => {
    const { peaks, bad, badCount } = peaksOf(weights, 9);
    expect([peaks[0], peaks[1], peaks[2]]).toEqual([0, 2, 0.5]);
    const finite = Array.from(weights.subarray(27, 36)).filter(Number.isFinite);
    expect(peaks[3]).toBe(Math.max(...finite.map(Math.abs)));
    expect(Array.from(bad.subarray(0, 6))).toEqual([0, 0, 0, 1, 1, 0]);
    expect(badCount).toBe(2);
  });

  it("has entropy 0 for a single tap and a zero filter, 1 for a flat one, none for one tap", () => {
    const entropies = entropiesOf(weights, 9);
    expect([entropies[0], entropies[1]]).toEqual([0, 0]);
    expect(entropies[2]).toBeCloseTo(1, 6);
    expect(entropies[3]).toBeNaN();
    expect(entropyOf(Float32Array.of(3), 1, 0)).toBeNaN();
  });

  it("has the entropy that is defined, whatever the scale", () => {
    for (let filter = 5; filter < 40; filter++) {
      const energy = Array.from(weights.subarray(filter * 9, filter * 9 + 9), (w) => w * w);
      const sum = energy.reduce((a, b) => a + b);
      const expected = energy.reduce((h, e) => h - (e / sum) * Math.log(e / sum), 0) / Math.log(9);
      expect(entropyOf(weights, 9, filter)).toBeCloseTo(expected, 6);
      expect(
        entropyOf(
          weights.map((w) => w * -3),
          9,
          filter,
        ),
      ).toBeCloseTo(expected, 5);
    }
  });
});

describe("orders", () => {
  it.each([true, false])(
    "sorts as a comparison does, ties by position (largest first: %s)",
    (largest) => {
      const values = Float32Array.from(random(3, 5000), (x) => Math.floor(x * 700) / 31);
      values[17] = Number.NaN;
      values[4000] = Number.POSITIVE_INFINITY;
      values[90] = -0;
      values[91] = 1e-42; // a denormal
      expect(Array.from(orderBy(values, largest))).toEqual(naive(values, largest));
    },
  );

  it("sorts what lies at an offset of a buffer", () => {
    const values = Float32Array.of(9, 9, 3, 1, 2).subarray(2);
    expect(Array.from(orderBy(values, false))).toEqual([1, 2, 0]);
  });

  it("keeps labels together and positions in order, and knows where labels begin", () => {
    const labels = Uint8Array.of(2, 0, 2, 255, 0, 1);
    expect(Array.from(orderByLabel(labels))).toEqual([1, 4, 5, 0, 2, 3]);
    expect(startsOf(labels)).toEqual([2, 3, 5]);
    expect(startsOf(new Uint8Array(0))).toEqual([]);
  });
});

describe("sparse and dead", () => {
  // 3 outputs of 4 inputs: output 1 and input 2 are small throughout
  const weights = Float32Array.from({ length: 12 * 2 }, (_, at) => {
    const [out, input] = [Math.floor(at / 8), Math.floor(at / 2) % 4];
    return out === 1 || input === 2 ? 0.009 : 1;
  });

  it("is strict about the threshold", () => {
    const peaks = peaksOf(weights, 2);
    expect(sparseOf(peaks, 1, 0.01).count).toBe(6);
    expect(sparseOf({ ...peaks, peaks: Float32Array.of(0.5, 0.25) }, 1, 0.5).mask).toEqual(
      Uint8Array.of(0, 1),
    );
  });

  it("finds whole outputs and inputs", () => {
    const { mask } = sparseOf(peaksOf(weights, 2), 1, 0.01);
    expect(deadOf(mask, 4)).toEqual({ outputs: [1], inputs: [2] });
  });

  it("calls a layer of zeros sparse throughout, and a NaN never", () => {
    const zeros = peaksOf(new Float32Array(8), 2);
    expect(sparseOf(zeros, 0, 0.01).count).toBe(4);
    const broken = peaksOf(Float32Array.of(0, Number.NaN, 1, 1), 2);
    expect(sparseOf(broken, 1, 0.01).count).toBe(0);
  });

  it("finds the filter with the largest weight", () => {
    expect(strongestOf(peaksOf(Float32Array.of(1, 0, 0, -3, 2, 2), 2))).toBe(1);
  });
});

describe("the range of colours", () => {
  it("leaves about 1 % of the weights beyond, and counts them", () => {
    const weights = normal(11, 100_000);
    const maxAbs = weights.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
    const { range, beyond } = reachOf(weights, maxAbs);
    const counted = weights.reduce((n, w) => n + Number(Math.abs(w) > range), 0) / weights.length;
    expect(beyond).toBeGreaterThan(0.008);
    expect(beyond).toBeLessThanOrEqual(0.01);
    expect(counted).toBeCloseTo(beyond, 3);
    expect(range).toBeCloseTo(2.576, 1);
  });

  it("is not washed out by one large weight, nor drawn to zero by many zeros", () => {
    const weights = normal(5, 10_000);
    weights[0] = 50;
    expect(reachOf(weights, 50).range).toBeLessThan(4);
    const pruned = weights.map((w, at) => (at % 200 ? 0 : Math.min(1, w)));
    expect(reachOf(pruned, 1).range).toBeGreaterThan(0.5);
  });

  it("is the maximum where there is nothing beyond", () => {
    expect(reachOf(Float32Array.of(1, -1, 1), 1)).toEqual({ range: 1, beyond: 0 });
    expect(reachOf(new Float32Array(3), 0)).toEqual({ range: 0, beyond: 0 });
  });
});
