import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Structure } from "../src/protocol";
import type { Store } from "../src/state";
import { Status } from "../src/status";
import { FeaturesView } from "../src/views/features";
import { FakeModel, layer, openStore, settle, structure } from "./fake";
import { closePage, ends, openPage } from "./page";

const LAYERS = [layer("conv1", { shape: [20, 3, 3, 3] }), layer("fc", { shape: [10, 64] })];

let el: HTMLElement;
let model: FakeModel;
let store: Store;

const text = (selector: string) => el.querySelector(selector)?.textContent ?? "";
const find = (name: string) =>
  [...el.querySelectorAll("button")].find((each) => each.textContent === name);
const button = (name: string) => {
  const found = find(name);
  if (!found) throw new Error(`no button ${name}`);
  return found;
};
const tiles = () => [...el.querySelectorAll<HTMLElement>(".cl-tile")];
const label = (name: string) => el.querySelector(`[aria-label="${name}"]`) as HTMLElement;

function described(more: Partial<Structure["features"]> = {}): Structure {
  const made = structure(LAYERS);
  return { ...made, features: { ...made.features, ...more } };
}

async function open(
  more: Record<string, unknown> = {},
  offered: Parameters<typeof described>[0] = {},
) {
  const _structure = described(offered);
  model = new FakeModel(LAYERS, { view: "features", _structure, ...more });
  store = openStore(model);
  await act(() => render(<FeaturesView store={store} />, el));
}

interface Array_ {
  name: string;
  values: Uint8Array | Float32Array;
}

/** Answers the newest request of a kind as the kernel does. */
const answer = (kind: string, header: object, arrays: Array_[], status = "ok") =>
  act(async () => {
    const { id, params } = model.last(kind);
    const specs = arrays.map(({ name, values }) => ({
      name,
      dtype: values instanceof Uint8Array ? "uint8" : "float32",
      shape: [values.length],
    }));
    const whole = { ...params, revision: model.get("revision"), ...header, arrays: specs };
    model.reply(
      id,
      whole,
      arrays.map(({ values }) => values.buffer),
      status,
    );
    await settle();
  });

const side = (more: object = {}) => ({
  side: "model",
  title: "Net",
  reason: null,
  extent: [2, 2, 3],
  value: 4.25,
  fires: true,
  why: null,
  ...more,
});

const feature = (more: object = {}, status = "ok") =>
  answer(
    "features",
    { done: 96, total: 96, length: 96, finished: true, notes: [], sides: [side()], ...more },
    [
      { name: "model_picture", values: new Uint8Array(12).fill(7) },
      { name: "model_curve", values: new Float32Array([0, 1, 2]) },
    ],
    status,
  );

const page = (at: number[], fires: (boolean | null)[] = at.map(() => true)) =>
  answer("feature_page", { stop: 16, channels: 20, at, fires, extent: [1, 1, 1] }, [
    { name: "pictures", values: new Uint8Array(at.length) },
    { name: "values", values: new Float32Array(at.length).fill(1.5) },
  ]);

const press = (key: string) =>
  act(() => {
    const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
    (el.querySelector(".cl-tiles") as HTMLElement).dispatchEvent(event);
  });

beforeEach(() => {
  el = openPage();
});
afterEach(() => closePage(el, store));

describe("the Features view", () => {
  it("asks for nothing before a channel is chosen, and offers them all", async () => {
    await open();
    expect(tiles()).toHaveLength(20);
    expect(text(".cl-choose")).toContain("What does each channel look for?");
    expect(model.count("features") + model.count("feature_page")).toBe(0);
  });

  it("synthesises the channel that is chosen, and shows it while it climbs", async () => {
    await open();
    await act(() => tiles()[5]?.click());
    expect(model.get("channel")).toBe(5);
    expect(model.last("features").params).toEqual({
      layer: "conv1",
      steps: 0,
      seed: 0,
      size: 0,
      channel: 5,
    });
    await feature(
      { done: 24, total: 96, finished: false, sides: [side({ fires: null })] },
      "progress",
    );
    expect(text(".cl-making [role=status]")).toBe("step 24 of 96");
    expect(text(".cl-level")).toBe("4.25");
    expect(tiles()[5]?.querySelector("canvas")).not.toBeNull();
    await feature();
    expect(text(".cl-words")).toContain("after 96 steps");
    expect(el.querySelectorAll<HTMLInputElement>(".cl-making input")[1]?.placeholder).toBe("96");
    expect(store.picture.value?.().height).toBeGreaterThan(100);
  });

  it("stops, keeps what there is, and goes on with the same request", async () => {
    await open({ channel: 1 });
    await feature({ done: 24, total: 96, finished: false }, "progress");
    await act(() => button("Stop").click());
    expect(model.last("cancel").id).toBe(model.last("features").id);
    await ends(model, "features", "cancelled");
    expect(text(".cl-making [role=status]")).toBe("stopped at step 24 of 96");
    const { params } = model.last("features");
    await act(() => button("Resume").click());
    expect(model.count("features")).toBe(2);
    expect(model.last("features").params).toEqual(params);
  });

  it("says what never fires, in the answer and among all", async () => {
    await open({ channel: 3 });
    const why = "never fires: no gradient from 4 starting pictures";
    await feature({ sides: [side({ fires: false, why })] });
    expect(text(".cl-words")).toContain("never fires");
    expect(text(".cl-words")).toContain("no gradient from 4 starting pictures");
    expect(tiles()[3]?.getAttribute("aria-label")).toBe("channel 3, never fires");
  });

  it("draws all channels page by page, and those of the next layer", async () => {
    await open();
    await act(() => button("Draw all").click());
    expect(model.last("feature_page").params).toMatchObject({ side: "model", start: 0 });
    await page([...Array(16).keys()]);
    expect(model.last("feature_page").params).toMatchObject({ start: 16 });
    expect(text(".cl-page [role=status]")).toBe("16 of 20");
    await page([16, 17, 18, 19], [true, true, null, false]);
    expect(text(".cl-page [role=status]")).toBe("");
    expect(tiles()[19]?.classList.contains("cl-never")).toBe(true);
    expect(find("Draw all")).toBeUndefined();
    await act(() => store.select("fc"));
    expect(model.last("feature_page").params).toMatchObject({ layer: "fc", start: 0 });
    expect(text(".cl-page h4")).toBe("All 10 outputs");
    await act(() => button("Stop").click());
    await ends(model, "feature_page", "cancelled");
    const asked = model.count("feature_page");
    await act(() => store.select("conv1"));
    expect(tiles()[0]?.querySelector("canvas")).not.toBeNull();
    expect(model.count("feature_page")).toBe(asked);
  });

  it("never runs the model by itself when weights have changed", async () => {
    await open({ channel: 1 });
    await feature();
    await act(() => button("Draw all").click());
    await page([...Array(16).keys()]);
    await page([16, 17, 18, 19]);
    const before = model.sent.length;
    await act(() => model.set("revision", 1));
    const kinds = model.sent.slice(before).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind.startsWith("feature"))).toEqual([]);
    expect(text(".cl-making [role=status]")).toBe("weights changed since");
    await act(() => button("Draw again").click());
    expect(model.count("features")).toBe(2);
  });

  it("moves among the channels by keys", async () => {
    await open();
    await press("ArrowRight");
    expect(model.get("channel")).toBe(0);
    await press("ArrowRight");
    await press("End");
    expect(model.get("channel")).toBe(19);
    await press("ArrowRight");
    expect(model.get("channel")).toBe(19);
  });

  it("asks anew for another seed, and takes no number that cannot be", async () => {
    await open({ channel: 1 });
    const field = el.querySelectorAll<HTMLInputElement>(".cl-making input")[2] as HTMLInputElement;
    const type = (value: string) =>
      act(() => {
        field.value = value;
        field.dispatchEvent(new Event("change", { bubbles: true }));
      });
    await type("-1");
    expect([field.value, model.count("features")]).toEqual(["0", 1]);
    await type("7");
    expect(model.last("features").params).toMatchObject({ seed: 7 });
    expect(model.get("feature_seed")).toBe(7);
  });

  it("says what to pass where there are no inputs, and asks for a size where it fails", async () => {
    await open({ channel: 1 });
    expect(text(".cl-wanting")).toContain("cl.Lens(model, inputs=images)");
    const header = { message: "No usual size of input runs: pass size=.", details: "" };
    await ends(model, "features", "error", header);
    expect(text(".cl-ask [role=alert]")).toContain("No usual size");
    await act(() => button("28 × 28").click());
    expect(model.get("feature_size")).toBe(28);
    expect(model.last("features").params).toMatchObject({ size: 28 });
  });

  it("looks through the inputs, and shows where on one of them it fires", async () => {
    await open({ channel: 1 }, { searches: true });
    expect(model.last("top_inputs").params).toEqual({ layer: "conv1", channel: 1 });
    expect(model.last("activations").params).toEqual({ layer: "conv1", channel: 1, input: 0 });
    const items = [
      { index: 12, value: 9.5, box: [0, 0, 0.5, 0.5] },
      { index: 4, value: 8, box: [0, 0, 1, 1] },
    ];
    const shown = { side: "model", title: "Net", reason: null };
    await answer(
      "top_inputs",
      {
        done: 64,
        total: 64,
        seen: 64,
        more: false,
        finished: true,
        sides: [{ ...shown, items, extent: [4, 4, 3] }],
      },
      [{ name: "model_pictures", values: new Uint8Array(2 * 48) }],
    );
    const panel = label("Inputs that excite it most");
    expect(panel.textContent).toContain("9.50");
    expect(panel.textContent).toContain("of 64 inputs");
    // what is seen of the first is a quarter of it
    expect(panel.querySelector("canvas")?.width).toBe(2);
    await act(() => button("whole").click());
    expect(panel.querySelector("canvas")?.width).toBe(4);
    await act(() => label("Input 4: activation 8.00").click());
    expect(model.get("input_index")).toBe(4);
    expect(model.last("activations").params).toMatchObject({ input: 4 });
    await answer("activations", { extent: [4, 4, 3], sides: [{ ...shown, extent: [2, 2] }] }, [
      { name: "picture", values: new Uint8Array(48) },
      { name: "model_map", values: new Float32Array([-1, 0, 2, 0.5]) },
    ]);
    expect(label("Activation map").textContent).toContain("2.00 at most");
    expect(label("Activation map").textContent).toContain("2 × 2, from −1.00");
    // a reference that has no map leaves the scale as it is
    const absent = { side: "reference", title: "Other", reason: "has no layer conv1" };
    await act(() => label("Input 12: activation 9.50").click());
    await answer(
      "activations",
      {
        extent: [4, 4, 3],
        sides: [
          { ...shown, extent: [2, 2] },
          { ...absent, extent: [0, 0] },
        ],
      },
      [
        { name: "picture", values: new Uint8Array(48) },
        { name: "model_map", values: new Float32Array([-1, 0, 2, 0.5]) },
      ],
    );
    expect(label("Activation map").textContent).toContain("−2.002.00");
  });

  it("puts the model beside its reference, and says what that lacks", async () => {
    const made = described();
    const _structure = { ...made, reference: { title: "Other", parameters: 1 } };
    await open({ channel: 1, _structure });
    const lacking = { side: "reference", title: "Other", reason: "has no layer conv1" };
    await feature({ sides: [side(), side({ ...lacking, extent: [0, 0, 1], value: null })] });
    const rows = el.querySelectorAll(".cl-answer .cl-row");
    expect(rows).toHaveLength(2);
    expect(rows[1]?.textContent).toContain("Other");
    expect(rows[1]?.textContent).toContain("has no layer conv1");
    expect(el.querySelector(".cl-scale")).toBeNull();
    await act(() => button("Other").click());
    await act(() => button("Draw all").click());
    expect(model.last("feature_page").params).toMatchObject({ side: "reference" });
  });

  it("reads a saved page, and says what was not drawn", async () => {
    await open({ channel: 1, _structure: { ...described(), offline: true } });
    expect(model.count("features")).toBe(1);
    expect(model.last("feature_page").params).toMatchObject({ start: 0 });
    const missing = { message: "This was not recorded in this page.", details: "" };
    for (const kind of ["features", "feature_page"]) await ends(model, kind, "error", missing);
    expect(text(".cl-say")).toBe("It was not drawn before this page was saved.");
    expect(el.querySelector("[role=alert]")).toBeNull();
    // the next page may have been
    expect(model.last("feature_page").params).toMatchObject({ start: 16 });
  });

  it("copies the Python of this picture, with the settings that differ", async () => {
    const writeText = vi.fn(() => Promise.resolve());
    Object.defineProperty(window.navigator, "clipboard", {
      value: { writeText },
      configurable: true,
    });
    await open({ channel: 1, feature_seed: 7, feature_steps: 64, mean: [0.5], std: [0.25] });
    await act(() => render(<Status store={store} />, el));
    await act(() => label("Copy as Python").click());
    await settle();
    const settings = ", steps=64, seed=7, mean=[0.5], std=[0.25]";
    expect(writeText).toHaveBeenCalledWith(`v("conv1", 1${settings})`);
  });

  it("is one click away from what is chosen in another view", async () => {
    await open({ channel: 2, view: "filters" });
    await act(() => render(<Status store={store} />, el));
    await act(() => button("Feature of 2").click());
    expect(model.get("view")).toBe("features");
    expect(model.last("features").params).toMatchObject({ channel: 2 });
  });
});
