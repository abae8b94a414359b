import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { driftPicture } from "../src/drift/picture";
import type { Store } from "../src/state";
import { DriftView } from "../src/views/drift";
import { answer, LAYERS } from "./drifts";
import { FakeModel, openStore, settle, structure } from "./fake";
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

async function open(more: Record<string, unknown> = {}, drift: object[] = []) {
  const known = structure(LAYERS);
  known.drift.push(...(drift as typeof known.drift));
  model = new FakeModel(LAYERS, { view: "drift", _structure: known, ...more });
  store = openStore(model);
  await act(() => render(<DriftView store={store} />, el));
}

const reply = (header: object = {}, status = "ok") =>
  act(async () => {
    answer(model, header, status);
    await settle();
  });

const press = (selector: string, key: string) =>
  act(() => {
    const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
    (el.querySelector(selector) as HTMLElement).dispatchEvent(event);
    expect(event.defaultPrevented).toBe(true);
  });

const choose = (select: Element | null | undefined, value: string) =>
  act(() => {
    const box = select as HTMLSelectElement;
    box.value = value;
    box.dispatchEvent(new Event("change", { bubbles: true }));
  });

beforeEach(() => {
  el = openPage();
});
afterEach(() => closePage(el, store));

describe("the Drift view", () => {
  it("says where the layer stands, of whose nets that is, and what is not compared", async () => {
    await open({ layer: "layer1.conv1" });
    expect(el.querySelector("[aria-busy=true]")).not.toBeNull();
    await reply();
    expect(text(".cl-sentence")).toBe(
      "Your layer1.conv1 is less diverse than 93% of layers at this depth.",
    );
    expect(text(".cl-drifted")).toContain("Its drift is.");
    expect(text(".cl-made")).toBe("made by the project from 24 small nets of its own");
    expect(text("[aria-label=About]")).toContain("not a sample of the world");
    expect(text("[aria-label=About] .cl-formula")).toBe("D = Σ");
    expect(text(".cl-missing")).toContain("fc Linear: no filters");
    await act(() => store.set("layer", "fc"));
    expect(text(".cl-drifted")).toContain("Not compared: Linear: no filters.");
  });

  it("walks over the layers by keys, reads them out, and opens the filters", async () => {
    await open();
    await reply();
    const chart = el.querySelector(".cl-chart");
    await press(".cl-chart", "ArrowRight");
    expect(model.get("layer")).toBe("layer1.conv1");
    expect(chart?.getAttribute("aria-valuetext")).toContain("drift 0.400, noise up to 0.200");
    await press(".cl-chart", "End");
    expect(model.get("layer")).toBe("layer1.conv2");
    await press(".cl-chart", "Enter");
    expect(model.get("view")).toBe("filters");
  });

  it("opens the filters by its button", async () => {
    await open();
    await reply();
    await act(() => button("Open its filters").click());
    expect(model.get("view")).toBe("filters");
    expect(model.get("layer")).toBe("conv1");
  });

  it("tells the values along each pattern, by keys too", async () => {
    await open();
    await reply();
    const ridges = el.querySelector(".cl-ridges");
    expect(ridges?.getAttribute("aria-valuetext")).toBe("none chosen");
    await press(".cl-ridges", "ArrowDown");
    await press(".cl-ridges", "ArrowDown");
    const said = ridges?.getAttribute("aria-valuetext") ?? "";
    expect(said).toBe(
      "Pattern 2: 26.7 % of the drift, variance: summary 11.1 %, model 11.1 %, " +
        "density at 0.00:, summary 0.500, model 0.250, layer 0.250",
    );
    expect(text(".cl-ridges .cl-tip")).toContain("Pattern 2");
  });

  it("is compared with what is chosen; the old picture stands back meanwhile", async () => {
    await open({}, [{ name: "reference", title: "Other", asks: false }]);
    await reply();
    const [against, group] = el.querySelectorAll("select");
    await choose(group, "memorising");
    expect(model.last("drift").params).toEqual({ against: "shipped", group: "memorising" });
    expect(el.querySelector(".cl-past")).not.toBeNull();
    await choose(against, "reference");
    expect(model.get("drift_group")).toBe("all");
    expect(model.last("drift").params).toEqual({ against: "reference", group: "all" });
    await reply({ made: "5,000 filters" });
    expect(el.querySelector(".cl-past")).toBeNull();
    expect(text(".cl-made")).toBe("5,000 filters");
  });

  it("offers a large database, and again what was stopped", async () => {
    await open({ drift_against: "database" }, [{ name: "database", title: "all.h5", asks: true }]);
    expect(text(".cl-offer")).toContain("all.h5");
    expect(text(".cl-offer")).toContain("can take minutes");
    await act(() => button("Compare").click());
    expect(el.querySelector(".cl-offer")).toBeNull();
    await ends(model, "drift", "cancelled");
    expect(text(".cl-offer h4")).toBe("Stopped");
    await act(() => button("Compare").click());
    expect(model.count("drift")).toBe(2);
  });

  it("keeps its picture when the next one fails, says why, and tries again", async () => {
    await open();
    await reply();
    await act(() => store.set("drift_group", "depth"));
    await ends(model, "drift", "error", { message: "The file is gone.", details: "" });
    expect(text("[role=alert]")).toContain("The file is gone.");
    expect(el.querySelector(".cl-tracks")).not.toBeNull();
    await act(() => button(" Try again").click());
    expect(model.count("drift")).toBe(3);
  });

  it("lists the layers where there is nothing to compare", async () => {
    await open();
    await act(async () => {
      const { id, params } = model.last("drift");
      const missing = [["fc", "Linear: no filters"]];
      const about = "No layer here has filters of 3 × 3 to compare.";
      model.reply(id, { ...params, revision: 0, rows: [], groups: [], about, missing });
      await settle();
    });
    expect(text(".cl-empty")).toContain("No layer here has filters of 3 × 3");
    expect(text(".cl-empty")).toContain("fc Linear: no filters");
    expect(store.picture.value).toBeNull();
  });

  it("has its controls off when the kernel is gone, and its picture stays", async () => {
    await open();
    await reply();
    await act(() => model.set("closed", true));
    expect([...el.querySelectorAll("select")].every((select) => select.disabled)).toBe(true);
    expect(el.querySelector(".cl-tracks")).not.toBeNull();
  });

  it("draws all of it for a PNG", async () => {
    await open();
    await reply();
    const calls: string[] = [];
    vi.stubGlobal(
      "ImageData",
      class {
        data: Uint8ClampedArray;
        constructor(width: number, height: number) {
          this.data = new Uint8ClampedArray(4 * width * height);
        }
      },
    );
    const context = new Proxy({} as Record<string, unknown>, {
      get: (known, name: string) => {
        if (name === "measureText") return (words: string) => ({ width: 6 * words.length });
        if (name === "fillText") return (words: string) => calls.push(words);
        return known[name] ?? vi.fn();
      },
      set: (known, name: string, value) => {
        known[name] = value;
        return true;
      },
    });
    store.colors.value = new Proxy({}, { get: () => "#888888" }) as never;
    const found = store.drifting.asking.value.value;
    if (!found) throw new Error("nothing was measured");
    driftPicture(store, found).draw(context as never);
    expect(calls).toContain("Drift from all layers");
    expect(calls).toContain("of drift");
    expect(calls.join(" ")).toContain("less diverse than 93%");
    expect(calls.join(" ")).toContain("not a sample of the world");
  });
});
