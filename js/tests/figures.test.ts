import { describe, expect, it } from "vitest";
import { fillTemplate, literal } from "../src/code";
import { entropyOf, nearestIndex, sparseCount, sparsityAt, toBar } from "../src/eps";
import { count, figure, nameOf, percent, probability, shapeInWords, weight } from "../src/format";
import { fileName } from "../src/png";
import { stages } from "../src/stages";
import { GRID, layer, row } from "./fake";

describe("sparsity at any eps", () => {
  it("is the kernel's own figure where it measured, and the exact count on the grid", () => {
    const measured = row("a", { sparsity: 0.3, eps: 0.0123 });
    expect(sparsityAt(measured, 0.0123, GRID)).toBe(0.3);
    expect(sparsityAt(measured, 0.1, GRID)).toBe(64 / 256);
    expect(sparseCount(measured, 0.5, GRID)).toBe(128);
  });

  it("lies between its neighbours off the grid, and stays at the ends beyond it", () => {
    const between = sparsityAt(row("a"), 0.03, GRID) as number;
    expect(between).toBeGreaterThan(32 / 256);
    expect(between).toBeLessThan(64 / 256);
    expect(sparsityAt(row("a"), 0.9, GRID)).toBe(128 / 256);
    expect(sparsityAt(row("a"), 0.0001, GRID)).toBe(0);
  });

  it("is nothing where the layer has none", () => {
    expect(sparsityAt(row("a", { sparsity: null }), 0.1, GRID)).toBe(null);
    expect(sparsityAt(row("a", { sparsity: null, n: 0, curve: [] }), 0.1, GRID)).toBe(null);
  });

  it("has a slider that stands at the nearest value of the grid", () => {
    expect(nearestIndex(GRID, 0.01)).toBe(1);
    expect(nearestIndex(GRID, 0.04)).toBe(2);
    expect(nearestIndex(GRID, 1e-9)).toBe(0);
  });
});

describe("entropy in each mode", () => {
  it("is the field of the row", () => {
    expect(entropyOf(row("a"), "normalized").value).toBe(0.9);
    expect(entropyOf(row("a"), "raw").value).toBe(0.85);
    expect(entropyOf(row("a"), "clean").value).toBe(0.89);
  });

  it("of other kernel sizes is set against the value random filters are expected to have", () => {
    const wide = row("a", { variance_entropy_normalized: null, variance_entropy: 1.2 });
    expect(entropyOf({ ...wide, entropy_of_random: 1.5 }, "normalized").value).toBeCloseTo(0.8, 12);
  });

  it("says why there is none", () => {
    const omitted = { variance_entropy: "one tap" };
    const none = row("a", { variance_entropy: null, omitted });
    expect(entropyOf(none, "raw")).toEqual({ value: null, why: "one tap" });
    const nan = row("a", { variance_entropy: null, reason: "3 weights are NaN" });
    expect(entropyOf(nan, "raw").why).toBe("3 weights are NaN");
  });

  it("goes into the chart with the layer's state", () => {
    const state = (info = layer("a"), measured = row("a") as ReturnType<typeof row> | undefined) =>
      toBar(info, measured, 0.01, "raw", GRID);
    expect(state()).toEqual({ state: "ready", entropy: 0.85, sparsity: 0.125, threshold: 0.941 });
    expect(toBar(layer("a"), undefined, 0.01, "raw", GRID).state).toBe("loading");
    expect(state(layer("a", { reason: "lazy" })).state).toBe("unscored");
    expect(state(layer("a"), row("a", { reason: "NaN" })).state).toBe("unscored");
  });
});

describe("figures in words", () => {
  it("group thousands, keep a true minus, and never print NaN", () => {
    expect(count(269722)).toBe("269,722");
    expect(figure(-0.5, 2)).toBe("−0.50");
    expect([figure(null), figure(Number.NaN), percent(undefined)]).toEqual(["n/a", "n/a", "n/a"]);
    expect(weight(-0.000012)).toBe("−1.2e−5");
    expect(weight(0)).toBe("0.00");
  });

  it("give a share the digits it needs", () => {
    const shares = [0, 0.0005, 0.001, 0.01, 0.125, 0.9996, 1].map(percent);
    expect(shares).toEqual(["0 %", "0.05 %", "0.1 %", "1 %", "12.5 %", "100 %", "100 %"]);
  });

  it("never call a probability zero", () => {
    expect([0, 0.0004, 0.0123, 0.5].map(probability)).toEqual([
      "< 0.001",
      "< 0.001",
      "= 0.012",
      "= 0.50",
    ]);
  });

  it("say a shape", () => {
    const words = (shape: number[], more = {}) => shapeInWords(layer("a", { shape, ...more }));
    expect(words([16, 16, 3, 3])).toBe("16 × 16 filters of 3 × 3");
    expect(words([1000, 2048])).toBe("1,000 × 2,048 weights");
    expect(words([32, 1, 5, 5], { groups: 32 })).toBe("32 × 1 filters of 5 × 5, depthwise");
    expect(words([32, 4, 3], { groups: 8 })).toBe("32 × 4 filters of 3, 8 groups");
    expect(words([8, 4, 2, 2], { transposed: true })).toBe("8 × 4 filters of 2 × 2, transposed");
    expect(words([])).toBe("shape not known yet");
  });

  it("name a layer that is the whole model by its kind", () => {
    expect(nameOf(layer(""))).toBe("Conv2d");
    expect(nameOf(undefined)).toBe("");
  });
});

describe("copy as Python", () => {
  it("fills the template with Python literals", () => {
    const values = { layer: "layer1.0.conv1", eps: 0.01, channel: null };
    expect(fillTemplate("q({layer}, eps={eps}, channel={channel})", values)).toBe(
      'q("layer1.0.conv1", eps=0.01, channel=None)',
    );
  });

  it("does not fill what came with a name, and leaves other braces alone", () => {
    const filled = fillTemplate("{layer} {eps} {other} {}", { layer: "{eps}", eps: 1e-7 });
    expect(filled).toBe('"{eps}" 1e-7 {other} {}');
  });

  it("quotes what could end the string or hide in it", () => {
    expect(literal('a"b\\c\nd')).toBe('"a\\"b\\\\c\\nd"');
    expect(literal("x\u202ey\u2028z")).toBe('"x\\u202ey\\u2028z"');
    expect(literal("</script>")).toBe('"</script>"');
    expect(literal("שלום")).toBe('"שלום"');
    expect(literal("\u{e0041}")).toBe('"\\U000e0041"');
  });
});

describe("stages of the depth axis", () => {
  const spans = (names: string[]) =>
    stages(names).map(({ label, start, end }) => `${label} ${start}-${end}`);

  it("are the runs of the first part of the names", () => {
    const names = ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "fc"];
    expect(spans(names)).toEqual(["conv1 0-1", "layer1 1-3", "layer2 3-4", "fc 4-5"]);
  });

  it("leave out what all names share", () => {
    const names = ["net.body.a.x", "net.body.a.y", "net.body.b.x", "net.body.c.x"];
    expect(spans(names)).toEqual(["a 0-2", "b 2-3", "c 3-4"]);
  });

  it("go deeper where the first part says little, but not down to single layers", () => {
    const dense = Array.from(
      { length: 12 },
      (_, i) => `features.block${Math.floor(i / 4)}.conv${i}`,
    );
    expect(spans([...dense, "classifier"]).length).toBe(4);
    const vgg = Array.from({ length: 13 }, (_, i) => `features.${i}`);
    expect(spans([...vgg, "classifier.0", "classifier.3"])).toEqual([
      "features 0-13",
      "classifier 13-15",
    ]);
  });

  it("stand for one layer and for none", () => {
    expect(spans([""])).toEqual([" 0-1"]);
    expect(spans([])).toEqual([]);
  });
});

it("a PNG gets a name that every file system takes", () => {
  expect(fileName(["Res/Net <b>", "quality", 'a".b\\c'])).toBe("Res-Net-b-_quality_a-.b-c.png");
  expect(fileName(["x".repeat(200)]).length).toBe(64);
});
