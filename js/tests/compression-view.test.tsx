import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Store } from "../src/state";
import { Status } from "../src/status";
import { CompressionView } from "../src/views/compression";
import { answer, LAYERS, OFFERED, picture } from "./compression";
import { FakeModel, openStore, settle, structure } from "./fake";
import { closePage, ends, openPage } from "./page";

let el: HTMLElement;
let model: FakeModel;
let store: Store;

const text = (selector: string) => el.querySelector(selector)?.textContent ?? "";
const all = (selector: string) => [...el.querySelectorAll<HTMLElement>(selector)];
const button = (name: string) => {
  const found = all("button").find((each) => each.textContent?.trim() === name);
  if (!found) throw new Error(`no button ${name}`);
  return found;
};
const rows = () => all("[data-ranked]");
const press = (list: string, key: string) =>
  act(() => {
    const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
    (el.querySelector(list) as HTMLElement).dispatchEvent(event);
    expect(event.defaultPrevented).toBe(true);
  });

async function open(more: Record<string, unknown> = {}) {
  model = new FakeModel(LAYERS, { view: "compression", _structure: OFFERED, ...more });
  store = openStore(model);
  await act(() => render(<CompressionView store={store} />, el));
}

async function measure(header = {}) {
  await act(() => button("Measure").click());
  await answer(model, { header });
}

beforeEach(() => {
  el = openPage();
});
afterEach(() => closePage(el, store));

describe("the Compression view", () => {
  it("says what is missing, and the lines that help", async () => {
    await open({ _structure: structure(LAYERS) });
    expect(text(".cl-empty")).toContain("No reference");
    expect(all(".cl-empty code").map((line) => line.textContent)).toEqual([
      "cl.Lens(a, reference=b)",
    ]);
    expect(el.querySelector("button")).toBeNull();
  });

  it("ranks the layers, the worst first, and says why one has no value", async () => {
    await open();
    await measure();
    expect(rows().map((row) => row.dataset.ranked)).toEqual(["conv2", "conv1", "fc"]);
    expect(rows().map((row) => row.querySelector(".cl-value")?.textContent)).toEqual([
      "5.4 %",
      "0.1 %",
      undefined,
    ]);
    expect(rows()[0]?.querySelector<HTMLElement>("i")?.style.width).toBe("100%");
    expect(rows()[2]?.textContent).toContain("it cannot stand alone");
    expect(text(".cl-sums")).toContain("91.0 % → 72.3 %");
    expect(text("[aria-label=Notes]")).toContain("Only in Net: extra");
  });

  it("chooses a layer by a click or a key, and opens its filters in both", async () => {
    await open({ paired: "model" });
    await measure();
    await act(() => rows()[0]?.click());
    expect(model.get("layer")).toBe("conv2");
    expect(text("[aria-label='Chosen layer'] h4")).toContain("conv2");
    await press(".cl-ranking", "ArrowDown");
    expect(model.get("layer")).toBe("conv1");
    await press(".cl-ranking", "Enter");
    expect([model.get("view"), model.get("layer"), model.get("paired")]).toEqual([
      "filters",
      "conv1",
      "side by side",
    ]);
    store.set("view", "compression");
    await act(() => rows()[0]?.querySelector("button")?.click());
    expect([model.get("view"), model.get("layer")]).toEqual(["filters", "conv2"]);
  });

  it("ranks by what is chosen; what no layer has is not offered", async () => {
    await open();
    await measure();
    const select = el.querySelector("select") as HTMLSelectElement;
    expect([...select.options].map((option) => option.disabled)).toEqual([false, false]);
    await act(() => {
      select.value = "cka";
      select.dispatchEvent(new Event("change"));
    });
    expect(model.get("compression_by")).toBe("cka");
    expect(rows()[2]?.querySelector(".cl-value")?.textContent).toBe("0.990");
    expect(text(".cl-plain")).toBe("How alike.");
    store.dispose();
    const none = { cost: { order: [0], shares: [0] }, cka: { order: [0], shares: [0] } };
    await open();
    const only = {
      model: "conv1",
      reference: "c",
      how: "order",
      texts: {},
      figures: [],
      notes: [],
    };
    await measure({ layers: [{ ...only, missing: { cost: "no", cka: "no" } }], rankings: none });
    expect([...(el.querySelector("select")?.options ?? [])].map((o) => o.disabled)).toEqual([
      true,
      true,
    ]);
  });

  it("of another architecture only the whole is compared", async () => {
    await open();
    await measure({ layers: [], classified: false });
    expect(text(".cl-filters-body")).toContain("No layer of the one has a counterpart");
    expect(el.querySelector(".cl-strip")).toBeNull();
    expect(text(".cl-sums")).not.toBe("");
  });

  it("chooses a flipped input and goes on with it in the Saliency view", async () => {
    await open();
    await measure();
    await picture(model, [4, 9]);
    const options = all(".cl-input");
    expect(options.map((option) => option.textContent)).toEqual([
      "cat → dog",
      "dog → cat",
      "cat → owl",
    ]);
    expect(options[0]?.getAttribute("aria-label")).toBe("#4 · cat → dog, truly cat · lost");
    await act(() => options[0]?.click());
    expect(model.get("input_index")).toBe(4);
    // one that the strip does not hold cannot be chosen for the other views
    await act(() => options[1]?.click());
    expect(model.get("input_index")).toBe(4);
    expect(store.toast.value).toContain("does not hold");
    await act(() => button("see saliency").click());
    expect(model.get("view")).toBe("saliency");
    expect(store.inputs.filter.value).toBe("differ");
  });

  it("goes by keys over flips that the strip does not hold", async () => {
    await open({ input_index: 4 });
    await measure();
    await picture(model, [4, 9]);
    const to = async (key: string) => {
      await press(".cl-inputs", key);
      return model.get("input_index");
    };
    expect([await to("ArrowRight"), await to("ArrowRight"), await to("ArrowLeft")]).toEqual([
      9, 9, 4,
    ]);
    expect(store.toast.value).toBe("");
  });

  it("says which is the compressed one: as the kernel finds, or at once as it is chosen", async () => {
    await open();
    const sides = () => all("[role=radio]").map((side) => [side.ariaChecked, side.tabIndex]);
    const [first, second] = [
      [
        ["true", 0],
        ["false", -1],
      ],
      [
        ["false", -1],
        ["true", 0],
      ],
    ];
    expect(sides()).toEqual(first);
    await answer(model, {
      kind: "compression_known",
      header: { found: false, side: "reference" },
      flips: [],
    });
    expect(sides()).toEqual(second);
    await measure({ side: "reference" });
    await act(() => button("Net").click());
    expect(model.get("compression_after")).toBe("model");
    expect(sides()).toEqual(first);
  });

  it("shows the flips of one class, and lets go", async () => {
    await open();
    await measure();
    const [cat] = all("[aria-label='Flips by class'] button");
    expect(cat?.textContent).toContain("cat2→ dog");
    await act(() => cat?.click());
    expect(all(".cl-input").length).toBe(2);
    await act(() => button("from cat ×").click());
    expect(all(".cl-input").length).toBe(3);
  });

  it("shows scales and zero points of each channel", async () => {
    await open();
    await measure();
    const { id, params } = model.last("compression_scales");
    const grid = { reason: null, key: "conv1", bits: 8, per_channel: true, input: [0.5, 3, 8] };
    const arrays = [
      { name: "model_scales", dtype: "float32", shape: [2] },
      { name: "model_zeros", dtype: "int32", shape: [2] },
      { name: "model_span", dtype: "int32", shape: [2, 2] },
    ];
    await act(async () => {
      model.reply(
        id,
        { ...params, model_grid: grid, reference_grid: { reason: "not quantised" }, arrays },
        [
          new Float32Array([0.25, 0.5]).buffer,
          new Int32Array([0, 7]).buffer,
          new Int32Array([-128, 127, -3, 4]).buffer,
        ],
      );
      await settle();
    });
    expect(all(".cl-scales").length).toBe(1);
    expect(text(".cl-scales h4")).toContain("int8 per channel");
    expect(all(".cl-scales th").map((cell) => cell.getAttribute("scope"))).toEqual(
      Array(4).fill("col"),
    );
    // all of it is in sight: no stop for Tab
    expect(el.querySelector<HTMLElement>(".cl-scales .cl-values")?.tabIndex).toBe(-1);
    expect(all(".cl-scales tr").map((row) => row.textContent)).toEqual([
      "channelscalezero pointintegers",
      "00.25000−128 to 127",
      "10.50007−3 to 4",
    ]);
    expect(text(".cl-scales p")).toContain("int8, scale 0.50, zero point 3");
  });

  it("offers to go on where it was stopped, and to measure anew where weights changed", async () => {
    await open();
    await act(() => button("Measure").click());
    expect(text(".cl-offer")).toContain("Measuring");
    await answer(model, { header: { finished: false }, status: "progress" });
    expect(text(".cl-compare [role=status]")).toBe("fc alone, 64 inputs");
    await ends(model, "compression", "cancelled");
    await act(() => button("Resume").click());
    await answer(model);
    expect(all(".cl-compare .cl-primary").length).toBe(0);
    await act(() => model.set("revision", 1));
    expect(text(".cl-compare [role=status]")).toBe("weights changed since");
    await act(() => button("Measure").click());
    expect(model.count("compression")).toBe(3);
  });

  it("keeps what it has when it fails, says why, and tries again", async () => {
    await open();
    await act(() => button("Measure").click());
    await ends(model, "compression", "error", { message: "The model raised.", details: "" });
    expect(text(".cl-notice")).toContain("The model raised.");
    await act(() => button("Try again").click());
    expect(model.count("compression")).toBe(2);
  });

  it("copies the report of the one that is compressed", async () => {
    await open();
    await measure({ side: "reference" });
    let copied = "";
    Object.assign(navigator, { clipboard: { writeText: async (line: string) => (copied = line) } });
    await act(() => render(<Status store={store} />, el));
    await act(async () => {
      button("Copy as Python").click();
      await settle();
    });
    expect(copied).toBe("report(b, a)");
  });
});
