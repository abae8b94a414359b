import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Store } from "../src/state";
import { Status } from "../src/status";
import { SaliencyView } from "../src/views/saliency";
import type { Method } from "../src/wire/saliency";
import { FakeModel, layer, openStore, settle, structure } from "./fake";
import { closePage, ends, openPage } from "./page";

let el: HTMLElement;
let model: FakeModel;
let store: Store;

const LAYERS = [layer("conv1"), layer("layer1.0.conv1")];

function method(name: string, more: Partial<Method> = {}): Method {
  return {
    name,
    title: name,
    help: "what it does",
    family: "gradient",
    needs: "gradients",
    source: "a paper",
    signed: true,
    takes_baseline: false,
    takes_layer: false,
    has_delta: false,
    parameters: [],
    ...more,
  };
}

const STEPS = {
  name: "steps",
  kind: "int" as const,
  default: 50,
  help: "points on the way",
  low: 1,
  high: 1000,
  choices: [],
};

const OFFER = {
  ...structure(LAYERS),
  classes: ["cat", "dog", "bird"],
  saliency: {
    methods: [
      method("saliency"),
      method("ig", { title: "IG", parameters: [STEPS], takes_baseline: true }),
      method("cam", { title: "CAM", family: "layer", takes_layer: true }),
    ],
    baselines: ["zero", "blur"],
    scales: [{ name: "0 to 1", mean: [0], std: [1] }],
  },
};

const view = (array: { buffer: ArrayBufferLike }) => new DataView(array.buffer as ArrayBuffer);
const text = (selector: string) => el.querySelector(selector)?.textContent ?? "";
const texts = (selector: string) => [...el.querySelectorAll(selector)].map((e) => e.textContent);
const named = (name: string) => {
  const found = [...el.querySelectorAll("button")].find(
    (each) => each.getAttribute("aria-label") === name || each.textContent?.trim() === name,
  );
  if (!found) throw new Error(`no button ${name}`);
  return found;
};

/** Three inputs: right, wrong, and of no known label. */
function answerInputs(total: number | null = 3) {
  const thumbnails = new Uint8Array(3 * 2 * 2 * 3);
  const labels = Int32Array.from([0, 1, -1]);
  const predicted = Int32Array.from([0, 2, 1]);
  const probability = Float32Array.from([0.9, 0.6, 0.5]);
  const arrays = [
    { name: "thumbnails", dtype: "uint8", shape: [3, 2, 2, 3] },
    { name: "labels", dtype: "int32", shape: [3] },
    { name: "predicted", dtype: "int32", shape: [3] },
    { name: "probability", dtype: "float32", shape: [3] },
  ];
  const header = { revision: 0, start: 0, stop: 3, total, given: 3, more: false, shape: [1, 2, 2] };
  const rest = { thumbnail: [2, 2], classes: 3, names: {}, mean: [0], std: [1], how: "found" };
  model.reply(
    model.last("inputs").id,
    { ...header, ...rest, scale: "0 to 1", arrays },
    [thumbnails, labels, predicted, probability].map(view),
  );
}

function answerPicture() {
  const { id, params } = model.last("picture");
  const arrays = [
    { name: "image", dtype: "float32", shape: [1, 2, 2] },
    { name: "scores", dtype: "float32", shape: [3] },
  ];
  const header = { revision: 0, ...params, label: 0, name: "", shape: [1, 2, 2], mean: [0] };
  model.reply(
    id,
    { ...header, std: [1], how: "found", scale: "", arrays },
    [Float32Array.from([0, 0.25, 0.5, 1]), Float32Array.from([0.2, 0.1, 0.7])].map(view),
  );
}

function answerMap(values = [-1, 0, 0.5, 2], more: object = {}) {
  const { id, params } = model.last("saliency");
  const header = { ...params, revision: 0, done: 1, total: 1, shape: [1, 2, 2], explained: 0 };
  const rest = { predicted: 0, probability: 0.9, missing: null, notes: [] };
  const arrays = [{ name: "values", dtype: "float32", shape: [1, 2, 2] }];
  model.reply(id, { ...header, ...rest, ...more, arrays }, [view(Float32Array.from(values))]);
}

const does = (deed: () => void) =>
  act(async () => {
    deed();
    await settle();
  });

async function open(more: Record<string, unknown> = {}) {
  model = new FakeModel(LAYERS, { view: "saliency", _structure: OFFER, ...more });
  store = openStore(model);
  await act(() => render(<SaliencyView store={store} />, el));
}

async function shown(more: Record<string, unknown> = {}) {
  await open(more);
  await does(() => answerInputs());
  await does(() => answerPicture());
  await does(() => answerMap());
}

beforeEach(() => {
  el = openPage();
});
afterEach(() => closePage(el, store));

describe("the Saliency view", () => {
  it("says what it needs where the Lens has no inputs, and asks for nothing", async () => {
    await open({ _structure: structure(LAYERS) });
    expect(text(".cl-empty")).toContain("cl.Lens(model, inputs=images)");
    expect(model.count("inputs") + model.count("saliency")).toBe(0);
  });

  it("explains the chosen input as soon as it is open", async () => {
    await shown();
    expect(model.last("saliency").params).toEqual({
      input: 0,
      target: "predicted",
      method: "saliency",
      layer: "",
      channel: -1,
      side: "model",
      baseline: "",
      settings: "{}",
    });
    expect(texts(".cl-input span")).toEqual(["cat", "bird, is dog", "dog"]);
    const map = el.querySelector("canvas[aria-label^='saliency']");
    expect(map?.getAttribute("aria-label")).toBe("saliency: −1 to 2");
    expect(texts(".cl-target option")[0]).toBe("predicted: cat");
    expect(texts(".cl-target optgroup:last-child option")).toEqual([
      "bird  70 %",
      "cat  20 %",
      "dog  10 %",
    ]);
  });

  it("reads page after page until there are no more", async () => {
    await open();
    await does(() => answerInputs(null));
    expect(model.last("inputs").params).toEqual({ start: 3 });
  });

  it("filters by right and wrong, and finds by class and place", async () => {
    await shown();
    expect(texts("[aria-label='Inputs shown'] option")).toEqual(["all 3", "wrong 1", "right 1"]);
    await act(() => {
      store.inputs.filter.value = "wrong";
    });
    expect(texts(".cl-input span")).toEqual(["bird, is dog"]);
    await act(() => {
      store.inputs.filter.value = "all";
      store.inputs.query.value = "DOG";
    });
    expect(texts(".cl-input span")).toEqual(["bird, is dog", "dog"]);
    await act(() => {
      store.inputs.query.value = "#0";
    });
    expect(texts(".cl-input span")).toEqual(["cat"]);
    await act(() => {
      store.inputs.query.value = "zebra";
    });
    expect(text(".cl-inputs-none")).toBe("No input is like that.");
  });

  it("chooses inputs by keys and tells Python", async () => {
    await shown();
    const list = el.querySelector("[role=listbox]") as HTMLElement;
    await does(() =>
      list.dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true })),
    );
    expect(model.get("input_index")).toBe(2);
    expect(model.last("picture").params).toEqual({ index: 2 });
    expect(model.last("saliency").params).toMatchObject({ input: 2 });
  });

  it("shows several methods, one after the other, the chosen one first", async () => {
    await shown();
    await act(() => named("Methods: saliency").click());
    await does(() =>
      (el.querySelector("[aria-label='Show CAM beside the others']") as HTMLElement).click(),
    );
    expect([model.get("method"), model.get("methods")]).toEqual(["cam", ["saliency", "cam"]]);
    expect(model.last("saliency").params).toMatchObject({ method: "cam", layer: "conv1" });
    await does(() => answerMap());
    expect(texts(".cl-title-button")).toEqual(["saliency", "CAM, conv1"]);
    const { saliencies } = model.last("agreement").params as { saliencies: string };
    expect(JSON.parse(saliencies).map((one: { method: string }) => one.method)).toEqual([
      "cam",
      "saliency",
    ]);
    await does(() => {
      const pairs = [{ first: 0, second: 1, rank_correlation: -0.002, ssim: 0.1, cosine: 0.2 }];
      model.reply(model.last("agreement").id, { pairs });
    });
    expect(texts(".cl-agree li")).toEqual(["saliency0.00"]);
    // the rail leads
    const before = model.count("saliency");
    await does(() => store.select("layer1.0.conv1"));
    expect(model.count("saliency")).toBe(before + 1);
    expect(model.last("saliency").params).toMatchObject({ layer: "layer1.0.conv1" });
  });

  it("computes nothing again that is there", async () => {
    await shown();
    await does(() => store.set("target", 1));
    await does(() => answerMap());
    const before = model.count("saliency");
    await does(() => store.set("target", "predicted"));
    expect(model.count("saliency")).toBe(before);
    await does(() => model.set("revision", 1));
    expect(model.count("saliency")).toBe(before + 1);
  });

  it("computes again, and compares again, what weights were read again for", async () => {
    await shown({ methods: ["saliency", "ig"] });
    await does(() => answerMap());
    const compared = model.count("agreement");
    await does(() => store.set("target", 1));
    const { id } = model.last("saliency");
    await does(() => model.set("revision", 1));
    await does(() => model.reply(id, {}, [], "cancelled"));
    expect(model.last("saliency").id).not.toBe(id);
    expect(texts(".cl-figure-refused")).toEqual([]);
    await does(() => answerMap());
    await does(() => answerMap());
    expect(model.count("agreement")).toBe(compared + 1);
    await does(() => model.set("revision", 2));
    await does(() => answerMap());
    await does(() => answerMap());
    expect(model.count("agreement")).toBe(compared + 2);
  });

  it("draws the form of a method, and refuses what the kernel would", async () => {
    await shown({ method: "ig", methods: ["ig"] });
    const field = el.querySelector<HTMLInputElement>("input[type=number]") as HTMLInputElement;
    const type = (value: string) =>
      does(() => {
        field.value = value;
        field.dispatchEvent(new Event("change", { bubbles: true }));
      });
    for (const wrong of ["0", "2.5", "1001", ""]) {
      await type(wrong);
      expect([field.value, model.get("method_settings")]).toEqual(["50", {}]);
    }
    await type("1");
    expect(model.get("method_settings")).toEqual({ ig: { steps: 1 } });
    expect(model.last("saliency").params).toMatchObject({
      baseline: "zero",
      settings: '{"steps":1}',
    });
    await type("50");
    expect(model.get("method_settings")).toEqual({});
  });

  it("tells how far it is, stops, and goes on", async () => {
    await open({ method: "ig", methods: ["ig"] });
    const { id } = model.last("saliency");
    await act(() => model.reply(id, { done: 10, total: 53, label: "IG" }, [], "progress"));
    expect(text(".cl-explain [role=status]")).toBe("10 of 53");
    await act(() => named("Stop").click());
    expect(model.sent.at(-1)).toMatchObject({ id, kind: "cancel" });
    await ends(model, "saliency", "cancelled");
    expect(text(".cl-figure-refused")).toBe("stopped");
    const before = model.count("saliency");
    await does(() => named("Go on").click());
    expect(model.count("saliency")).toBe(before + 1);
  });

  it("greys what cannot be had and says why", async () => {
    await shown();
    await does(() =>
      model.reply(model.last("preflight").id, {
        layer: "conv1",
        model: { saliency: null, ig: null, cam: "conv1 emits no map." },
      }),
    );
    await act(() => named("Methods: saliency").click());
    const refused = el.querySelector(".cl-refused") as HTMLElement;
    expect(refused.textContent).toBe("CAMconv1 emits no map.");
    expect(refused.querySelector("button")?.disabled).toBe(true);
    const before = model.count("saliency");
    await does(() => store.explaining.use("cam", ["cam"]));
    expect(model.count("saliency")).toBe(before);
    expect(text(".cl-figure-refused")).toContain("conv1 emits no map.");
  });

  it("says what failed in its place and tries again", async () => {
    await open();
    const header = { message: "The model's outputs for input 0 are NaN.", details: "" };
    await ends(model, "saliency", "error", header);
    expect(text("[role=alert]")).toContain("are NaN");
    const before = model.count("saliency");
    await does(() => named("Try again").click());
    expect(model.count("saliency")).toBe(before + 1);
  });

  it("says where all is about zero", async () => {
    await open();
    await does(() => answerInputs());
    await does(() => answerMap([0, 1e-12, 0, -1e-13]));
    expect(text(".cl-figure-note")).toContain("All about zero");
  });

  it("reads a pixel in every figure by keys", async () => {
    await shown();
    const frame = el.querySelectorAll(".cl-figure-frame")[1] as HTMLElement;
    const press = (key: string) =>
      act(() => {
        frame.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      });
    await press("ArrowUp");
    await press("ArrowUp");
    expect(texts(".cl-figure figcaption > span:not(.cl-figure-scale)").slice(0, 2)).toEqual([
      "1, 0: 0.25",
      "1, 0: 0",
    ]);
    await press("Escape");
    expect(text(".cl-figure:last-child figcaption")).toContain("−1 to 2");
  });

  it("stands the reference beside, with the same colours", async () => {
    const reference = { title: "Other", parameters: 1 };
    await shown({ _structure: { ...OFFER, reference } });
    expect(model.last("saliency").params).toMatchObject({ side: "reference" });
    await does(() => answerMap([-3, 0, 0, 4]));
    // the 99th percentile of 0, 0, 3 and 4
    expect(texts(".cl-figure-scale")).toEqual(["−3.973.97", "−3.973.97"]);
  });

  it("checks whether the map speaks of the model, layer by layer", async () => {
    await shown();
    await act(() => named("Check").click());
    const { id, params } = model.last("sanity");
    expect(params).toEqual(model.last("saliency").params);
    const so = { ...params, revision: 0, done: 1, total: 3, passes: null, verdict: "" };
    const layers = ["linear"];
    await act(() => model.reply(id, { ...so, layers, rank_correlation: [0.4] }, [], "progress"));
    expect(text("[aria-label='Sanity check']")).toContain("linear: 0.40 is left");
    await does(() =>
      model.reply(id, {
        ...so,
        layers: ["linear", "conv1"],
        rank_correlation: [0.4, 0.1],
        verdict: "The maps change.",
        passes: true,
      }),
    );
    expect(text("[aria-label='Sanity check'] [role=status]")).toBe("The maps change.");
    await does(() => store.set("target", 1));
    expect(text("[aria-label='Sanity check']")).toContain("should change");
  });

  it("keeps the last picture when the kernel is gone", async () => {
    await shown();
    await act(() => model.emit("comm:close"));
    expect(el.querySelector("canvas[aria-label^='saliency']")).not.toBeNull();
    expect(named("Methods: saliency").disabled).toBe(true);
  });

  it("lets the colours be said, and reads the inputs anew", async () => {
    await shown();
    await act(() => named("Colours").click());
    const field = el.querySelector(".cl-scale-form input") as HTMLInputElement;
    await act(() => {
      field.value = "0.5";
      field.dispatchEvent(new Event("input", { bubbles: true }));
    });
    const before = model.count("inputs");
    await does(() => named("Use these").click());
    expect([model.get("mean"), model.get("std")]).toEqual([[0.5], [1]]);
    expect(model.count("inputs")).toBe(before + 1);
  });

  it("sends a file and chooses it", async () => {
    await shown();
    const file = new File(["bytes"], "mine.png");
    const input = el.querySelector("input[type=file]") as HTMLInputElement;
    Object.defineProperty(input, "files", { value: [file] });
    Object.defineProperty(input, "value", { value: "", writable: true });
    await does(() => input.dispatchEvent(new Event("change", { bubbles: true })));
    await does(() => {});
    expect(model.last("upload").params).toEqual({ name: "mine.png", data: btoa("bytes") });
    const header = { message: "“mine.png” cannot be read.", details: "" };
    await ends(model, "upload", "error", header);
    expect(text("[role=alert]")).toContain("cannot be read");
    expect(model.get("input_index")).toBe(0);
  });

  it("is one click from a channel that is chosen elsewhere", async () => {
    await open({ view: "filters", channel: 5 });
    await act(() => render(<Status store={store} />, el));
    await does(() => named("Saliency of 5").click());
    expect([model.get("view"), model.get("target")]).toEqual(["saliency", "channel"]);
    const asked = { target: "channel", layer: "conv1", channel: 5 };
    expect(model.last("saliency").params).toMatchObject(asked);
  });

  it("copies the Python of the map that is looked at", async () => {
    const writeText = vi.fn(() => Promise.resolve());
    Object.defineProperty(window.navigator, "clipboard", {
      value: { writeText },
      configurable: true,
    });
    await shown({ method: "ig", methods: ["ig"], baseline: "blur", target: 2 });
    await does(() => store.explaining.set("ig", "steps", 9));
    await act(() => render(<Status store={store} />, el));
    await does(() => el.querySelector<HTMLButtonElement>("[aria-label='Copy as Python']")?.click());
    expect(writeText).toHaveBeenCalledWith(
      'a(x[0:1], target=2, method="ig", baseline="blur", steps=9)',
    );
  });
});
