import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Store } from "../src/state";
import { FakeModel, layer, openStore, row, settle } from "./fake";

const LAYERS = [
  layer("conv1"),
  layer("layer1.conv1"),
  layer("lazy", { shape: [], reason: "lazy" }),
];
let model: FakeModel;
let store: Store;

beforeEach(() => {
  model = new FakeModel(LAYERS);
  store = openStore(model);
});
afterEach(() => store.dispose());

const histogram = (key: string) => ({
  header: {
    ...{ layer: key, low: -1, high: 1, peak_low: -4, peak_high: 0, n: 4 },
    arrays: [
      { name: "weights", dtype: "uint32", shape: [2] },
      { name: "peaks", dtype: "uint32", shape: [2] },
    ],
  },
  buffers: [new Uint32Array([1, 3]), new Uint32Array([2, 2])],
});

describe("on opening", () => {
  it("says hello first, then asks for the figures and what the view shows", () => {
    expect(model.sent.map(({ kind }) => kind)).toEqual(["hello", "quality", "distribution"]);
    expect(model.last("quality").params).toEqual({ eps: 0.01 });
    expect(model.last("distribution").params).toEqual({ layer: "conv1" });
  });

  it("draws a saved summary at once", () => {
    const summary = { eps: 0.01, revision: 0, rows: [row("conv1", { sparsity: 0.5 })] };
    const again = openStore(new FakeModel(LAYERS, { _summary: summary }));
    expect(again.measuring.row.value?.sparsity).toBe(0.5);
    again.dispose();
  });

  it("asks nothing of a kernel in a saved page, but loads from the page", () => {
    const page = new FakeModel(LAYERS);
    page.traits.set("_structure", { ...store.kernel._structure.value, offline: true });
    const saved = openStore(page);
    expect(page.sent.map(({ kind }) => kind)).toEqual(["distribution"]);
    expect(saved.live.value).toBe(false);
    saved.dispose();
  });
});

it("shows what the kernel refused of a trait", () => {
  const header = { message: "eps must be between 0 and 1, not 2.", details: "" };
  model.emit("msg:custom", { id: null, status: "error", header }, []);
  expect(store.problem.value?.message).toBe(header.message);
});

describe("figures", () => {
  it("stream in, and the final ones replace them", async () => {
    const { id } = model.last("quality");
    const first = [row("conv1", { orthogonality: null })];
    model.reply(id, { done: 1, total: 2, label: "conv1", rows: first }, [], "progress");
    expect(store.measuring.rows.value.size).toBe(1);
    expect(store.measuring.bars.value.map(({ state }) => state)).toEqual([
      "ready",
      "loading",
      "unscored",
    ]);
    const all = [row("conv1"), row("layer1.conv1")];
    model.reply(id, { eps: 0.01, revision: 0, rows: all });
    await settle();
    expect(store.measuring.row.value?.orthogonality).toBe(0.88);
    expect(store.measuring.running.value).toBe(false);
    expect(store.measuring.modelMax.value).toBe(0.86);
  });

  it("that fail are told once, and what is drawn stays", async () => {
    const header = { message: "Out of memory.", details: "Traceback" };
    model.reply(model.last("quality").id, header, [], "error");
    await settle();
    expect(store.problem.value).toEqual(header);
    expect(store.measuring.running.value).toBe(false);
  });

  it("are asked again when the weights were read anew, as is what is shown", async () => {
    const { header, buffers } = histogram("conv1");
    model.reply(model.last("distribution").id, header, buffers);
    await settle();
    model.set("revision", 1);
    expect(model.count("quality")).toBe(2);
    expect(model.count("distribution")).toBe(2);
    // The old picture stays until the new one is there.
    expect(store.distribution.value.value?.n).toBe(4);
  });
});

describe("eps", () => {
  it("moves what is drawn at once, and asks the kernel only when it is set", () => {
    const { id } = model.last("quality");
    model.reply(id, { done: 1, total: 1, label: "", rows: [row("conv1")] }, [], "progress");
    store.preview("eps", 0.1);
    expect(store.measuring.bars.value[0]?.sparsity).toBe(64 / 256);
    expect(model.count("quality")).toBe(1);
    expect(model.saves).toBe(0);
    store.set("eps", 0.1);
    expect(model.get("eps")).toBe(0.1);
    expect(model.saves).toBe(1);
    expect(model.count("quality")).toBe(2);
    expect(model.last("quality").params).toEqual({ eps: 0.1 });
  });

  it("set from a cell is measured too", () => {
    model.set("eps", 0.02);
    expect(store.traits.eps.value).toBe(0.02);
    expect(model.last("quality").params).toEqual({ eps: 0.02 });
  });
});

describe("choosing a layer", () => {
  it("shows at once, is told to Python, and loads what the view shows", () => {
    model.set("channel", 3);
    store.select("layer1.conv1");
    expect(store.layer.value?.key).toBe("layer1.conv1");
    expect(model.get("layer")).toBe("layer1.conv1");
    expect(model.get("channel")).toBe(null);
    expect(model.last("distribution").params).toEqual({ layer: "layer1.conv1" });
  });

  it("is told to Python when what was asked for is there", async () => {
    store.select("layer1.conv1");
    expect(model.saves).toBe(0);
    const { header, buffers } = histogram("layer1.conv1");
    model.reply(model.last("distribution").id, header, buffers);
    await vi.waitFor(() => expect(model.saves).toBe(1));
  });

  it("is told to Python soon where the answer takes long, and where the view goes", () => {
    vi.useFakeTimers();
    try {
      store.select("layer1.conv1");
      vi.advanceTimersByTime(1000);
      expect(model.saves).toBe(1);
      store.select("conv1");
      expect(model.saves).toBe(1);
      store.dispose();
      expect(model.saves).toBe(2);
      vi.advanceTimersByTime(1000);
      expect(model.saves).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it("tells at once what is chosen beside it, and where there is nothing to wait for", () => {
    store.select("layer1.conv1");
    store.set("eps", 0.1);
    expect(model.saves).toBe(1);
    store.select("lazy");
    expect(model.saves).toBe(2);
  });

  it("keeps the channel given with it, and opens a view", () => {
    store.select("layer1.conv1", { channel: 5, view: "filters" });
    expect(model.get("channel")).toBe(5);
    expect(model.get("view")).toBe("filters");
    expect(model.last("filters").params).toEqual({ layer: "layer1.conv1", start: 0 });
  });

  it("follows a cell, and ignores what is not in the model", () => {
    model.set("layer", "layer1.conv1");
    expect(store.layer.value?.key).toBe("layer1.conv1");
    store.select("nowhere");
    expect(store.layer.value?.key).toBe("layer1.conv1");
  });

  it("asks nothing for a layer without values", () => {
    const before = model.sent.length;
    store.select("lazy");
    expect(model.sent.length).toBe(before);
  });

  it("there and back at once ends with the first one asked anew", async () => {
    store.select("layer1.conv1");
    store.select("conv1");
    await settle();
    const { id, params } = model.last("distribution");
    expect(params).toEqual({ layer: "conv1" });
    const { header, buffers } = histogram("conv1");
    model.reply(id, header, buffers);
    await settle();
    expect(store.distribution.value.value?.layer).toBe("conv1");
  });

  it("again uses what was loaded", async () => {
    const { header, buffers } = histogram("conv1");
    model.reply(model.last("distribution").id, header, buffers);
    await settle();
    store.select("layer1.conv1");
    await settle();
    const before = model.count("distribution");
    store.select("conv1");
    expect(store.distribution.value.value?.layer).toBe("conv1");
    expect(model.count("distribution")).toBe(before);
  });
});

describe("large layers", () => {
  it("come page by page, and are seen as they come", async () => {
    store.select("conv1", { view: "filters" });
    const page = (start: number, stop: number, value: number) => ({
      header: {
        ...{ layer: "conv1", start, stop, out: 3, inputs: 1, kernel: [1, 2], max_abs: 1, page: 2 },
        arrays: [
          { name: "weights", dtype: "float32", shape: [stop - start, 1, 2] },
          { name: "eigenimages", dtype: "float32", shape: [1, 2] },
          { name: "explained", dtype: "float32", shape: [1] },
          { name: "mean", dtype: "float32", shape: [2] },
        ],
      },
      buffers: [
        new Float32Array(2 * (stop - start)).fill(value),
        new Float32Array(2),
        new Float32Array(1),
        new Float32Array(2),
      ],
    });
    const first = page(0, 2, 1);
    model.reply(model.last("filters").id, first.header, first.buffers);
    await settle();
    expect(store.filters.value).toMatchObject({ pending: true, value: { loaded: 2 } });
    expect(model.last("filters").params).toEqual({ layer: "conv1", start: 2 });
    const second = page(2, 3, 2);
    model.reply(model.last("filters").id, second.header, second.buffers);
    await settle();
    expect(store.filters.value.pending).toBe(false);
    expect(store.filters.value.value?.weights).toEqual(new Float32Array([1, 1, 1, 1, 2, 2]));
  });

  it("are clustered only when that is the order", async () => {
    store.select("conv1", { view: "filters" });
    expect(model.count("cluster")).toBe(0);
    store.set("sort", "cluster");
    const arrays = [{ name: "labels", dtype: "uint8", shape: [128] }];
    const half = new Uint8Array(128);
    model.reply(model.last("cluster").id, { layer: "conv1", start: 0, k: 1, arrays }, [
      half.fill(1),
    ]);
    await settle();
    expect(model.last("cluster").params).toEqual({ layer: "conv1", start: 8 });
    model.reply(model.last("cluster").id, { layer: "conv1", start: 8, k: 1, arrays }, [
      half.fill(2),
    ]);
    await settle();
    const labels = store.clusters.value.value;
    expect([labels?.length, labels?.[0], labels?.[255]]).toEqual([256, 1, 2]);
  });
});

describe("failures in their place", () => {
  it("are shown where the picture would be, and can be tried again", async () => {
    const header = { message: "No histogram.", details: "why" };
    model.reply(model.last("distribution").id, header, [], "error");
    await settle();
    expect(store.distribution.value.problem).toEqual(header);
    expect(model.count("distribution")).toBe(1);
    store.retry("distribution");
    expect(model.count("distribution")).toBe(2);
  });

  it("a lost kernel is said, nothing more is asked, and choosing goes on here", async () => {
    model.dead = true;
    store.select("layer1.conv1");
    await settle();
    expect(store.lost.value).toContain("gone");
    expect(store.layer.value?.key).toBe("layer1.conv1");
    expect(store.problem.value).toBe(null);
    model.dead = false;
    model.emit("comm_live_update");
    await settle();
    expect(store.lost.value).toBe("");
    expect(model.last("distribution").params).toEqual({ layer: "layer1.conv1" });
  });

  it("a closed Lens asks nothing more", () => {
    model.set("closed", true);
    const before = model.sent.length;
    store.select("layer1.conv1");
    expect(model.sent.length).toBe(before);
    expect(store.lost.value).toContain("closed");
  });
});

it("two views of one widget share the choice and nothing else", () => {
  const other = openStore(model);
  expect(other.client.name).not.toBe(store.client.name);
  store.select("layer1.conv1");
  expect(other.layer.value?.key).toBe("layer1.conv1");
  other.problem.value = { message: "x", details: "" };
  expect(store.problem.value).toBe(null);
  const before = model.listeners;
  other.dispose();
  expect(model.listeners).toBeLessThan(before);
  store.select("conv1");
  expect(store.layer.value?.key).toBe("conv1");
});

it("disposing takes every listener away", () => {
  store.dispose();
  expect(model.listeners).toBe(0);
});
