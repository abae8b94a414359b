import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { layoutRidges, ridgeAt } from "../src/draw/ridges";
import { layoutTracks } from "../src/draw/tracks";
import { driftInPython } from "../src/drifting";
import type { Store } from "../src/state";
import { answer, LAYERS } from "./drifts";
import { FakeModel, openStore, settle, structure } from "./fake";

let model: FakeModel;
let store: Store;

function open(more: Record<string, unknown> = {}, drift: object[] = []) {
  const known = structure(LAYERS);
  known.drift.push(...(drift as typeof known.drift));
  model = new FakeModel(LAYERS, { view: "drift", _structure: known, ...more });
  store = openStore(model);
}
const asked = () => model.count("drift");

afterEach(() => store.dispose());

describe("drift", () => {
  beforeEach(() => open());

  it("is measured when its view opens, and not before", async () => {
    expect(model.last("drift").params).toEqual({ against: "shipped", group: "all" });
    store.dispose();
    open({ view: "quality" });
    expect(asked()).toBe(0);
    store.set("view", "drift");
    expect(asked()).toBe(1);
    answer(model);
    await settle();
    store.set("view", "quality");
    store.set("view", "drift");
    expect(asked()).toBe(1);
  });

  it("shows progress as none yet, then layers and the whole", async () => {
    const { id } = model.last("drift");
    model.reply(id, { done: 0, total: 0, label: "" }, [], "progress");
    expect(store.drifting.asking.value.value).toBeNull();
    answer(model);
    await settle();
    const found = store.drifting.asking.value.value;
    expect(found?.layers.map(({ key }) => key)).toEqual(["conv1", "layer1.conv1", "layer1.conv2"]);
    expect(found?.whole.key).toBe("all layers");
    expect(store.drifting.current.value).toBe(true);
  });

  it("is asked for again for another group, and for other weights", async () => {
    answer(model);
    await settle();
    store.set("drift_group", "depth");
    expect(model.last("drift").params).toEqual({ against: "shipped", group: "depth" });
    expect(store.drifting.current.value).toBe(false);
    answer(model);
    await settle();
    expect(store.drifting.current.value).toBe(true);
    model.set("revision", 1);
    expect(asked()).toBe(3);
    expect(store.drifting.current.value).toBe(false);
  });

  it("has no layers where none can be compared", async () => {
    const { id, params } = model.last("drift");
    model.reply(id, { ...params, revision: 0, rows: [], groups: [], about: "No.", missing: [] });
    await settle();
    expect(store.drifting.asking.value.value?.layers).toEqual([]);
    expect(store.drifting.place.value).toBe(-1);
    expect(store.drifting.current.value).toBe(true);
  });

  it("stops, and is not asked for again by itself", async () => {
    store.drifting.asking.stop();
    const { id } = model.last("drift");
    expect(model.last("cancel").id).toBe(id);
    model.reply(id, {}, [], "cancelled");
    await settle();
    expect(store.drifting.asking.stopped.value).toBe(true);
    expect(asked()).toBe(1);
    store.drifting.run();
    expect(asked()).toBe(2);
  });

  it("of a large database waits for a person", async () => {
    store.dispose();
    open({ drift_against: "database" }, [{ name: "database", title: "all.h5", asks: true }]);
    expect(asked()).toBe(0);
    store.drifting.run();
    expect(asked()).toBe(1);
    answer(model);
    await settle();
    store.set("drift_group", "depth");
    expect(asked()).toBe(2);
  });

  it("finds the chosen layer, also where a module is called twice", async () => {
    answer(model);
    await settle();
    expect(store.drifting.place.value).toBe(0);
    store.set("layer", "fc");
    expect(store.drifting.place.value).toBe(-1);
    const twice = [...LAYERS, { ...LAYERS[1], key: "layer1.conv1:1" }];
    model.set("_structure", { ...structure(LAYERS), layers: twice });
    store.set("layer", "layer1.conv1:1");
    expect(store.drifting.place.value).toBe(1);
  });

  it("gives the lines that reproduce it", async () => {
    expect(driftInPython(store)).toBe('d("all")');
    answer(model);
    await settle();
    expect(driftInPython(store)).toBe('d("all")\ndrift["conv1"]');
    store.set("layer", "fc");
    expect(driftInPython(store)).toBe('d("all")');
  });
});

describe("places", () => {
  beforeEach(() => open());

  it("of ridges are those drawn", () => {
    const layout = layoutRidges({ width: 300, height: 242 }, 9, 2);
    expect(ridgeAt(layout, layout.left, layout.top + 1)).toEqual({ component: 0, at: 0 });
    const last = ridgeAt(layout, layout.right + 9, layout.top + 9 * layout.row - 1);
    expect(last).toEqual({ component: 8, at: 1 });
    expect(ridgeAt(layout, layout.left, 3)).toBeNull();
    expect(ridgeAt(layout, layout.left, 241)).toBeNull();
  });

  it("of tracks lie one below the other, above the axis", () => {
    for (const [width, height] of [
      [420, 380],
      [200, 100],
    ] as const) {
      const { tracks, axisY, left, right } = layoutTracks(width, height, 5);
      expect(tracks.every(({ top, bottom }) => bottom > top)).toBe(true);
      expect(tracks[0].bottom).toBeLessThan(tracks[1].top);
      expect(tracks[2].bottom).toBeLessThan(axisY);
      expect(right).toBeGreaterThan(left);
    }
  });
});
