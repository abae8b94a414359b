import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Store } from "../src/state";
import { answer, FLIPS, LAYERS, OFFERED, picture } from "./compression";
import { FakeModel, openStore, settle, structure } from "./fake";

let model: FakeModel;
let store: Store;

function open(more: Record<string, unknown> = {}) {
  model = new FakeModel(LAYERS, { view: "compression", _structure: OFFERED, ...more });
  store = openStore(model);
}
const asked = (kind = "compression") => model.count(kind);

beforeEach(() => open());
afterEach(() => store.dispose());

describe("a report on compression", () => {
  it("is measured when it is asked for, not when the view opens", () => {
    expect(asked()).toBe(0);
    expect(asked("compression_known")).toBe(1);
    store.compressing.run();
    expect(model.last("compression").params).toEqual({ after: "auto" });
  });

  it("fills in, and what only says how far it is changes nothing", async () => {
    store.compressing.run();
    await answer(model, { header: { finished: false, done: 2 }, status: "progress" });
    const { id } = model.last("compression");
    model.reply(id, { done: 3, total: 9, label: "batch 3" }, [], "progress");
    expect(store.compressing.report.value.value?.done).toBe(2);
    expect(store.compressing.report.running.value).toBe(true);
    await answer(model);
    expect(store.compressing.report.value.value?.finished).toBe(true);
    expect(store.compressing.report.running.value).toBe(false);
  });

  it("tells flips that were lost from those that were won", async () => {
    store.compressing.run();
    await answer(model);
    const kinds = () => store.compressing.flips.value.map(({ index, kind }) => `${index} ${kind}`);
    expect(kinds()).toEqual(["4 lost", "7 won", "9 other"]);
    store.compressing.from.value = 0;
    expect(kinds()).toEqual(["4 lost", "9 other"]);
    store.compressing.kind.value = "lost";
    expect(kinds()).toEqual(["4 lost"]);
  });

  it("fetches pictures of what flipped once, and knows which the strip holds", async () => {
    store.compressing.run();
    await answer(model, { status: "progress" });
    expect(model.last("compression_flips").params).toEqual({ after: "auto", start: 0 });
    await picture(model, [4, 9]);
    await answer(model);
    expect(asked("compression_flips")).toBe(1);
    const seen = store.compressing.seen.value;
    expect([4, 7, 9].map((index) => seen.get(index)?.held)).toEqual([true, false, true]);
    expect(seen.get(4)?.picture.bytes).toEqual(new Uint8Array([128, 128, 128]));
  });

  it("fetches pictures of what flipped while a page of them was on its way", async () => {
    store.compressing.run();
    await answer(model, { status: "progress", flips: FLIPS.slice(0, 4) });
    await answer(model);
    expect(asked("compression_flips")).toBe(1);
    await picture(model, [4], 1);
    expect([...store.compressing.seen.value.keys()]).toEqual([4]);
    expect(asked("compression_flips")).toBe(2);
    await picture(model, [4, 9]);
    expect([...store.compressing.seen.value.keys()]).toEqual([4, 7, 9]);
    expect(asked("compression_flips")).toBe(2);
  });

  it("has pictures of its own the other way round, though a page of the first comes late", async () => {
    store.compressing.run();
    await answer(model);
    store.set("compression_after", "reference");
    await answer(model, { header: { side: "reference" } });
    expect(asked("compression_flips")).toBe(1);
    await picture(model, [4, 9]);
    expect(store.compressing.seen.value.size).toBe(0);
    expect(model.last("compression_flips").params).toEqual({ after: "reference", start: 0 });
    await picture(model, [7]);
    const seen = store.compressing.seen.value;
    expect([4, 7, 9].map((index) => seen.get(index)?.held)).toEqual([false, true, false]);
  });

  it("shows all flips again with another one, though that has none", async () => {
    store.compressing.run();
    await answer(model);
    store.compressing.kind.value = "lost";
    store.compressing.from.value = 0;
    store.set("compression_after", "reference");
    await answer(model, { header: { side: "reference" }, flips: [] });
    expect([store.compressing.kind.value, store.compressing.from.value]).toEqual(["all", null]);
    expect(asked("compression_flips")).toBe(1);
  });

  it("asks for the scales of the chosen layer, while the view is open", async () => {
    store.compressing.run();
    await answer(model);
    expect(model.last("compression_scales").params).toEqual({
      model: "conv1",
      reference: "conv1",
    });
    store.select("conv2");
    expect(model.last("compression_scales").params).toMatchObject({ model: "conv2" });
    store.set("view", "quality");
    store.select("fc");
    expect(model.last("compression_scales").params).toMatchObject({ model: "conv2" });
  });

  it("is another one the other way round, and is measured at once", async () => {
    store.compressing.run();
    await answer(model);
    store.set("compression_after", "reference");
    expect(model.last("compression").params).toEqual({ after: "reference" });
    expect(store.compressing.current.value).toBe(false);
    await answer(model, { header: { side: "reference" } });
    expect(store.compressing.current.value).toBe(true);
  });

  it("is not measured by itself when weights have changed", async () => {
    store.compressing.run();
    await answer(model);
    model.set("revision", 1);
    expect(asked()).toBe(1);
    expect(store.compressing.current.value).toBe(false);
  });

  it("that was measured before the page was loaded is shown, and not measured again", async () => {
    await answer(model, { kind: "compression_known", header: { found: true, finished: false } });
    expect(store.compressing.report.value.value?.layers.length).toBe(3);
    expect(store.compressing.report.stopped.value).toBe(true);
    expect(asked()).toBe(0);
    expect(asked("compression_known")).toBe(1);
  });

  it("stops, and goes on by the same request", async () => {
    store.compressing.run();
    await answer(model, { header: { finished: false }, status: "progress" });
    const { id } = model.last("compression");
    store.compressing.report.stop();
    expect(model.last("cancel").id).toBe(id);
    model.reply(id, {}, [], "cancelled");
    await settle();
    expect(store.compressing.report.stopped.value).toBe(true);
    store.compressing.run();
    expect(asked()).toBe(2);
  });

  it("is asked for by itself in a saved page", async () => {
    store.dispose();
    open({ _structure: { ...OFFERED, offline: true } });
    expect(asked()).toBe(1);
    await answer(model, { header: { revision: 5 } });
    expect(store.compressing.current.value).toBe(true);
  });

  it("is not asked for where there is no reference", () => {
    store.dispose();
    open({ _structure: structure(LAYERS) });
    expect(asked("compression_known")).toBe(0);
  });
});
