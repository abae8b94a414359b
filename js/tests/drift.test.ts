import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { layoutRidges, ridgeAt } from "../src/draw/ridges";
import { layoutTracks } from "../src/draw/tracks";
import { smoothed } from "../src/drift/density";
import { driftInPython, driftInWords, groupInWords, layerInWords } from "../src/drift/words";
import type { Store } from "../src/state";
import type { Drifted } from "../src/wire/drift";
import { answer, drifted, LAYERS } from "./drifts";
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
    const quoted = (text: string) => `'${text}'`;
    expect(driftInPython(store, quoted)).toBe("d('all')");
    answer(model);
    await settle();
    expect(driftInPython(store, quoted)).toBe("d('all')\ndrift['conv1']");
    store.set("layer", "fc");
    expect(driftInPython(store, quoted)).toBe("d('all')");
  });
});

describe("words", () => {
  beforeEach(() => open());
  const row = (more: object) => drifted("conv1", more) as unknown as Drifted;

  it.each([
    [{ drift: 0.4, floor_high: 0.2 }, "2.0 times what noise makes"],
    [{ drift: 42, floor_high: 0.02 }, "2,100 times what noise makes"],
    [{ noise: true, p: 0.3 }, "no more than noise, p = 0.30"],
    [{ drift: null }, "no value: nothing there to compare with"],
    [{ drift: 1, floor_high: 0 }, "more than noise"],
  ])("of %o", (more, words) => {
    expect(driftInWords(row(more))).toBe(words);
  });

  it("leave out what is not known", () => {
    expect(layerInWords(undefined)).toEqual([]);
    const lines = layerInWords(row({ sparsity_rank: null, left_out: 1200 }));
    expect(lines).toContain("sparsity 10 %");
    expect(lines).toContain("entropy 0.900, above 7 % of layers");
    expect(lines).toContain("256 filters, 1,200 not finite");
  });

  it("name groups", () => {
    expect(["all", "depth", "depth 0.3", "memorising"].map(groupInWords)).toEqual([
      "all layers",
      "layers at the same depth",
      "layers about depth 0.3",
      "memorising",
    ]);
  });
});

describe("a smoothed histogram", () => {
  beforeEach(() => open());
  const bell = Uint32Array.from({ length: BINS }, (_, bin) =>
    Math.round(1000 * Math.exp(-0.5 * ((bin - 34.5) / 6) ** 2)),
  );

  it("has an integral of 1, and the maximum of the bell", () => {
    const values = smoothed(bell, [-1, 1], 201) as Float64Array;
    const sum = values.reduce((total, value) => total + value, 0);
    expect(sum * (2 / 200)).toBeCloseTo(1, 3);
    expect(values.indexOf(Math.max(...values))).toBe(100);
  });

  it("is what Python's plot_ridges draws", () => {
    const counts = Uint32Array.of(0, 2, 9, 30, 41, 22, 8, 3, 1, 0, 0, 4, 6, 2);
    // convlens.filterdb.plots.smoothed over [-1.5, 2]
    const python = [0.000555, 0.473034, 0.668228, 0.039389, 0.088401, 0.031909];
    const values = smoothed(counts, [-1.5, 2], 6);
    python.forEach((value, index) => {
      expect(values?.[index]).toBeCloseTo(value, 6);
    });
  });

  it("of a single bin is a bell of that width, of no filters nothing", () => {
    const values = smoothed(Uint32Array.of(0, 9, 0, 0), [0, 4], 5) as Float64Array;
    expect(Number.isFinite(values[1])).toBe(true);
    expect(smoothed(new Uint32Array(4), [0, 4])).toBeNull();
    expect(smoothed(Uint32Array.of(3), [0, 0])).toBeNull();
  });
});

const BINS = 70;

describe("places", () => {
  beforeEach(() => open());

  it("of ridges are those drawn", () => {
    const data = { bases: [{}, {}], curves: Array(9).fill([]) } as never;
    const layout = layoutRidges({ width: 300, height: 242 }, data);
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
