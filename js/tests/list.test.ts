import { describe, expect, it } from "vitest";
import { fuzzy } from "../src/fuzzy";
import { moveIn, type Order, railGroups } from "../src/list";
import { GRID, layer, row } from "./fake";

const LAYERS = ["conv1", "layer1.0.conv1", "layer1.0.relu:1", "layer2.0.conv1", "fc"].map((key) =>
  layer(key),
);
const ROWS = new Map(
  [
    row("conv1", { sparsity: 0.1, variance_entropy_normalized: 0.7 }),
    row("layer1.0.conv1", { sparsity: 0.4, variance_entropy_normalized: 0.9 }),
    row("layer2.0.conv1", { sparsity: 0.2, variance_entropy_normalized: 0.4 }),
  ].map((measured) => [measured.key, measured]),
);
const groups = (query: string, order: Order = "depth") =>
  railGroups({ layers: LAYERS, rows: ROWS, query, order, eps: 0.01, grid: GRID });
const keys = (query: string, order: Order = "depth") =>
  groups(query, order).flatMap(({ items }) => items.map((item) => item.layer.key));

describe("the rail", () => {
  it("groups neighbours by what stands before their last part", () => {
    const shown = groups("").map(({ title, items }) => [title, items.map(({ label }) => label)]);
    expect(shown).toEqual([
      ["", ["conv1"]],
      ["layer1.0", ["conv1", "relu:1"]],
      ["layer2.0", ["conv1"]],
      ["", ["fc"]],
    ]);
  });

  it("puts first what deserves a look, and last what has no figure", () => {
    expect(keys("", "sparsity").slice(0, 3)).toEqual(["layer1.0.conv1", "layer2.0.conv1", "conv1"]);
    expect(keys("", "entropy").slice(0, 3)).toEqual(["layer2.0.conv1", "conv1", "layer1.0.conv1"]);
    expect(keys("", "entropy").slice(3)).toEqual(["layer1.0.relu:1", "fc"]);
    expect(groups("", "entropy")[0]?.items[0]?.label).toBe("layer2.0.conv1");
  });

  it("finds letters in order, and marks them in the label", () => {
    expect(keys("l2c")).toEqual(["layer2.0.conv1"]);
    expect(keys("CONV 1")).toEqual(["conv1", "layer1.0.conv1", "layer2.0.conv1"]);
    expect(keys("zebra")).toEqual([]);
    expect(groups("l2c")[0]?.items[0]?.marks).toEqual([0]);
  });
});

describe("fuzzy", () => {
  it("prefers a run of letters to scattered ones", () => {
    expect(fuzzy("conv1", "c.o.n.v.1.conv1")).toEqual([10, 11, 12, 13, 14]);
    expect(fuzzy("ac", "abc")).toEqual([0, 2]);
    expect(fuzzy("ca", "abc")).toBe(null);
    expect(fuzzy("", "abc")).toEqual([]);
  });
});

describe("the keys of a list", () => {
  const list = ["a", "b", "c"];
  it("move and stop at the ends", () => {
    expect(moveIn(list, "a", "ArrowDown")).toBe("b");
    expect(moveIn(list, "c", "ArrowDown")).toBe("c");
    expect(moveIn(list, "a", "ArrowUp")).toBe("a");
    expect(moveIn(list, "a", "End")).toBe("c");
    expect(moveIn(list, "c", "Home")).toBe("a");
    expect(moveIn(list, "a", "PageDown")).toBe("c");
  });
  it("start at an end where the chosen one is not listed, and leave other keys alone", () => {
    expect(moveIn(list, "z", "ArrowDown")).toBe("a");
    expect(moveIn(list, "z", "ArrowUp")).toBe("c");
    expect(moveIn(list, "a", "x")).toBe(null);
    expect(moveIn([], "a", "ArrowDown")).toBe(null);
  });
});
