import { describe, expect, it } from "vitest";
import { diverging, STEPS, sequential } from "../src/colormap";
import {
  clipAt,
  extremesOf,
  laidOver,
  type Plane,
  pixelsOf,
  planeOf,
  shadeOf,
} from "../src/draw/saliency";
import { CAPTION, GAP, gridFor } from "../src/saliency/layout";

const plane = (...values: number[]): Plane => ({
  values: Float32Array.from(values),
  height: 1,
  width: values.length,
});

describe("the channels of a map", () => {
  // two channels of 1 x 3
  const values = Float32Array.from([1, -2, 3, 4, 1, Number.NaN]);
  const reduced = (how: "sum" | "abs" | "max") => [...planeOf(values, [2, 1, 3], how).values];

  it("become one as in Saliency.map, and NaN stays", () => {
    expect(reduced("sum")).toEqual([5, -1, Number.NaN]);
    expect(reduced("abs")).toEqual([5, 3, Number.NaN]);
    expect(reduced("max")).toEqual([4, 2, Number.NaN]);
  });

  it("are not copied where there is one", () => {
    const one = values.subarray(0, 3);
    expect(planeOf(one, [1, 1, 3], "sum").values).toBe(one);
  });
});

describe("the range of colours", () => {
  it("is the percentile that numpy gives", () => {
    const values = Float32Array.from({ length: 101 }, (_, i) => (i % 2 ? -i : i));
    expect(clipAt({ values, height: 1, width: 101 }, 1)).toBeCloseTo(99, 6);
    expect(clipAt({ values, height: 1, width: 101 }, 2.5)).toBeCloseTo(97.5, 6);
    expect(clipAt({ values, height: 1, width: 101 }, 0)).toBe(100);
  });

  it("is never empty where there is anything", () => {
    expect(clipAt(plane(...Array(200).fill(0), 3), 5)).toBe(3);
    expect(clipAt(plane(0, 0), 1)).toBe(0);
    expect(clipAt(plane(Number.NaN, Number.POSITIVE_INFINITY), 1)).toBe(0);
  });

  it("knows the extremes without what is no number", () => {
    const found = extremesOf(plane(1, -3, Number.NaN, Number.NEGATIVE_INFINITY));
    expect(found).toEqual({ low: -3, high: 1, bad: 2 });
    expect(extremesOf(plane())).toEqual({ low: 0, high: 0, bad: 0 });
  });
});

describe("the colours of a map", () => {
  it("are those of the sign, held at the ends", () => {
    const table = diverging(false);
    const shades = shadeOf(plane(-9, -1, 0, 1, 9), { range: 1, signed: true, dark: false });
    expect([...shades]).toEqual([
      table[0],
      table[0],
      table[STEPS],
      table[2 * STEPS],
      table[2 * STEPS],
    ]);
  });

  it("go from the ground to the hottest where there is no sign", () => {
    const table = sequential(true);
    const shades = shadeOf(plane(0, 0.5, 2), { range: 1, signed: false, dark: true });
    expect([...shades]).toEqual([table[0], table[128], table[STEPS]]);
  });

  it("mark what is no number, alone and over a picture", () => {
    const coloring = { range: 1, signed: true, dark: false };
    const bad = diverging(false)[2 * STEPS + 1];
    expect(shadeOf(plane(Number.NaN), coloring)[0]).toBe(bad);
    const pixels = Uint8ClampedArray.from([9, 9, 9, 255]);
    expect(laidOver(plane(Number.NaN), coloring, pixels, 1)[0]).toBe(bad);
  });

  it("let the picture through where the map is nothing, and cover it where it is most", () => {
    const pixels = Uint8ClampedArray.from([200, 100, 50, 255, 200, 100, 50, 255]);
    const coloring = { range: 2, signed: true, dark: false };
    const [none, most] = laidOver(plane(0, 2), coloring, pixels, 1);
    const part = (pixel: number | undefined, shift: number) => ((pixel ?? 0) >> shift) & 255;
    // grey: its colours would be mistaken for the map's
    expect(part(none, 0)).toBe(part(none, 8));
    expect(part(none, 0)).toBe(part(none, 16));
    expect(most).toBe(diverging(false)[2 * STEPS]);
  });
});

describe("an input as a person sees it", () => {
  it("has its colours again", () => {
    const image = Float32Array.from([0.5, -0.5, 0, 1, 1, -1]);
    const scale = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
    const pixels = pixelsOf(image, [3, 1, 2], scale);
    expect([...pixels]).toEqual([191, 128, 255, 255, 64, 255, 0, 255]);
  });

  it("is grey unless it has three channels", () => {
    const image = Float32Array.from([0, 1, 1, 1]);
    const pixels = pixelsOf(image, [2, 1, 2], { mean: [0], std: [1] });
    expect([...pixels]).toEqual([128, 128, 128, 255, 255, 255, 255, 255]);
  });
});

describe("the grid of figures", () => {
  const fits = (maps: number, paired: boolean, width: number, height: number, aspect = 1) => {
    const grid = gridFor(maps, paired, { width, height }, aspect);
    expect(grid.columns * grid.width + (grid.columns - 1) * GAP).toBeLessThanOrEqual(
      Math.max(width, 112),
    );
    expect(grid.width).toBeGreaterThan(0);
    expect(grid.height).toBe(Math.round(grid.width / aspect));
    return grid;
  };

  it("fits any room, with any number of maps", () => {
    for (const width of [112, 340, 500, 700, 940, 1600]) {
      for (const height of [150, 300, 800]) {
        for (let maps = 1; maps <= 8; maps++) {
          for (const aspect of [0.5, 1, 2]) {
            fits(maps, false, width, height, aspect);
            if (maps % 2 === 0) fits(maps, true, width, height, aspect);
          }
        }
      }
    }
  });

  it("is one row where there is room, no taller than the view", () => {
    const grid = fits(3, false, 940, 293);
    expect(grid.columns).toBe(4);
    expect(grid.height + CAPTION).toBeLessThanOrEqual(293);
  });

  it("has the cards beside few figures, and below many", () => {
    expect(fits(1, false, 940, 293).beside).toBe(true);
    expect(fits(4, false, 940, 293).beside).toBe(false);
    expect(fits(1, false, 340, 293).beside).toBe(false);
  });

  it("has a row for each of two models", () => {
    const grid = fits(6, true, 940, 293);
    expect(grid.rows).toBe(2);
    expect([0, 1, 2, 5].map(grid.place)).toEqual([
      { row: 1, column: 2 },
      { row: 2, column: 2 },
      { row: 1, column: 3 },
      { row: 2, column: 4 },
    ]);
    expect(fits(2, true, 940, 293).rows).toBe(1);
  });
});
