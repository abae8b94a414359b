import { describe, expect, it } from "vitest";
import {
  type Bar,
  type BarsData,
  barAt,
  drawBars,
  entropyAxis,
  layoutBars,
  sparsityAxis,
} from "../src/draw/bars";
import type { Colors } from "../src/draw/colors";
import { drawPeaks, drawWeights } from "../src/draw/histogram";
import { fitMiddle, wrap } from "../src/draw/text";
import { drawTracks, layoutTracks } from "../src/draw/tracks";
import { compose } from "../src/png";
import { stages } from "../src/stages";
import { drifted } from "./drifts";

interface Written {
  text: string;
  /** Left and right end, taking a letter for 6 px wide. */
  from: number;
  to: number;
  y: number;
}

/** A canvas that notes what is written and filled, and fails on any turn of it. */
function recorder() {
  const written: Written[] = [];
  const filled: { x: number; y: number; width: number; height: number; color: string }[] = [];
  const strokes: number[] = [];
  let shift = [0, 0] as [number, number];
  const kept: [number, number][] = [];
  const context = {
    fillStyle: "",
    textAlign: "left",
    measureText: (text: string) => ({ width: 6 * Array.from(text).length }),
    fillText(text: string, x: number, y: number) {
      const width = 6 * Array.from(text).length;
      const left = { right: x - width, center: x - width / 2 }[this.textAlign] ?? x;
      written.push({ text, from: left + shift[0], to: left + width + shift[0], y: y + shift[1] });
    },
    fillRect(x: number, y: number, width: number, height: number) {
      filled.push({ x: x + shift[0], y: y + shift[1], width, height, color: this.fillStyle });
    },
    roundRect(x: number, y: number, width: number, height: number) {
      filled.push({ x: x + shift[0], y: y + shift[1], width, height, color: this.fillStyle });
    },
    translate: (x: number, y: number) => {
      shift = [shift[0] + x, shift[1] + y];
    },
    save: () => kept.push(shift),
    restore: () => {
      shift = kept.pop() ?? [0, 0];
    },
    rotate: () => {
      throw new Error("labels are never rotated");
    },
    stroke: () => strokes.push(1),
    strokeRect() {},
    beginPath() {},
    fill() {},
    rect() {},
    clip() {},
    moveTo() {},
    lineTo() {},
    arc() {},
  };
  return { context: context as unknown as CanvasRenderingContext2D, written, filled, strokes };
}

/** No label stands over another or over an edge. */
function expectApart(written: readonly Written[], width: number) {
  for (const { from, to } of written) {
    expect(from).toBeGreaterThanOrEqual(0);
    expect(to).toBeLessThanOrEqual(width);
  }
  for (const [i, a] of written.entries()) {
    for (const b of written.slice(i + 1)) {
      const apart = Math.abs(a.y - b.y) >= 9 || a.to <= b.from || b.to <= a.from;
      expect(apart, `${a.text} and ${b.text}`).toBe(true);
    }
  }
}

const colors = new Proxy({} as Colors, { get: (_, name) => String(name) });
const bar = (more: Partial<Bar> = {}): Bar => ({
  ...{ state: "ready", entropy: 0.8, sparsity: 0.1, threshold: 0.94 },
  ...more,
});
const data = (bars: Bar[], names: string[], more: Partial<BarsData> = {}): BarsData => ({
  bars,
  stages: stages(names),
  selected: 0,
  hovered: -1,
  mode: "normalized",
  guides: { good: 0.9, random: 1, redundant: 0.5 },
  entropyTitle: ["Entropy"],
  sparsityTitle: ["Sparsity"],
  ...more,
});
const named = (count: number) =>
  Array.from({ length: count }, (_, i) => `layer${Math.floor((8 * i) / count)}.${i}.conv`);

describe("the bar charts", () => {
  for (const [width, count] of [
    [300, 20],
    [780, 20],
    [780, 54],
    [780, 400],
  ] as const) {
    it(`write no label over another or over the edge: ${count} layers in ${width} px`, () => {
      const { context, written } = recorder();
      const layout = layoutBars(width, 240, count);
      const bars = Array.from({ length: count }, () => bar());
      drawBars(context, layout, data(bars, named(count)), colors);
      expectApart(written, width);
      expect(written.map(({ text }) => text)).toContain("layer0");
    });
  }

  it("draw a bar as high as its value, from the same foot", () => {
    const { context, filled } = recorder();
    const layout = layoutBars(780, 240, 2);
    const bars = [bar({ entropy: 0.4 }), bar({ entropy: 0.8 })];
    drawBars(context, layout, data(bars, ["a", "b"]), colors);
    const [low, high] = filled.filter(({ color }) => color === "entropy");
    expect((high?.height ?? 0) / (low?.height ?? 1)).toBeCloseTo(2, 6);
    expect((low?.y ?? 0) + (low?.height ?? 0)).toBe(layout.entropy.bottom);
  });

  it("draw no bar where there is no value, and lines where there is no score", () => {
    const { context, filled, strokes } = recorder();
    const bars = [
      bar({ entropy: null }),
      bar({ state: "unscored", entropy: null, sparsity: null }),
    ];
    const layout = layoutBars(780, 240, 2);
    drawBars(context, layout, data(bars, ["a", "b"], { selected: -1 }), colors);
    expect(filled.filter(({ color }) => color === "entropy")).toEqual([]);
    expect(filled.filter(({ color }) => color === "sparse").length).toBe(2); // a band and one bar
    expect(strokes.length).toBe(2);
  });

  it("mark what random filters have on each bar when entropy is raw", () => {
    const { context, filled, written } = recorder();
    const layout = layoutBars(780, 240, 2);
    const marked = data([bar(), bar({ threshold: null })], ["a", "b"], { mode: "raw" });
    drawBars(context, layout, marked, colors);
    expect(filled.filter(({ color, height }) => color === "fg" && height === 1).length).toBe(2);
    expect(written.map(({ text }) => text)).toContain("what random filters have");
  });

  it("find the layer under the pointer", () => {
    const layout = layoutBars(780, 240, 20);
    expect(barAt(layout, layout.left - 1, 20)).toBe(-1);
    expect(barAt(layout, layout.left, 20)).toBe(0);
    expect(barAt(layout, layout.left + 3.5 * layout.step, 20)).toBe(3);
    expect(barAt(layout, layout.right, 20)).toBe(19);
    expect(barAt(layout, layout.right + 1, 20)).toBe(-1);
    expect(barAt(layout, layout.left, 0)).toBe(-1);
  });

  it("end their axes above every value", () => {
    expect(sparsityAxis([bar({ sparsity: 0.234 })]).max).toBe(0.3);
    expect(sparsityAxis([bar({ sparsity: 1 })]).max).toBe(1);
    expect(sparsityAxis([]).max).toBe(0.1);
    const axis = entropyAxis(data([bar({ entropy: 1.4 })], ["a"]));
    expect(axis.max).toBeGreaterThan(1.4);
    const raw = entropyAxis(data([bar({ entropy: 1.1, threshold: 1.6 })], ["a"], { mode: "raw" }));
    expect(raw.max).toBeGreaterThan(1.6);
    expect(raw.ticks).toEqual([0, 0.5, 1, 1.5]);
  });
});

const distribution = {
  ...{ layer: "a", low: -1, high: 1, peak_low: -4, peak_high: 0, n: 192 },
  ...{ weights: new Uint32Array(61), peaks: new Uint32Array(64).fill(3) },
};

describe("the histogram of filters", () => {
  it("colours as sparse exactly what lies below eps", () => {
    const { context, filled } = recorder();
    drawPeaks(context, 320, 120, distribution, 0.01, "96 sparse", colors);
    expect(filled.filter(({ color }) => color === "sparse").length).toBe(32);
    const line = filled.find(({ color, width }) => color === "fg" && width === 1);
    expect(line?.x).toBe(160);
  });

  it("writes beside the line on the side that has room", () => {
    for (const eps of [0.0005, 0.5]) {
      const { context, written } = recorder();
      drawPeaks(context, 320, 120, distribution, eps, "96 sparse", colors);
      const words = written.find(({ text }) => text === "96 sparse");
      expect(words?.from).toBeGreaterThanOrEqual(0);
      expect(words?.to).toBeLessThanOrEqual(320);
    }
  });
});

describe("axes with little room", () => {
  const texts = (written: readonly Written[]) => written.map(({ text }) => text);

  it("leave out labels of weights, the zero first", () => {
    const seen = [320, 110, 80].map((width) => {
      const { context, written } = recorder();
      drawWeights(context, width, 120, distribution, colors);
      expectApart(written, width);
      return texts(written).slice(1);
    });
    expect(seen).toEqual([
      ["−1.00", "1.00", "0"],
      ["−1.00", "1.00", "0"],
      ["−1.00", "1.00"],
    ]);
  });

  it("leave out labels of a log scale, those between the ends first", () => {
    const seen = [320, 100, 70].map((width) => {
      const { context, written } = recorder();
      drawPeaks(context, width, 120, distribution, 0.01, "", colors);
      expectApart(written, width);
      return texts(written).slice(2);
    });
    expect(seen).toEqual([["100 %", "≤ 0.01 %", "1 %"], ["100 %", "≤ 0.01 %"], ["100 %"]]);
  });

  it("leave out what is said of the others, or of the sparse, where it would be cut", () => {
    const seen = [320, 70].map((width) => {
      const { context, written } = recorder();
      drawWeights(context, width, 120, distribution, colors, distribution, "int8");
      drawPeaks(context, width, 120, distribution, 0.01, "0 sparse", colors);
      for (const { from, to } of written) {
        expect(from).toBeGreaterThanOrEqual(0);
        expect(to).toBeLessThanOrEqual(width);
      }
      return texts(written).filter((text) => /^int8|sparse$/.test(text));
    });
    expect(seen).toEqual([["int8", "0 sparse"], []]);
  });

  it.each(["normalized", "raw"] as const)("leave out whose bars are whose: %s", (mode) => {
    const seen = [480, 320, 120].map((width) => {
      const { context, written } = recorder();
      const reference = { bars: [bar()], titles: ["Net", "int8"] as const };
      const more = { mode, reference, entropyTitle: ["Variance entropy", "Entropy"] };
      drawBars(context, layoutBars(width, 240, 1), data([bar()], ["a"], more), colors);
      expectApart(written, width);
      return texts(written).filter((text) => /^(Net|int8|what.*|.*ntropy)$/.test(text));
    });
    const raw = mode === "raw" ? ["what random filters have"] : [];
    expect(seen).toEqual([
      ["int8", "Net", raw.length ? "Entropy" : "Variance entropy", ...raw],
      raw.length ? ["Entropy", ...raw] : ["int8", "Net", "Variance entropy"],
      ["Entropy"],
    ]);
  });

  it("leave out what a sign means rather than the title beside it", () => {
    const tracks = (width: number) => {
      const { context, written } = recorder();
      const slots = ["a", "b"].map((key) => drifted(key));
      drawTracks(
        context,
        layoutTracks(width, 300, 2),
        {
          slots,
          bands: new Float32Array(12).fill(0.5),
          stages: [],
          selected: 0,
          hovered: -1,
          titles: [["Drift from all layers", "Drift"], ["Entropy"], ["Sparsity"]],
          signs: ["what noise makes", "90 % of the summary"],
        },
        colors,
      );
      expectApart(written, width);
      return texts(written).filter((text) => /[a-z]{4}/.test(text));
    };
    expect(tracks(480)).toEqual([
      ...["Drift from all layers", "what noise makes"],
      ...["Entropy", "90 % of the summary", "Sparsity"],
    ]);
    expect(tracks(240)).toEqual([
      "Drift",
      "what noise makes",
      "Entropy",
      "90 % of the summary",
      "Sparsity",
    ]);
    expect(tracks(220)).toEqual(["Drift", "what noise makes", "Entropy", "Sparsity"]);
    expect(tracks(150)).toEqual(["Drift", "Entropy", "Sparsity"]);
  });
});

describe("text on a canvas", () => {
  it("loses its middle, never its ends", () => {
    const { context } = recorder();
    expect(fitMiddle(context, "layer1.conv1", 1000)).toBe("layer1.conv1");
    const short = fitMiddle(context, "encoder.block17.attention.conv", 60);
    expect(short).toMatch(/^enco.*….*onv$/);
    expect(6 * short.length).toBeLessThanOrEqual(60);
  });

  it("wraps at words", () => {
    const { context } = recorder();
    expect(wrap(context, "one two three four", 60)).toEqual(["one two", "three four"]);
    expect(wrap(context, "extraordinarily long", 30)).toEqual(["extraordinarily", "long"]);
  });
});

it("a PNG holds the picture between the model's line and the layer's", () => {
  const { context, written } = recorder();
  const view = {
    width: 600,
    height: 200,
    draw: (on: typeof context) => on.fillText("view", 0, 50),
  };
  const caption = { title: "Net", facts: "quality", layer: "conv1", figures: "sparsity 0.1" };
  const page = compose(view, caption, colors);
  page.draw(context);
  expect(page.width).toBeGreaterThan(600);
  const at = Object.fromEntries(written.map(({ text, y }) => [text, y]));
  expect(at.Net).toBeLessThan(at.view as number);
  expect(at.conv1).toBeGreaterThan((at.view as number) + 150);
  expect(at.conv1).toBeLessThan(page.height);
});
