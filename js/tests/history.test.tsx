import { signal } from "@preact/signals";
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { drawn } from "../src/history/spark";
import { Rail } from "../src/rail";
import type { Store } from "../src/state";
import { Status, statusFigures } from "../src/status";
import { QualityView } from "../src/views/quality";
import type { Moment } from "../src/wire/history";
import { FakeModel, layer, openStore, row, settle, structure } from "./fake";
import { closePage, openPage } from "./page";

const LAYERS = [layer("a"), layer("b")];
const FIGURES = ["sparsity", "variance_entropy", "variance_entropy_normalized", "cka_first"];
const SUMMARY = { eps: 0.01, revision: 0, rows: [row("a"), row("b")] };

/** Layer a of moment 3 has sparsity 0.3, entropy 0.03 or 0.13 of random, CKA 0.7; b half of it. */
const figures = (number: number): number[] => {
  const one = [number / 10, number / 100, number / 100 + 0.1, 1 - number / 10];
  return [...one, ...one.map((value) => value / 2)];
};

function moments(...numbers: number[]): Moment[] {
  return numbers.map((number) => [number, 10 * number, number === 2 ? "epoch 1" : ""]);
}

let el: HTMLElement;
let model: FakeModel;
let store: Store;

async function open(more: Record<string, unknown> = {}) {
  model = new FakeModel(LAYERS, { _summary: SUMMARY, ...more });
  store = openStore(model);
  const open = signal(false);
  const views = (
    <>
      <Rail store={store} open={open} />
      <QualityView store={store} />
      <Status store={store} />
    </>
  );
  await act(() => render(views, el));
}

/** The kernel's answer to the newest request: all, or what is new. */
async function answer(kept: Moment[], more: object = {}) {
  const { id, params } = model.last("history");
  const { since } = params as { since: number };
  const fresh = kept.filter(([number]) => number > since);
  const values = new Float32Array(fresh.flatMap(([number]) => figures(number)));
  const header = {
    moments: kept,
    figures: FIGURES,
    layers: since < 0 ? ["a", "b"] : [],
    eps: 0.02,
    since,
    arrays: [{ name: "values", dtype: "float32", shape: [fresh.length, 2, 4] }],
    ...more,
  };
  await act(async () => {
    model.reply(id, header, [values.buffer]);
    await settle();
  });
}

/** The kernel says how many were taken, as after the weights were read. */
async function tell(taken: number) {
  await act(async () => {
    model.set("_taken", taken);
    await settle();
  });
}

const slider = () => el.querySelector<HTMLInputElement>(".cl-history input") as HTMLInputElement;
const said = () => el.querySelector(".cl-history output")?.textContent;
const move = (place: number, event = "change") =>
  act(() => {
    slider().value = String(place);
    slider().dispatchEvent(new Event("input", { bubbles: true }));
    if (event === "change") slider().dispatchEvent(new Event("change", { bubbles: true }));
  });

beforeEach(() => {
  el = openPage();
});
afterEach(async () => {
  await closePage(el, store);
  vi.useRealTimers();
});

describe("the history slider", () => {
  it("is there with the first snapshot, and stands at now", async () => {
    await open();
    expect(slider()).toBeNull();
    expect(model.count("history")).toBe(0);
    await closePage(el, store);
    el = openPage();
    await open({ _taken: 3 });
    await answer(moments(0, 1, 2));
    expect([slider().max, slider().value, said()]).toEqual(["3", "3", "now"]);
    expect(statusFigures(store).join()).not.toContain("at step");
  });

  it("shows the figures of the step that is chosen, says so everywhere, and tells Python", async () => {
    await open({ _taken: 3 });
    await answer(moments(0, 1, 2));
    const before = store.measuring.bars.value[0]?.sparsity;
    await move(2, "input");
    expect(said()).toBe("at step 20 · epoch 1");
    expect(slider().getAttribute("aria-valuetext")).toBe("at step 20 · epoch 1");
    expect(model.get("step")).toBeNull();
    await move(2);
    expect(model.get("step")).toBe(20);
    const [a, b] = store.measuring.bars.value;
    expect(before).toBe(0.125);
    expect(a?.sparsity).toBeCloseTo(0.2);
    expect([a?.entropy, b?.entropy]).toEqual([expect.closeTo(0.12), expect.closeTo(0.06)]);
    expect(statusFigures(store).slice(0, 3).join()).toContain("at step 20 · epoch 1");
    expect(statusFigures(store).join()).toContain("sparsity 0.200");
    expect(el.querySelector(".cl-rail-head")?.textContent).toContain("step 20");
    expect(el.querySelector<HTMLInputElement>(".cl-eps input")?.disabled).toBe(true);
    expect(el.querySelector(".cl-eps output")?.textContent).toBe("2 %");
    expect(el.querySelector("[aria-label=Verdict]")).toBeNull();
    expect(el.querySelector(".cl-moment")?.textContent).toContain("20 %");
    await act(() => (el.querySelector(".cl-history .cl-link") as HTMLElement).click());
    expect(model.get("step")).toBeNull();
    expect(said()).toBe("now");
    expect(store.measuring.bars.value[0]?.sparsity).toBe(0.125);
  });

  it("leaves other views to the weights of now", async () => {
    await open({ _taken: 2, step: 10 });
    await answer(moments(0, 1));
    expect(store.measuring.rows.value.get("a")?.sparsity).toBeCloseTo(0.1);
    await act(() => store.set("view", "filters"));
    expect(store.measuring.rows.value.get("a")?.sparsity).toBe(0.125);
    expect(store.measuring.modelMax.value).toBe(0.86);
  });

  it("asks only for what is new, one request at a time, and for all where some is missing", async () => {
    await open({ _taken: 2 });
    await answer(moments(0, 1));
    await tell(3);
    await tell(4);
    expect(model.count("history")).toBe(2);
    expect(model.last("history").params).toEqual({ since: 1 });
    await answer(moments(0, 1, 2));
    expect(model.count("history")).toBe(3);
    expect(model.last("history").params).toEqual({ since: 2 });
    // the kernel has thinned, and keeps one that was never sent
    await answer([
      [1, 10, ""],
      [1.5, 15, ""],
      [3, 30, ""],
    ] as Moment[]);
    expect(model.last("history").params).toEqual({ since: -1 });
    await answer(moments(1, 3));
    expect(model.count("history")).toBe(4);
    expect(store.history.figure("a", "sparsity", 1)).toBeCloseTo(0.3);
  });

  it("follows a loop at now, until the weights are read again", async () => {
    await open({ _taken: 0 });
    await tell(2);
    await answer(moments(0, 1));
    expect(said()).toBe("latest: step 10");
    expect(slider().value).toBe("2");
    expect(store.measuring.bars.value[0]?.sparsity).toBeCloseTo(0.1);
    await tell(3);
    await answer(moments(0, 1, 2));
    expect(said()).toBe("latest: step 20 · epoch 1");
    await act(() => model.set("revision", 1));
    expect(said()).toBe("now");
    expect(store.measuring.bars.value[0]?.sparsity).toBe(0.125);
  });

  it("is set from Python, by step or label", async () => {
    await open({ _taken: 3 });
    await answer(moments(0, 1, 2));
    await act(() => model.set("step", "epoch 1"));
    expect(slider().value).toBe("2");
    await act(() => model.set("step", 0));
    expect([slider().value, said()]).toEqual(["0", "at step 0"]);
  });

  it("names a moment by its label where a later one has the same step", async () => {
    await open({ _taken: 3 });
    await answer([
      [0, 5, "before"],
      [1, 5, "after"],
      [2, 5, ""],
    ]);
    expect([0, 1, 2, 3].map((place) => store.history.stepOf(place))).toEqual([
      "before",
      "after",
      5,
      null,
    ]);
  });

  it("plays from the beginning to now, and stops where it is told to", async () => {
    await open({ _taken: 3 });
    await answer(moments(0, 1, 2));
    vi.useFakeTimers();
    const button = () => el.querySelector(".cl-history button") as HTMLButtonElement;
    await act(() => button().click());
    expect([said(), button().getAttribute("aria-label")]).toEqual(["at step 0", "Pause"]);
    await act(() => void vi.advanceTimersByTime(400));
    expect(said()).toBe("at step 10");
    await act(() => button().click());
    expect(model.get("step")).toBe(10);
    await act(() => button().click());
    await act(() => void vi.advanceTimersByTime(1200));
    expect([said(), button().getAttribute("aria-label")]).toEqual(["now", "Play"]);
    expect(model.get("step")).toBeNull();
  });

  it("tells Python where it stood when its view is left while it plays", async () => {
    await open({ _taken: 3 });
    await answer(moments(0, 1, 2));
    vi.useFakeTimers();
    await act(() => (el.querySelector(".cl-history button") as HTMLElement).click());
    await act(() => void vi.advanceTimersByTime(400));
    expect([said(), model.get("step")]).toEqual(["at step 10", null]);
    await act(() => store.set("view", "filters"));
    await act(() => render(null, el));
    expect([store.traits.step.value, model.get("step")]).toEqual([10, 10]);
  });

  it("has the reference beside it at the eps of the snapshots", async () => {
    await open({
      _taken: 3,
      step: 10,
      _structure: { ...structure(LAYERS), reference: { title: "int8", parameters: 1 } },
      _paired: { pairs: [], alone: [], rows: [row("a", { curve: [0, 32, 64, 128] })] },
    });
    const [before] = store.pairing.bars.value;
    expect(before?.sparsity).toBe(0.125);
    await answer(moments(0, 1, 2), { eps: 0.1 });
    expect(store.pairing.bars.value[0]?.sparsity).toBe(0.25);
    expect(statusFigures(store).join()).toContain("sparsity 0.100 (int8 0.250: 0.150 less)");
    const words = "sparsity 10 %, int8 25 %: 15 points less";
    expect(el.querySelector("[data-key=a] .cl-bar")?.getAttribute("title")).toBe(words);
    expect(el.querySelector(".cl-chart")?.getAttribute("aria-valuetext")).toContain("int8 25 %");
  });

  it("shows what a notebook keeps where there is no kernel", async () => {
    const values = btoa(
      String.fromCharCode(...new Uint8Array(new Float32Array([0, 4].flatMap(figures)).buffer)),
    );
    const past = { moments: moments(0, 4), figures: FIGURES, layers: ["a", "b"], eps: 0.02 };
    await open({ _taken: 5, _past: { ...past, since: -1, values }, closed: true });
    expect(model.count("history")).toBe(0);
    await move(1);
    expect(said()).toBe("at step 40");
    expect(store.measuring.bars.value[0]?.sparsity).toBeCloseTo(0.4);
  });

  it("asks for CKA to the last snapshot where a step is looked at", async () => {
    await open({ _taken: 3 });
    await answer(moments(0, 1, 2));
    expect(model.count("history_last")).toBe(0);
    expect(el.querySelector(".cl-verdict")?.textContent).toContain(
      "CKA of step 20 · epoch 1 to step 0: 0.800",
    );
    await move(1);
    await act(async () => {
      const header = {
        numbers: [0, 1, 2],
        arrays: [{ name: "values", dtype: "float32", shape: [3, 2] }],
      };
      const values = new Float32Array([0.5, 0.4, 0.75, 0.6, 1, 1]);
      model.reply(model.last("history_last").id, header, [values.buffer]);
      await settle();
    });
    const table = el.querySelector(".cl-moment")?.textContent;
    expect(table).toContain("CKA to first1.0000.9000.800");
    expect(table).toContain("CKA to last0.5000.7501.000");
  });
});

describe("the sparklines", () => {
  it("are there for every layer, say where they lead, and follow the figure", async () => {
    await open({ _taken: 3 });
    await answer(moments(0, 1, 2));
    const titles = () => [...el.querySelectorAll(".cl-rail title")].map((one) => one.textContent);
    expect(titles()[0]).toBe("entropy over training, from 0.100 to 0.120");
    const select = el.querySelector(".cl-history select") as HTMLSelectElement;
    expect([...select.options].map(({ value }) => value)).toEqual([
      "variance_entropy",
      "sparsity",
      "cka_first",
    ]);
    await act(() => {
      select.value = "sparsity";
      select.dispatchEvent(new Event("change", { bubbles: true }));
    });
    expect(titles()).toEqual([
      "sparsity over training, from 0 % to 20 %",
      "sparsity over training, from 0 % to 10 %",
    ]);
    expect(el.querySelector(".cl-rail .cl-here")).toBeNull();
    await move(1);
    expect(el.querySelector(".cl-rail .cl-here")?.getAttribute("d")).toBe("M50 0V20");
  });

  it("are worked out once, and only their marks move with the step", async () => {
    await open({ _taken: 3 });
    await answer(moments(0, 1, 2));
    await move(0, "input");
    const series = vi.spyOn(store.history, "series");
    const here = () => el.querySelector(".cl-rail .cl-here")?.getAttribute("d");
    const marks = [];
    for (const place of [0, 1, 2]) {
      await move(place, "input");
      marks.push(here());
    }
    expect(marks).toEqual(["M0 0V20", "M50 0V20", "M100 0V20"]);
    // the card of the chosen layer, a, draws its own
    const calls = () => series.mock.calls.filter(([layer]) => layer === "b").length;
    expect(calls()).toBe(0);
    await act(() => {
      store.history.trend.value = "sparsity";
    });
    expect(calls()).toBe(1);
  });

  it("leave gaps where there is no figure, and stand by their steps", () => {
    const { path, x, low, high } = drawn([1, Number.NaN, 3, 2], [0, 10, 20, 100]);
    expect(path).toBe("M0.0 18.0M20.0 2.0L100.0 10.0");
    expect([low, high, x(1)]).toEqual([1, 3, 10]);
    expect(drawn([5, 5], [0, 0]).path).toBe("M0.0 10.0L100.0 10.0");
    expect(drawn([Number.NaN], [0]).path).toBe("");
  });
});
