import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Store } from "../src/state";
import { FakeModel, openStore, settle } from "./fake";
import { answer, LAYERS, OFFERED, VALUES } from "./matrix";

let model: FakeModel;
let store: Store;

function open(more: Record<string, unknown> = {}) {
  model = new FakeModel(LAYERS, { view: "similarity", _structure: OFFERED, ...more });
  store = openStore(model);
}
const asked = () => model.count("similarity");

beforeEach(() => open());
afterEach(() => store.dispose());

describe("a comparison", () => {
  it("runs when it is asked for, not when the view opens", () => {
    expect(asked()).toBe(0);
    store.set("measure", "procrustes");
    expect(asked()).toBe(0);
    store.comparing.run();
    expect(model.last("similarity").params).toEqual({
      measure: "procrustes",
      comparison: "self",
      layer_set: "convs",
      settings: "{}",
    });
  });

  it("fills in batch by batch", async () => {
    store.comparing.run();
    const { id } = model.last("similarity");
    model.reply(id, { done: 0, total: 0, label: "" }, [], "progress");
    expect(store.comparing.value.value).toBeNull();
    answer(model, { values: VALUES.map((value) => value / 2), status: "progress" });
    expect(store.comparing.value.value?.matrix[0]).toBe(0.5);
    expect(store.comparing.running.value).toBe(true);
    answer(model);
    await settle();
    expect(store.comparing.value.value?.matrix).toEqual(VALUES);
    expect(store.comparing.value.value?.reverse).toBeNull();
    expect(store.comparing.running.value).toBe(false);
    expect(store.comparing.current.value).toBe(true);
  });

  it("stops with its last picture, and goes on by the same request", async () => {
    store.comparing.run();
    answer(model, { status: "progress" });
    store.comparing.stop();
    const { id, params } = model.last("similarity");
    expect(model.last("cancel").id).toBe(id);
    model.reply(id, {}, [], "cancelled");
    await settle();
    expect(store.comparing.stopped.value).toBe(true);
    expect(store.comparing.problem.value).toBeNull();
    expect(store.comparing.value.value?.done).toBe(2);
    store.comparing.run();
    expect(model.last("similarity").params).toEqual(params);
    expect(store.comparing.stopped.value).toBe(false);
  });

  it("is asked for again when something else is chosen, while the view is open", async () => {
    store.comparing.run();
    answer(model);
    await settle();
    store.set("measure", "pwcca");
    expect(asked()).toBe(2);
    expect(store.comparing.current.value).toBe(false);
    answer(model, { reverse: VALUES });
    await settle();
    expect(store.comparing.current.value).toBe(true);
    expect(store.comparing.value.value?.reverse).toEqual(VALUES);
    store.set("view", "quality");
    store.set("layer_set", "all");
    expect(asked()).toBe(2);
    store.set("view", "similarity");
    expect(asked()).toBe(3);
  });

  it("never runs the model by itself when weights have changed", async () => {
    store.comparing.run();
    answer(model);
    await settle();
    model.set("revision", 1);
    expect(asked()).toBe(1);
    expect(store.comparing.current.value).toBe(false);
  });

  it("keeps its picture when the next one fails, and says why", async () => {
    store.comparing.run();
    answer(model);
    await settle();
    store.set("measure", "pwcca");
    const header = { message: "64 samples, 256 features.", details: "" };
    model.reply(model.last("similarity").id, header, [], "error");
    await settle();
    expect(store.comparing.problem.value?.message).toBe("64 samples, 256 features.");
    expect(store.comparing.value.value?.measure).toBe("cka");
    store.set("measure", "cka");
    expect(asked()).toBe(3);
    expect(store.comparing.problem.value).toBeNull();
  });

  it("sends the settings that differ, sorted by name", () => {
    store.set("measure", "cka_rbf");
    store.comparing.set("debiased", true);
    store.comparing.set("t", 0.5);
    expect(store.comparing.params.value.settings).toBe('{"debiased":true,"t":0.5}');
    store.comparing.set("t", 1);
    expect(store.comparing.params.value.settings).toBe('{"debiased":true}');
    expect(model.get("measure_settings")).toEqual({ debiased: true });
    store.comparing.use("cka");
    expect(model.get("measure_settings")).toEqual({});
    store.comparing.use("cka_rbf");
    expect(store.comparing.params.value.settings).toBe('{"debiased":true}');
  });

  it("takes the settings that a cell gives", () => {
    model.set("measure", "cka_rbf");
    model.set("measure_settings", { t: 0.25 });
    expect(store.comparing.params.value).toMatchObject({
      measure: "cka_rbf",
      settings: '{"t":0.25}',
    });
  });

  it("that was made before the page was loaded is shown, and not run again", async () => {
    expect(model.count("compared")).toBe(1);
    answer(model, { kind: "compared", header: { found: true, finished: false } });
    await settle();
    expect(store.comparing.value.value?.matrix).toEqual(VALUES);
    expect(store.comparing.stopped.value).toBe(true);
    expect(asked()).toBe(0);
    store.set("layer_set", "all");
    expect(asked()).toBe(1);
    expect(model.count("compared")).toBe(1);
  });

  it("gives way to one that was asked for before the old one came", async () => {
    store.comparing.run();
    answer(model, { kind: "compared", header: { found: true } });
    await settle();
    expect(store.comparing.value.value).toBeNull();
    store.dispose();
    open({ view: "quality" });
    expect(model.count("compared")).toBe(0);
  });

  it("is read at once in a saved page", () => {
    store.dispose();
    open({ _structure: { ...OFFERED, offline: true } });
    expect(asked()).toBe(1);
  });
});
