import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Store } from "../src/state";
import { Status } from "../src/status";
import { SimilarityView } from "../src/views/similarity";
import { FakeModel, openStore, settle, structure } from "./fake";
import { answer, KEYS, LAYERS, OFFERED, side, VALUES } from "./matrix";
import { closePage, ends, openPage } from "./page";

let el: HTMLElement;
let model: FakeModel;
let store: Store;

const text = (selector: string) => el.querySelector(selector)?.textContent ?? "";
const button = (name: string) => {
  const found = [...el.querySelectorAll("button")].find((each) => each.textContent === name);
  if (!found) throw new Error(`no button ${name}`);
  return found;
};

async function open(more: Record<string, unknown> = {}) {
  model = new FakeModel(LAYERS, { view: "similarity", _structure: OFFERED, ...more });
  store = openStore(model);
  await act(() => render(<SimilarityView store={store} />, el));
}

const reply = (more: Parameters<typeof answer>[1] = {}) =>
  act(async () => {
    answer(model, more);
    await settle();
  });

async function compare(more: Parameters<typeof answer>[1] = {}) {
  await act(() => button("Compare").click());
  await reply(more);
}

const press = (key: string) =>
  act(() => {
    const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
    (el.querySelector(".cl-gallery") as HTMLElement).dispatchEvent(event);
    expect(event.defaultPrevented).toBe(true);
  });

beforeEach(() => {
  el = openPage();
});
afterEach(() => closePage(el, store));

describe("the Similarity view", () => {
  it("says what it needs where the Lens has no inputs", async () => {
    await open({ _structure: structure(LAYERS) });
    expect(text(".cl-empty")).toContain("cl.Lens(model, inputs=images)");
    expect(el.querySelector("button")).toBeNull();
  });

  it("says what will run, runs it, and shows how far it is", async () => {
    await open();
    expect(text(".cl-offer")).toContain("Net with itself");
    expect(text(".cl-offer")).toContain("convolutions");
    await compare({ status: "progress" });
    expect(text(".cl-compare [role=status]")).toBe("2 of 8 batches");
    expect(el.querySelector("canvas[role=img]")?.getAttribute("aria-label")).toContain("3 layers");
    await ends(model, "similarity", "cancelled");
    expect(text(".cl-compare [role=status]")).toBe("stopped after 2 of 8 batches");
    await act(() => button("Resume").click());
    expect(model.count("similarity")).toBe(2);
  });

  it("chooses both layers of a cell by keys, tells Python, and lets go", async () => {
    await open();
    await compare();
    expect(text(".cl-pair")).toBe("");
    await press("ArrowUp");
    expect([model.get("layer"), model.get("reference_layer")]).toEqual(["conv1", "conv1"]);
    await press("ArrowUp");
    await press("ArrowRight");
    await press("ArrowRight");
    expect([model.get("layer"), model.get("reference_layer")]).toEqual([KEYS[1], KEYS[2]]);
    expect(text(".cl-pair h4")).toBe("0.750 ± 0.075");
    expect(text(".cl-pair")).toContain("n = 64 in 2 batches of 32");
    expect(text(".cl-unseen[role=status]")).toContain("layer1.0.conv2, 0.750 ± 0.075");
    await press("Escape");
    expect(model.get("reference_layer")).toBeNull();
  });

  it("leads from a chosen cell to what the channels of its row look for", async () => {
    await open();
    await compare();
    await press("ArrowUp");
    await act(() => button("See what its channels look for").click());
    expect([model.get("layer"), model.get("view")]).toEqual(["conv1", "features"]);
  });

  it("keeps a chosen row that the rail does not have to itself", async () => {
    await open();
    const rows = [side("relu"), ...KEYS.slice(1).map((key) => side(key))];
    await compare({ header: { rows } });
    await press("ArrowUp");
    expect([model.get("layer"), model.get("reference_layer")]).toEqual(["conv1", "conv1"]);
    expect(text(".cl-pair")).toContain("relu");
    await press("Enter");
    expect(model.get("view")).toBe("similarity");
    await act(() => store.select("layer1.0.conv1"));
    expect(text(".cl-pair")).toContain("layer1.0.conv1");
    await press("Enter");
    expect(model.get("view")).toBe("filters");
  });

  it("says why a cell has no value, and what is the same tensor", async () => {
    await open();
    const values = VALUES.slice();
    values.fill(Number.NaN, 0, 4);
    const rows = [side("conv1", { reason: "it is constant" }), side(KEYS[1] as string)];
    rows.push(side(KEYS[2] as string, { same_as: "layer1.0.conv1" }));
    await compare({ values, header: { rows } });
    await press("ArrowUp");
    expect(text(".cl-pair h4")).toBe("no value");
    expect(text(".cl-reason-line")).toBe("it is constant");
    await press("ArrowUp");
    expect(text(".cl-reason-line")).toBe("different numbers of positions");
    await press("ArrowUp");
    expect(text(".cl-pair")).toContain("the same tensor as layer1.0.conv1");
  });

  it("draws the form of a measure from its declaration", async () => {
    await open({ measure: "cka_rbf" });
    await compare();
    const field = el.querySelector<HTMLInputElement>("input[type=number]") as HTMLInputElement;
    const type = (value: string) =>
      act(() => {
        field.value = value;
        field.dispatchEvent(new Event("change", { bubbles: true }));
      });
    await type("0");
    expect([field.value, model.count("similarity")]).toEqual(["1", 1]);
    await type("0.5");
    expect(model.last("similarity").params).toMatchObject({ settings: '{"t":0.5}' });
    expect([...el.querySelectorAll("optgroup")].map((group) => group.label)).toEqual([
      "1 = same",
      "0 = same",
    ]);
  });

  it("gives both directions of a directed measure", async () => {
    await open({ measure: "pwcca" });
    await compare({ reverse: VALUES.map((value) => value / 2) });
    await press("ArrowUp");
    expect(text(".cl-pair")).toContain("0.500 weighted by the column");
    await act(() => button("by columns").click());
    expect(button("by columns").getAttribute("aria-checked")).toBe("true");
  });

  it("draws the diagonal where both sides have the same layers", async () => {
    await open({ comparison: "inputs" });
    await compare();
    await act(() => button("diagonal").click());
    await press("ArrowRight");
    expect(el.querySelector("[role=slider]")?.getAttribute("aria-valuetext")).toBe(
      "conv1: 1.000 ± 0.100",
    );
    await act(() => store.set("comparison", "self"));
    await reply();
    expect(el.querySelector("[role=slider]")).toBeNull();
  });

  it("says what failed and keeps the last picture", async () => {
    await open();
    await compare();
    await act(() => store.set("measure", "pwcca"));
    const header = { message: "64 samples are too few.", details: "" };
    await ends(model, "similarity", "error", header);
    expect(text("[role=alert]")).toContain("64 samples are too few.");
    expect(el.querySelector(".cl-past .cl-heatmap")).not.toBeNull();
  });

  it("offers to compare again when weights have changed", async () => {
    await open();
    await compare();
    await act(() => model.set("revision", 1));
    expect(text(".cl-compare [role=status]")).toBe("weights changed since");
    await act(() => button("Compare").click());
    expect(model.count("similarity")).toBe(2);
  });

  it("copies the Python of this comparison, with the settings that differ", async () => {
    const writeText = vi.fn(() => Promise.resolve());
    vi.stubGlobal("navigator", { clipboard: { writeText } });
    Object.defineProperty(window.navigator, "clipboard", {
      value: { writeText },
      configurable: true,
    });
    await open({ measure: "cka_rbf" });
    store.comparing.set("t", 0.5);
    store.comparing.set("debiased", true);
    await act(() => render(<Status store={store} />, el));
    await act(() => el.querySelector<HTMLButtonElement>("[aria-label='Copy as Python']")?.click());
    await settle();
    expect(writeText).toHaveBeenCalledWith('s("cka_rbf", "convs", debiased=True, t=0.5, False)');
  });

  it("offers a picture once there is one", async () => {
    await open();
    expect(store.picture.value).toBeNull();
    await compare();
    expect(store.picture.value?.().height).toBeGreaterThan(0);
  });
});
