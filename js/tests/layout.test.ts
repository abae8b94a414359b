import { describe, expect, it } from "vitest";
import { fitZoom } from "../src/draw/camera";
import { boxOf, crispZoom, frameOf, gapOf, hitAt } from "../src/draw/frame";
import { byPosition, colAt, inFlow, kernelOf, slotsOf, xOf } from "../src/draw/layout";

const screen = { width: 430, height: 350 };

/** kind, kernel, outputs, inputs */
const KINDS: [string, number[], number, number][] = [
  ["3x3", [3, 3], 16, 16],
  ["7x7 of three inputs", [7, 7], 64, 3],
  ["depthwise", [5, 5], 144, 1],
  ["1x1", [1, 1], 256, 64],
  ["linear", [], 10, 64],
  ["1-D", [5], 32, 16],
  ["3-D", [3, 3, 3], 16, 8],
  ["a single filter", [3, 3], 1, 1],
];

describe.each(KINDS)("%s", (_, sizes, outs, inputs) => {
  const kernel = kernelOf(sizes);
  describe.each([
    ["by position", byPosition],
    ["in a flow", inFlow],
  ] as const)("%s", (_, make) => {
    const layout = make(kernel, outs, inputs, screen.width / screen.height);

    it("has a slot for every filter and no row too many", () => {
      expect(layout.count).toBe(outs * inputs);
      expect(layout.cols * layout.rows).toBeGreaterThanOrEqual(layout.count);
      expect(layout.cols * (layout.rows - 1)).toBeLessThan(layout.count);
    });

    it.each([1, 1.25, 2])("finds every filter and tap under its pixel (dpr %s)", (dpr) => {
      const fit = fitZoom(layout, screen);
      for (const zoom of [fit, 3.3 * fit, 40]) {
        const camera = { x: layout.width / 7, y: layout.height / 9, zoom };
        const frame = frameOf(layout, camera, screen, dpr);
        if (!frame.cols || !frame.rows) throw new Error("cells should be of a pixel and more");
        let found = 0;
        frame.cols.starts.forEach((_, i) => {
          frame.rows?.starts.forEach((__, j) => {
            const [col, row] = [(frame.cols?.first ?? 0) + i, (frame.rows?.first ?? 0) + j];
            const box = boxOf(frame, col, row);
            const slot = row * layout.cols + col;
            if (!box || slot >= layout.count) return;
            for (let tap = 0; tap < kernel.taps; tap++) {
              const slice = Math.floor(tap / (kernel.width * kernel.height));
              const down = Math.floor(tap / kernel.width) % kernel.height;
              const across = (tap % kernel.width) + 0.5 + slice * (kernel.width + 0.5);
              const x = box.x + (across / (kernel.taps === 1 ? 1 : layout.cellWidth)) * box.width;
              const y = box.y + ((down + 0.5) / kernel.height) * box.height;
              if (x < 0 || y < 0 || x >= frame.width || y >= frame.height) continue;
              const hit = hitAt(frame, x, y);
              expect(hit?.slot).toBe(slot);
              if (frame.tap >= 3) expect(hit?.tap).toBe(tap);
              found++;
            }
          });
        });
        expect(found).toBeGreaterThan(0);
      }
    });

    it("leaves no pixel between neighbours but the gap", () => {
      const camera = { x: 0, y: 0, zoom: fitZoom(layout, screen) * 1.37 };
      const { cols, gap } = frameOf(layout, camera, screen, 1.5);
      if (!cols || layout.space > 0) return;
      for (let i = 1; i < cols.starts.length; i++) {
        expect(cols.starts[i]).toBe((cols.ends[i - 1] as number) + gap);
      }
    });
  });
});

describe("layouts", () => {
  it("puts outputs down and inputs across where that fits", () => {
    const layout = byPosition(kernelOf([3, 3]), 32, 16, 1);
    expect([layout.rows, layout.cols, layout.outsPerRow]).toEqual([32, 16, 1]);
  });

  it("wraps a depthwise layer into something near a square", () => {
    const { width, height, space } = byPosition(kernelOf([3, 3]), 512, 1, 1);
    expect(width / height).toBeGreaterThan(0.4);
    expect(width / height).toBeLessThan(2.5);
    expect(space).toBe(0);
  });

  it("keeps the inputs of an output together, with space between outputs", () => {
    const layout = byPosition(kernelOf([7, 7]), 64, 3, 1);
    expect(layout.outsPerRow).toBeGreaterThan(1);
    expect(xOf(layout, 3) - xOf(layout, 2)).toBeCloseTo(7 + layout.space, 9);
    for (let col = 0; col < layout.cols; col++) {
      expect(colAt(layout, xOf(layout, col))).toBe(col);
      expect(colAt(layout, xOf(layout, col) + 6.99)).toBe(col);
    }
  });

  it("stretches a matrix of single weights that would be a strip", () => {
    const { width, height, rows } = byPosition(kernelOf([]), 10, 512, 1);
    expect(rows).toBe(10);
    expect(width / height).toBeLessThan(1.6);
  });

  it("draws 262,144 filters by texels where a cell is less than a pixel, and hits them", () => {
    const layout = byPosition(kernelOf([3, 3]), 512, 512, 1);
    const camera = { x: 0, y: 0, zoom: 350 / layout.height };
    const frame = frameOf(layout, camera, { width: 350, height: 350 }, 1);
    expect(frame.cols).toBeNull();
    expect(hitAt(frame, 0, 0)).toEqual({ slot: 0, tap: 0 });
    expect(hitAt(frame, 349.5, 349.5)?.slot).toBe(512 * 512 - 1);
  });

  it("says that there is nothing beside the filters", () => {
    const layout = inFlow(kernelOf([3, 3]), 7, 1, 1);
    const frame = frameOf(layout, { x: 0, y: 0, zoom: 10 }, screen, 1);
    expect(layout.cols).toBe(3);
    expect(hitAt(frame, 89, 5)?.slot).toBe(2);
    expect(hitAt(frame, 95, 5)).toBeNull();
    expect(hitAt(frame, 5, 65)?.slot).toBe(6);
    // the last row is not full
    expect(hitAt(frame, 35, 65)).toBeNull();
    expect(hitAt(frame, -1, 5)).toBeNull();
  });

  it("fits so that every tap has the same whole number of pixels", () => {
    const layout = byPosition(kernelOf([3, 3]), 16, 16, 1);
    const zoom = crispZoom(layout, fitZoom(layout, screen), 1);
    const frame = frameOf(layout, { x: 0, y: 0, zoom }, screen, 1);
    const sizes = Array.from(frame.cols?.starts ?? [], (x, i) => (frame.cols?.ends[i] ?? 0) - x);
    expect(new Set(sizes).size).toBe(1);
    expect((sizes[0] as number) % 3).toBe(0);
    expect(zoom).toBeLessThanOrEqual(fitZoom(layout, screen));
  });

  it("has gaps that fade in and grow, and none from afar", () => {
    expect(gapOf(4, 9, 1)).toEqual({ gap: 0, fade: 0 });
    expect(gapOf(7, 9, 1)).toEqual({ gap: 1, fade: 0.5 });
    expect(gapOf(30, 9, 1)).toEqual({ gap: 3, fade: 1 });
    expect(gapOf(30, 9, 2).gap).toBeGreaterThanOrEqual(2);
  });

  it("inverts an order", () => {
    expect(Array.from(slotsOf(Uint32Array.of(2, 0, 1)))).toEqual([1, 2, 0]);
  });
});
