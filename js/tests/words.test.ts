import { describe, expect, it } from "vitest";
import { digitsFor, findings, listed, rangeWords } from "../src/gallery/words";
import { layer } from "./fake";

const base = {
  total: 256,
  sparse: 0,
  eps: 0.01,
  bad: 0,
  dead: { outputs: [], inputs: [] },
  maxAbs: 1,
  outlined: true,
  layer: layer("a"),
};

describe("findings in words", () => {
  it("lists a few and counts the rest", () => {
    expect(listed([5])).toBe("5");
    expect(listed([5, 14])).toBe("5 and 14");
    expect(listed([1, 2, 3, 4, 5])).toBe("1, 2, 3, 4 and 5");
    expect(listed(Array.from({ length: 1204 }, (_, i) => i))).toBe("0, 1, 2, 3 and 1,200 more");
  });

  it("names sparse filters and the inputs nobody listens to", () => {
    const lines = findings({ ...base, sparse: 32, dead: { outputs: [3], inputs: [5, 14] } });
    expect(lines[0]).toBe(
      "32 of 256 filters are sparse (outlined): every weight below 1 % of the layer’s largest.",
    );
    expect(lines[1]).toBe("Inputs 5 and 14 are ignored by every output.");
    expect(lines[2]).toBe("Output 3 is dead: no input reaches it.");
  });

  it("says what a NaN, a layer of zeros and a healthy layer are", () => {
    expect(findings({ ...base, bad: 1 })[0]).toMatch(/^1 filter holds NaN or infinite weights/);
    expect(findings({ ...base, maxAbs: 0, sparse: 256 })).toEqual(["Every weight is zero."]);
    expect(findings(base)[0]).toMatch(/^No filter is sparse/);
  });

  it("speaks of weights in a layer of single weights, and of groups", () => {
    const linear = layer("fc", { shape: [10, 64] });
    expect(findings({ ...base, sparse: 2, outlined: false, layer: linear })[0]).toBe(
      "2 of 256 weights are sparse (outlined when zoomed in): below 1 % of the layer’s largest.",
    );
    const grouped = layer("g", { shape: [64, 8, 3, 3], groups: 8 });
    expect(findings({ ...base, layer: grouped }).at(-1)).toMatch(/^Each of the 8 groups/);
  });
});

describe("the legend", () => {
  it("says what the ends of the colours are", () => {
    expect(rangeWords("filter", null, 1)[0]).toBe("each filter");
    expect(rangeWords("model", { range: 2, beyond: 0 }, 1)[0]).toBe("the model");
    const [short, full] = rangeWords("layer", { range: 0.5, beyond: 0.0099 }, 0.86);
    expect(short).toBe("max 0.86");
    expect(full).toContain("0.99 % of the weights lie beyond");
  });

  it("shows as many digits as tell weights apart", () => {
    expect([0.86, 5, 0.02, 1e-5, 0, 1200].map(digitsFor)).toEqual([3, 2, 4, 7, 3, 0]);
  });
});
