import { describe, expect, it } from "vitest";
import { BAD, css, diverging, mix, pack, STEPS, sequential, stepOf } from "../src/colormap";

const channels = (pixel: number) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];

/** sRGB to OKLab (B. Ottosson, 2020): the way back, to judge the maps by. */
function lab(pixel: number): [number, number, number] {
  const [r = 0, g = 0, b = 0] = channels(pixel).map((c) => {
    const x = c / 255;
    return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  });
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

const far = (p: number, q: number) => {
  const [a, b] = [lab(p), lab(q)];
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
};

describe.each([false, true])("maps, dark ground: %s", (dark) => {
  const signed = diverging(dark);
  const size = sequential(dark);

  it("has a table for every step", () => {
    expect(signed.length).toBe(2 * STEPS + 2);
    expect(size.length).toBe(STEPS + 2);
    for (const pixel of [...signed, ...size]) expect(pixel >>> 24).toBe(255);
  });

  it("fades into the ground at zero and ends far from it", () => {
    const ground = dark ? pack(0x1a, 0x1e, 0x24) : pack(255, 255, 255);
    expect(far(signed[STEPS] as number, ground)).toBeLessThan(0.06);
    expect(far(size[0] as number, ground)).toBeLessThan(0.06);
    for (const end of [signed[0], signed[2 * STEPS], size[STEPS]]) {
      expect(far(end as number, ground)).toBeGreaterThan(0.5);
    }
  });

  it("does not glare in the dark", () => {
    for (const pixel of signed) expect(lab(pixel)[0]).toBeLessThan(dark ? 0.88 : 1);
  });

  it("weighs +w and -w the same, and tells them apart by hue", () => {
    for (let step = 1; step <= STEPS; step++) {
      const [cold, warm] = [
        lab(signed[STEPS - step] as number),
        lab(signed[STEPS + step] as number),
      ];
      expect(Math.abs(cold[0] - warm[0])).toBeLessThan(0.035);
      if (step > 40) expect(warm[1]).toBeGreaterThan(cold[1] + 0.02);
      if (step > 40) expect(cold[2]).toBeLessThan(0);
    }
  });

  it("changes by the same to the eye with every eighth of its length", () => {
    for (const [table, from] of [
      [signed, STEPS],
      [size, 0],
    ] as const) {
      const parts = Array.from({ length: 8 }, (_, i) => {
        const at = (k: number) => table[from + Math.round((k * STEPS) / 8)] as number;
        return far(at(i), at(i + 1));
      });
      const mean = parts.reduce((a, b) => a + b) / 8;
      for (const part of parts) expect(Math.abs(part / mean - 1)).toBeLessThan(0.3);
    }
  });

  it("gets only darker, or only lighter, from zero on", () => {
    const up = dark ? 1 : -1;
    for (let step = 8; step <= STEPS; step += 8) {
      const light = (at: number) => lab(signed[at] as number)[0];
      expect(up * (light(STEPS + step) - light(STEPS + step - 8))).toBeGreaterThan(0);
      expect(up * (light(STEPS - step) - light(STEPS - step + 8))).toBeGreaterThan(0);
    }
  });

  it("has a colour of its own for what is not finite", () => {
    const marked = signed[STEPS + BAD] as number;
    for (const pixel of signed.subarray(0, 2 * STEPS + 1))
      expect(far(pixel, marked)).toBeGreaterThan(0.03);
  });
});

describe("steps", () => {
  it("centres zero, ends at the range and stays there", () => {
    expect([stepOf(0, 1), stepOf(-0, 1), stepOf(1, 1), stepOf(-1, 1)]).toEqual([
      0,
      0,
      STEPS,
      -STEPS,
    ]);
    expect([stepOf(7, 1), stepOf(-7, 1)]).toEqual([STEPS, -STEPS]);
    expect(stepOf(0.5, 1)).toBe(Math.round(STEPS / 2));
  });

  it("marks NaN and both infinities, and draws any weight over no range as zero", () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(stepOf(value, 1)).toBe(BAD);
    }
    expect(stepOf(3, 0)).toBe(0);
  });
});

it("packs, mixes and names colours", () => {
  expect(css(pack(1, 2, 3))).toBe("rgb(1,2,3)");
  expect(mix(pack(0, 0, 0), pack(200, 100, 50), 0.5)).toBe(pack(100, 50, 25));
  expect(mix(pack(9, 8, 7), pack(200, 100, 50), 0)).toBe(pack(9, 8, 7));
});
