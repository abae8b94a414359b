import { describe, expect, it } from "vitest";
import { BAD, STEPS } from "../src/colormap";
import { runsOf } from "../src/draw/diagonal";
import { cellAt, cellOf, shade, stepAt } from "../src/draw/heatmap";
import { axisOf } from "../src/draw/lanes";
import { diagonalOf, rangeOf } from "../src/similarity/model";
import { hierarchy } from "../src/stages";

const unit = { low: 0, high: 1, turned: false };

describe("colours", () => {
  it("hold what lies outside of the range at its ends, and tell what has no value", () => {
    expect([-0.2, 0, 0.5, 1, 1.3, Number.NaN].map((value) => stepAt(value, unit))).toEqual([
      0,
      0,
      128,
      STEPS,
      STEPS,
      BAD,
    ]);
  });

  it("are turned round for distances: the same is bright in both", () => {
    const range = { low: 0, high: 2, turned: true };
    expect([0, 2, 9].map((value) => stepAt(value, range))).toEqual([STEPS, 0, 0]);
  });

  it("span 0 to 1, what there is, or 0 to the largest distance", () => {
    const values = Float32Array.of(0.25, Number.NaN, 0.75);
    expect(rangeOf(values, false, false)).toEqual(unit);
    expect(rangeOf(values, true, false)).toEqual({ low: 0.25, high: 0.75, turned: false });
    expect(rangeOf(values, false, true)).toEqual({ low: 0, high: 0.75, turned: true });
    expect(rangeOf(Float32Array.of(Number.NaN), true, false)).toEqual(unit);
  });

  it("are one pixel a cell, the first row at the bottom", () => {
    const table = Uint32Array.from({ length: STEPS + 2 }, (_, step) => step);
    const pixels = new Uint32Array(6);
    shade(pixels, Float32Array.of(0, 1, Number.NaN, 1, 1, 0), 3, unit, table);
    expect([...pixels]).toEqual([STEPS, STEPS, 0, 0, STEPS, BAD]);
  });
});

describe("cells", () => {
  const size = { width: 600, height: 300 };

  it("are squares, unless the matrix is a strip", () => {
    expect(cellOf(20, 32, size)).toEqual({ width: 1, height: 1 });
    expect(cellOf(2, 400, size).height).toBeGreaterThan(2);
    expect(cellOf(400, 2, size).width).toBeGreaterThan(2);
  });

  it("are found under a point at any zoom, and not beside the matrix", () => {
    const axis = (count: number) =>
      axisOf(
        "",
        Array.from({ length: count }, (_, i) => `l${i}`),
      );
    const scene = { rows: axis(4), columns: axis(3) };
    const plot = { left: 50, top: 4, width: 200, height: 200 };
    const cell = { width: 1, height: 1 };
    const at = (x: number, y: number, camera = { x: 0, y: 0, zoom: 20 }) =>
      cellAt(scene, camera, plot, cell, x, y);
    expect(at(51, 5)).toEqual({ row: 3, column: 0 });
    expect(at(109, 83)).toEqual({ row: 0, column: 2 });
    expect(at(111, 5)).toBeNull();
    expect(at(51, 85)).toBeNull();
    expect(at(49, 5)).toBeNull();
    expect(at(51, 5, { x: 1.5, y: 2, zoom: 60 })).toEqual({ row: 1, column: 1 });
  });
});

describe("names beside the matrix", () => {
  it("go from stages to single layers, each level under what it adds", () => {
    const names = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1", "layer2.0.conv1"];
    const [stages, blocks, layers] = hierarchy(names);
    expect(stages?.map(({ label }) => label)).toEqual(["conv1", "layer1", "layer2"]);
    expect(blocks?.map(({ label, start, end }) => `${label} ${start} ${end}`)).toEqual([
      " 0 1",
      "0 1 3",
      "1 3 4",
      "0 4 5",
    ]);
    expect(layers?.[1]).toEqual({ label: "0.conv1", start: 1, end: 2 });
  });

  it("of 400 layers are few at first", () => {
    const names = Array.from(
      { length: 400 },
      (_, i) => `net.stage${Math.floor(i / 80)}.block${Math.floor(i / 4) % 20}.conv${i % 4}`,
    );
    const axis = axisOf("Net", names);
    expect(axis.stages.map(({ label }) => label)).toEqual(
      [0, 1, 2, 3, 4].map((stage) => `stage${stage}`),
    );
    expect(axis.inner.map((runs) => runs.length)).toEqual([400, 100]);
  });
});

describe("the diagonal", () => {
  it("is read off a square matrix, and its line breaks where there is no value", () => {
    const values = diagonalOf(Float32Array.of(1, 2, 3, 4, Number.NaN, 6, 7, 8, 9));
    expect([...values]).toEqual([1, Number.NaN, 9]);
    expect(runsOf(values)).toEqual([[0], [2]]);
  });
});
