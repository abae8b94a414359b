import { signal } from "@preact/signals";
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { changeInWords, points } from "../src/change";
import { differenceOf } from "../src/gallery/difference";
import type { FilterSet } from "../src/load";
import { Rail } from "../src/rail";
import type { Store } from "../src/state";
import { statusFigures } from "../src/status";
import { FiltersView } from "../src/views/filters";
import { barsData } from "../src/views/quality";
import type { Partner } from "../src/wire/reference";
import { FakeModel, layer, openStore, row, settle, structure } from "./fake";
import { closePage, ends, openPage } from "./page";
import { normal } from "./random";

const LAYERS = [
  layer("a", { shape: [4, 3, 3, 3] }),
  layer("b", { shape: [4, 3, 3, 3] }),
  layer("c", { shape: [2, 5] }),
];
const pair = (key: string, more: Partial<Partner> = {}): Partner => ({
  layer: key,
  reference: key,
  how: "name",
  folded: "",
  shape: LAYERS.find((known) => known.key === key)?.shape ?? [],
  reason: null,
  ...more,
});

let el: HTMLElement;
let model: FakeModel;
let store: Store;

const text = (selector: string) => el.querySelector(selector)?.textContent ?? "";
const radio = (name: string) =>
  [...el.querySelectorAll<HTMLButtonElement>("[aria-label='Whose filters'] button")].find(
    (each) => each.textContent === name,
  ) as HTMLButtonElement;

function open(view = "filters", reference = true, more: Record<string, unknown> = {}) {
  const rows = LAYERS.map(({ key }) => row(key));
  model = new FakeModel(LAYERS, {
    view,
    _summary: { eps: 0.01, revision: 0, rows },
    _structure: {
      ...structure(LAYERS),
      reference: reference ? { title: "int8", parameters: 1 } : null,
    },
    ...more,
  });
  store = openStore(model);
}

/** The kernel has measured the model, and says which layer is which. */
async function match(pairs = LAYERS.map(({ key }) => pair(key)), alone: string[] = []) {
  const rows = LAYERS.map(({ key }) => row(key));
  await act(async () => {
    model.reply(model.last("quality").id, { eps: 0.01, revision: 0, rows });
    await settle();
    model.reply(model.last("reference_pairs").id, { pairs, alone });
    await settle();
  });
}

async function filters(kind: "filters" | "reference_filters", weights: Float32Array, out = 4) {
  const spec = (name: string, ...shape: number[]) => ({ name, dtype: "float32", shape });
  const basis = new Float32Array(9).fill(1);
  const header = {
    layer: "a",
    start: 0,
    stop: out,
    page: out,
    out,
    inputs: 3,
    kernel: [3, 3],
    max_abs: weights.reduce((most, w) => Math.max(most, Math.abs(w)), 0),
    arrays: [
      spec("weights", out, 3, 9),
      spec("eigenimages", 1, 9),
      spec("explained", 1),
      spec("mean", 9),
    ],
  };
  const buffers = [weights, basis, Float32Array.of(1), basis].map((one) => one.slice().buffer);
  await act(async () => {
    model.reply(model.last(kind).id, header, buffers);
    await settle();
  });
}

beforeEach(() => {
  el = openPage();
});
afterEach(() => closePage(el, store));

describe("a Lens without a reference", () => {
  it("asks for nothing of one, and offers nothing", async () => {
    open("filters", false);
    await act(() => render(<FiltersView store={store} />, el));
    await filters("filters", normal(1, 108));
    expect(model.sent.filter(({ kind }) => kind.startsWith("reference"))).toEqual([]);
    expect(el.querySelector("[aria-label='Whose filters']")).toBeNull();
    expect(el.querySelectorAll(".cl-gallery")).toHaveLength(1);
    expect(el.querySelector("figcaption")).toBeNull();
    expect(barsData(store, -1).reference).toBeNull();
  });
});

describe("the reference's part", () => {
  it("is asked for after the model's", async () => {
    open("quality", true, { _summary: {} });
    expect(model.count("reference_pairs")).toBe(0);
    await match();
    expect(model.count("reference")).toBe(1);
    expect(model.last("reference").params).toEqual({ eps: 0.01 });
    // the distribution waits for the model's, too
    expect(model.count("reference_distribution")).toBe(0);
  });

  it("is measured anew at another eps, and read anew after a refresh", async () => {
    open("quality");
    await match();
    await act(() => store.set("eps", 0.1));
    expect(model.count("reference")).toBe(1);
    await act(async () => {
      model.reply(model.last("quality").id, {
        eps: 0.1,
        revision: 0,
        rows: LAYERS.map(({ key }) => row(key)),
      });
      await settle();
    });
    expect(model.last("reference").params).toEqual({ eps: 0.1 });
    await act(() => model.set("revision", 1));
    expect(model.count("reference_pairs")).toBe(2);
  });

  it("is a bar beside the model's, a mark in the rail and a figure in the status line", async () => {
    open("quality");
    await match([pair("a"), pair("b", { how: "order", reference: "body.1" })], ["extra"]);
    const rows = [
      row("a", { sparsity: 0.5, variance_entropy: 0.8, variance_entropy_normalized: 0.8 }),
      row("b", { sparsity: 0.126 }),
    ];
    await act(async () => {
      model.reply(model.last("reference").id, { eps: 0.01, revision: 0, rows });
      await settle();
      render(<Rail store={store} open={signal(true)} />, el);
    });
    const { reference, sparsityLeast } = barsData(store, -1);
    expect(reference?.bars.map((bar) => bar && [bar.sparsity, bar.entropy])).toEqual([
      [0.5, 0.8],
      [0.126, 0.9],
      null,
    ]);
    expect(sparsityLeast).toBe(0.5);
    expect(reference?.titles).toEqual(["Net", "int8"]);
    const bars = (key: string) => [...el.querySelectorAll(`[data-key=${key}] .cl-bar`)];
    // less sparse than the reference, and more diverse; a change that cannot be seen is not marked
    expect(bars("a").map((bar) => bar.querySelector("s")?.className)).toEqual([
      "cl-less",
      "cl-more",
    ]);
    expect(bars("b").map((bar) => bar.querySelector("s"))).toEqual([null, null]);
    expect(bars("a").map((bar) => bar.getAttribute("title"))).toEqual([
      "sparsity 12.5 %, int8 50 %: 37.5 points less",
      "entropy 0.90 of random, int8 0.80: 0.10 more",
    ]);
    expect(bars("b")[1]?.getAttribute("title")).toBe("entropy 0.90 of random, int8 0.90: the same");
    expect(text("[data-key=c]")).toContain("alone");
    expect(text(".cl-elsewhere")).toBe("only in int8: extra");
    expect(statusFigures(store).join("; ")).toContain(
      "sparsity 0.125 (int8 0.500: 0.375 less); entropy 0.850 (int8 0.800: 0.050 more)",
    );
    await act(() => store.select("b"));
    expect(statusFigures(store)).toContain("int8: body.1");
    await act(() => store.select("c"));
    expect(statusFigures(store)).toContain("no counterpart in int8");
  });

  it("is drawn from what was saved, without a kernel", () => {
    open("quality", true, {
      _paired: { pairs: [pair("a")], alone: [], rows: [row("a", { sparsity: 0.4 })] },
      closed: true,
    });
    expect(store.pairing.bars.value.map((bar) => bar?.sparsity)).toEqual([
      0.4,
      undefined,
      undefined,
    ]);
    expect(model.sent).toEqual([]);
  });
});

describe("filters beside the reference's", () => {
  const mine = normal(2, 108);
  const theirs = mine.map((w, at) => (at === 40 ? w + 2 : at < 27 ? w : w + 0.25));

  it("come after the model's, side by side, with the values of both and what lies between", async () => {
    open();
    await act(() => render(<FiltersView store={store} />, el));
    await match();
    expect(model.count("reference_filters")).toBe(0);
    await filters("filters", mine);
    const galleries = () =>
      [...el.querySelectorAll("[role=application]")].map((each) => each.getAttribute("aria-label"));
    expect(galleries()[0]).toMatch(/^Gallery of 12 filters of a/);
    expect(galleries()[1]).toMatch(/^int8: /);
    await filters("reference_filters", theirs);
    expect(galleries()[1]).toMatch(/^int8: 12 filters of a/);
    const ranges = [...el.querySelectorAll(".cl-gallery canvas")].map((canvas) =>
      canvas.getAttribute("data-range"),
    );
    expect(ranges[0]).toBe(ranges[1]);
    expect([...el.querySelectorAll(".cl-side h5")].map((each) => each.textContent)).toEqual([
      "Net",
      "int8",
      expect.stringMatching(/^difference, [\d.]+ %$/),
    ]);
    // of the filter in the card: its values, those of the reference, the difference
    const [, out = "", inp = ""] = /out (\d+), in (\d+)/.exec(text(".cl-filter h4")) ?? [];
    const first = 9 * (3 * Number(out) + Number(inp));
    const told = [...el.querySelectorAll(".cl-side td")].map((cell) =>
      Number(cell.textContent?.replace("−", "-")),
    );
    expect(told).toHaveLength(27);
    expect(told[4]).toBeCloseTo(mine[first + 4] as number, 2);
    expect(told[13]).toBeCloseTo(theirs[first + 4] as number, 2);
    expect(told[22]).toBeCloseTo((mine[first + 4] as number) - (theirs[first + 4] as number), 2);
  });

  it("are shown as a difference, in colours of its own", async () => {
    open("filters", true, { paired: "difference" });
    await act(() => render(<FiltersView store={store} />, el));
    await match();
    await filters("filters", mine);
    await filters("reference_filters", theirs);
    expect(text("figcaption")).toBe("Net − int8");
    expect(text("[aria-label='Beside the reference']")).toContain("The largest change is 2.00");
    expect(text("[aria-label='Beside the reference']")).toContain(
      "3 of 12 filters are as in int8.",
    );
    await act(() => radio("model").click());
    expect(model.get("paired")).toBe("model");
    expect(text("figcaption")).toBe("Net");
    await act(() => store.set("paired", "reference"));
    expect(text("figcaption")).toBe("int8");
  });

  it("say what failed of the reference's, and ask for those again", async () => {
    open();
    await act(() => render(<FiltersView store={store} />, el));
    await match();
    await filters("filters", mine);
    await ends(model, "reference_filters", "error", { message: "It raised.", details: "" });
    expect(text("[role=alert]")).toContain("It raised.");
    await act(() => radio("model").click());
    expect(el.querySelector("[role=alert]")).toBeNull();
    await act(() => store.set("paired", "reference"));
    await act(() => (el.querySelector("[role=alert] .cl-link") as HTMLElement).click());
    expect([model.count("filters"), model.count("reference_filters")]).toEqual([1, 2]);
    await filters("reference_filters", theirs);
    expect(el.querySelector("[role=alert]")).toBeNull();
  });

  it.each([
    ["beside the model's, of another shape", "side by side", 3],
    ["alone, of another shape", "reference", 3],
    ["alone, of the same shape", "reference", 4],
  ] as const)("are read out with their own weights: %s", async (_, paired, out) => {
    open();
    await act(() => render(<FiltersView store={store} />, el));
    await match([pair("a", { shape: [out, 3, 3, 3] })]);
    // the one with the largest weights in both: of output 1 and input 2
    await filters("filters", new Float32Array(108).fill(1, 45, 54));
    await filters("reference_filters", new Float32Array(27 * out).fill(2, 45, 54), out);
    await act(() => store.set("paired", paired));
    store.colors.value = {} as never;
    vi.useFakeTimers();
    await act(() => {
      const event = new KeyboardEvent("keydown", { key: "ArrowDown", shiftKey: true });
      [...el.querySelectorAll(".cl-gallery")].at(-1)?.dispatchEvent(event);
    });
    await act(() => void vi.advanceTimersByTime(1000));
    vi.useRealTimers();
    const said = [...el.querySelectorAll("[aria-live=polite]")].map((each) => each.textContent);
    expect(said.filter(Boolean)).toEqual([expect.stringMatching(/^out 1, in 2: norm 6\.0/)]);
  });

  it("say it where there is no counterpart, and where it has another shape", async () => {
    open("filters", true, { paired: "difference" });
    await act(() => render(<FiltersView store={store} />, el));
    await match([pair("a", { shape: [3, 3, 3, 3] })]);
    await filters("filters", mine);
    expect(text(".cl-filters")).toContain(
      "No difference: 4 × 3 × 3 × 3 here, 3 × 3 × 3 × 3 in int8.",
    );
    expect(el.querySelectorAll(".cl-gallery")).toHaveLength(2);
    expect(model.count("reference_filters")).toBe(1);
    await act(() => store.select("b"));
    expect(text(".cl-filters")).toContain("No counterpart in int8.");
    expect(radio("difference").disabled).toBe(true);
    expect(el.querySelectorAll(".cl-gallery")).toHaveLength(1);
  });
});

describe("a difference of filters", () => {
  const set = (weights: number[], more: Partial<FilterSet> = {}): FilterSet => ({
    layer: "a",
    out: 2,
    outputs: 2,
    inputs: 1,
    kernel: [2],
    taps: 2,
    loaded: 2,
    weights: Float32Array.from(weights),
    maxAbs: 1,
    eigenimages: new Float32Array(0),
    explained: new Float32Array(0),
    mean: new Float32Array(0),
    ...more,
  });

  it("is the model's less the reference's, as far as both have come", () => {
    const found = differenceOf(set([1, 2, 3, 4]), set([1, 4, 9, 9], { loaded: 1 }));
    expect([...(found?.weights ?? [])]).toEqual([0, -2, 0, 0]);
    expect([found?.maxAbs, found?.loaded]).toEqual([2, 1]);
  });

  it("leaves NaN where it is, and there is none of another shape", () => {
    const found = differenceOf(set([1, Number.NaN, 3, 4]), set([0, 0, 0, 0]));
    expect(found?.weights[1]).toBeNaN();
    expect(found?.maxAbs).toBe(4);
    expect(differenceOf(set([1, 2, 3, 4]), set([1, 2, 3, 4], { kernel: [1, 2] }))).toBeNull();
  });
});

describe("a change in words", () => {
  it("says which way it went, or that it is the same", () => {
    const three = (value: number) => value.toFixed(3);
    expect(changeInWords(-0.0384, three)).toBe("0.038 less");
    expect(changeInWords(0.2, three)).toBe("0.200 more");
    expect(changeInWords(0.0004, three)).toBe("the same");
    expect(changeInWords(0.01, points)).toBe("1 point more");
    expect(changeInWords(0, points)).toBe("the same");
  });
});
