import { describe, expect, it } from "vitest";
import { BAD, diverging, mix, STEPS, stepOf } from "../src/colormap";
import { boxOf, type Frame, frameOf, hitAt } from "../src/draw/frame";
import { byPosition, inFlow, kernelOf, type Layout } from "../src/draw/layout";
import { paintFilters, paintMarks, type Surface, tableOf } from "../src/draw/raster";
import { EMPTY, Overview, quantise, Texture } from "../src/draw/texture";
import { normsOf, orderBy } from "../src/filters";
import { normal } from "./random";

const GROUND = 0xff123456;
const table = tableOf(false, GROUND);

function painted(
  layout: Layout,
  weights: Float32Array,
  range: number,
  zoom: number,
  { order = null as Uint32Array | null, dpr = 1, x = 0, y = 0 } = {},
): { frame: Frame; surface: Surface } {
  const frame = frameOf(layout, { x, y, zoom }, { width: 240, height: 200 }, dpr);
  const { width, height } = frame;
  const surface = { pixels: new Uint32Array(width * height), width, height };
  const texture = new Texture(weights, layout.kernel, range);
  const overview = new Overview(texture, layout.cols, layout.rows, layout.count, order);
  paintFilters(surface, frame, { texture, overview, order, table });
  return { frame, surface };
}

const at = ({ pixels, width }: Surface, x: number, y: number) => pixels[y * width + x] as number;

describe("steps of weights", () => {
  it("are those of the colour map, for all and for each filter's own range", () => {
    const weights = normal(1, 900);
    weights[3] = Number.NaN;
    weights[13] = Number.NEGATIVE_INFINITY;
    const shared = quantise(weights, 9, 1.7);
    weights.forEach((weight, i) => {
      expect(shared[i]).toBe(stepOf(weight, 1.7));
    });
    const ranges = Float32Array.from({ length: 100 }, (_, i) => i / 40);
    const own = quantise(weights, 9, ranges);
    weights.forEach((weight, i) => {
      expect(own[i]).toBe(stepOf(weight, ranges[Math.floor(i / 9)] as number));
    });
  });
});

describe.each([
  ["3x3", [3, 3], 12, 8],
  ["1x1", [1, 1], 20, 16],
  ["1-D", [5], 6, 4],
  ["3-D", [2, 3, 3], 4, 3],
  ["two outputs a row", [3, 3], 24, 3],
] as const)("pixels of %s", (_, sizes, outs, inputs) => {
  const kernel = kernelOf(sizes);
  const weights = normal(2, outs * inputs * kernel.taps);
  weights[kernel.taps + 1] = Number.NaN;

  it.each([1, 2])(
    "are the colours of the weights under them, by position and sorted (dpr %s)",
    (dpr) => {
      const order = orderBy(normsOf(weights, kernel.taps), true);
      for (const [layout, sorted] of [
        [byPosition(kernel, outs, inputs, 1.2), null],
        [inFlow(kernel, outs, inputs, 1.2), order],
      ] as const) {
        const { frame, surface } = painted(layout, weights, 2, 9.3, {
          order: sorted,
          dpr,
          x: 1.7,
          y: 2.2,
        });
        const seen = new Set<number>();
        for (let y = 0; y < surface.height; y++) {
          for (let x = 0; x < surface.width; x++) {
            const hit = hitAt(frame, x, y);
            const box =
              hit && boxOf(frame, hit.slot % layout.cols, Math.floor(hit.slot / layout.cols));
            const inside = box && x < box.x + box.width && y < box.y + box.height;
            if (!hit || !inside) continue;
            // between slices
            if (kernel.depth > 1 && at(surface, x, y) === GROUND) continue;
            const filter = sorted ? (sorted[hit.slot] as number) : hit.slot;
            const weight = weights[filter * kernel.taps + hit.tap] as number;
            const expected = diverging(false)[stepOf(weight, 2) + STEPS];
            if (at(surface, x, y) !== expected) {
              throw new Error(`pixel ${x}, ${y} is not the colour of weight ${weight}`);
            }
            seen.add(filter);
          }
        }
        expect(seen.size).toBeGreaterThan(kernel.depth > 1 ? 3 : 10);
      }
    },
  );

  it("are the ground in gaps and beside the filters", () => {
    const layout = byPosition(kernel, outs, inputs, 1.2);
    const { frame, surface } = painted(layout, weights, 2, 20);
    const box = boxOf(frame, 0, 0);
    if (!box || frame.fade < 1) throw new Error("cells should be large here");
    expect(at(surface, box.x + box.width, 3)).toBe(GROUND);
    expect(at(surface, 3, box.y + box.height)).toBe(GROUND);
    const small = painted(layout, weights, 2, 2).surface;
    expect(at(small, small.width - 1, small.height - 1)).toBe(GROUND);
  });
});

describe("slices of a 3-D kernel", () => {
  it("lie side by side with ground between them", () => {
    const layout = byPosition(kernelOf([2, 3, 3]), 1, 1, 1);
    const weights = Float32Array.from({ length: 18 }, (_, i) => (i < 9 ? 1 : -1));
    const { surface } = painted(layout, weights, 1, 20);
    expect(at(surface, 10, 10)).toBe(table[2 * STEPS]);
    expect(at(surface, 65, 10)).toBe(GROUND);
    expect(at(surface, 100, 10)).toBe(table[0]);
  });
});

describe("from afar", () => {
  it("shows as much of either sign where filters of one size cancel, as those sorted by norm do", () => {
    const signs = Array.from({ length: 4096 }, (_, at) => (Math.sin(at * at) < 0 ? -1 : 1));
    const texture = new Texture(Float32Array.from(signs), kernelOf([1]), 1);
    const { steps } = new Overview(texture, 64, 64, 4096, null).level(2, 2);
    expect(steps).toHaveLength(256);
    const positive = steps.filter((step) => step > 0).length;
    expect(positive).toBeGreaterThan(0.35 * 256);
    expect(positive).toBeLessThan(0.65 * 256);
  });

  it("keeps the weight of what it merges, and its sign", () => {
    const kernel = kernelOf([3, 3]);
    const weights = Float32Array.from({ length: 4 * 9 }, (_, i) => (i % 9 === 0 ? 0 : -0.5));
    const texture = new Texture(weights, kernel, 1);
    const expected = -Math.sqrt((8 * (0.5 * STEPS) ** 2) / 9);
    expect(Math.abs((texture.filters[0] as number) - expected)).toBeLessThan(1.5);
    const merged = new Overview(texture, 2, 2, 4, null).level(1, 1);
    expect(merged.steps.length).toBe(1);
    expect(Math.abs((merged.steps[0] as number) - expected)).toBeLessThan(2.5);
  });

  it("does not lose a strong filter between weak ones, nor a NaN", () => {
    const texture = new Texture(Float32Array.of(0, 0, 1, 0, 0, Number.NaN, 0, 0), kernelOf([]), 1);
    const { steps } = new Overview(texture, 8, 1, 8, null).level(1, 0);
    expect(Array.from(steps)).toEqual([0, Math.round(STEPS / Math.SQRT2), BAD, 0]);
    expect(new Overview(texture, 8, 1, 8, null).level(3, 0).steps[0]).toBe(BAD);
  });

  it("merges in the order that is shown, and leaves empty what is empty", () => {
    const texture = new Texture(Float32Array.of(0.2, -1, 0.2), kernelOf([]), 1);
    const { steps } = new Overview(texture, 2, 2, 3, Uint32Array.of(1, 0, 2)).level(0, 0);
    expect(Array.from(steps)).toEqual([-STEPS, 51, 51, EMPTY]);
    const halves = new Overview(texture, 2, 2, 3, Uint32Array.of(1, 0, 2)).level(0, 1);
    expect(halves.steps[1]).toBe(51);
  });

  it("merges taps block by block, odd edges included", () => {
    const weights = Float32Array.from({ length: 9 }, (_, i) => (i === 8 ? 1 : 0.5));
    const level = new Texture(weights, kernelOf([3, 3]), 1).taps(1);
    expect([level.width, level.height, level.size]).toEqual([2, 2, 4]);
    expect(level.steps[0]).toBe(128);
    expect(level.steps[3]).toBe(STEPS);
  });

  it("shows every filter of a layer that has more of them than pixels", () => {
    const layout = byPosition(kernelOf([]), 1000, 1000, 1);
    const weights = new Float32Array(1e6);
    weights[777 * 1000 + 333] = 1;
    const { surface } = painted(layout, weights, 1, 0.2);
    const zero = table[STEPS];
    const shown = surface.pixels.filter((pixel) => pixel !== zero && pixel !== GROUND);
    expect(shown.length).toBeGreaterThan(0);
    expect(shown.length).toBeLessThanOrEqual(4);
  });
});

describe("marks", () => {
  const layout = byPosition(kernelOf([3, 3]), 2, 2, 1);
  const weights = new Float32Array(36);
  const [OUTLINE, HATCH] = [0xff0000aa, 0xff00aa00];
  const marked = (zoom: number, faint = false) => {
    const { frame, surface } = painted(layout, weights, 1, zoom);
    const marks = {
      sparse: Uint8Array.of(0, 1, 0, 0),
      bad: Uint8Array.of(0, 0, 1, 0),
      outline: OUTLINE,
      hatch: HATCH,
      faint,
    };
    paintMarks(surface, frame, null, marks, 1);
    const inside = (col: number, row: number, pixel: number) => {
      const box = boxOf(frame, col, row);
      if (!box) return 0;
      let found = 0;
      for (let y = box.y - 1; y <= box.y + box.height; y++) {
        for (let x = box.x - 1; x <= box.x + box.width; x++) {
          if (x >= 0 && y >= 0 && at(surface, x, y) === pixel) found++;
        }
      }
      return found;
    };
    return inside;
  };

  it("outline the sparse and hatch what is not finite, and no other", () => {
    const inside = marked(10);
    expect(inside(1, 0, OUTLINE)).toBeGreaterThan(60);
    expect(inside(0, 1, HATCH)).toBeGreaterThan(60);
    expect(inside(1, 0, HATCH) + inside(0, 1, OUTLINE)).toBe(0);
    expect(inside(1, 1, OUTLINE) + inside(0, 0, HATCH)).toBe(0);
  });

  it("lets what lies below shine through where most are sparse, and stays a shape", () => {
    const inside = marked(10, true);
    expect(inside(1, 0, OUTLINE)).toBe(0);
    const mixed = [mix(OUTLINE, table[STEPS] as number, 0.55), mix(OUTLINE, GROUND, 0.55)];
    expect(mixed.reduce((all, pixel) => all + inside(1, 0, pixel), 0)).toBeGreaterThan(60);
    expect(inside(0, 1, HATCH)).toBeGreaterThan(60);
  });

  it("leave cells alone that are too small to show both", () => {
    expect(marked(2)(1, 0, OUTLINE)).toBe(0);
  });
});
