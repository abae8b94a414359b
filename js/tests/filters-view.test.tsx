import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { LayerInfo } from "../src/protocol";
import type { Store } from "../src/state";
import { FiltersView } from "../src/views/filters";
import { FakeModel, layer, openStore, row } from "./fake";
import { closePage, ends, openPage } from "./page";
import { normal } from "./random";

const LAYERS = [
  layer("a", { shape: [4, 3, 3, 3] }),
  layer("b", { shape: [2, 5] }),
  layer("lazy", { shape: [], reason: "lazy: not initialised yet" }),
];

let el: HTMLElement;
let model: FakeModel;
let store: Store;

const text = (selector: string) => el.querySelector(selector)?.textContent ?? "";
const button = (name: string) => {
  const found = [...el.querySelectorAll("button")].find((each) => each.textContent === name);
  if (!found) throw new Error(`no button ${name}`);
  return found;
};

async function open(more: Record<string, unknown> = {}, layers: LayerInfo[] = LAYERS) {
  const rows = layers.filter(({ reason }) => reason === null).map(({ key }) => row(key));
  model = new FakeModel(layers, {
    view: "filters",
    _summary: { eps: 0.01, revision: 0, rows },
    ...more,
  });
  store = openStore(model);
  await act(() => render(<FiltersView store={store} />, el));
}

/** Answers the newest request for filters as the kernel does. */
async function answer(key: string, weights: Float32Array, kernel = [3, 3]) {
  const shape = LAYERS.find((known) => known.key === key)?.shape ?? [];
  const taps = kernel.reduce((product, side) => product * side, 1);
  const finite = weights.filter(Number.isFinite);
  const max_abs = finite.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
  const [out = 0, inputs = 0] = shape;
  const basis = Float32Array.from({ length: taps }, (_, i) => i - 4);
  const spec = (name: string, ...sides: number[]) => ({ name, dtype: "float32", shape: sides });
  const arrays = [
    spec("weights", out, inputs, taps),
    spec("eigenimages", 1, taps),
    spec("explained", 1),
    spec("mean", taps),
  ];
  const header = {
    layer: key,
    start: 0,
    stop: out,
    page: out,
    out,
    inputs,
    kernel,
    max_abs,
    arrays,
  };
  const buffers = [weights, basis, Float32Array.of(1), basis].map((array) => array.slice().buffer);
  await act(async () => {
    model.reply(model.last("filters").id, header, buffers);
    await new Promise((resolve) => setTimeout(resolve, 0));
  });
}

beforeEach(() => {
  el = openPage();
});
afterEach(() => closePage(el, store));

describe("the Filters view", () => {
  it("shows a skeleton until the filters come, then the gallery and its cards", async () => {
    await open();
    expect(el.querySelector("[aria-busy=true] .cl-skeleton")).not.toBeNull();
    const weights = normal(1, 4 * 3 * 9).map((w) => w / 10);
    weights.set([0, 0, 0, 0, 1.25, 0, 0, 0, 0], 7 * 9);
    await answer("a", weights);
    expect(el.querySelector(".cl-skeleton")).toBeNull();
    expect(el.querySelector("canvas[role=img]")?.getAttribute("aria-label")).toContain(
      "12 filters",
    );
    // the filter with the largest weight is in the card until one is pointed at
    expect(text(".cl-filter h4")).toContain("out 2, in 1");
    expect(text(".cl-filter dl")).toBe("norm1.25largest1.25entropy0.00");
    expect([...el.querySelectorAll(".cl-values td")].map((cell) => cell.textContent)[4]).toBe(
      "1.25",
    );
    expect(text(".cl-basis")).toContain("100 %");
  });

  it("says why a layer has no filters", async () => {
    await open({ layer: "lazy" });
    expect(text(".cl-empty")).toContain("lazy: not initialised yet");
    expect(model.count("filters")).toBe(0);
  });

  it("says what failed and asks again", async () => {
    await open();
    await ends(model, "filters", "error", { message: "It broke.", details: "here" });
    expect(text("[role=alert]")).toContain("It broke.");
    await act(() => button(" Try again").click());
    expect(model.count("filters")).toBe(2);
  });

  it("counts what is sparse, dead and broken, live with eps", async () => {
    await open();
    const weights = new Float32Array(4 * 3 * 9).fill(1);
    for (let out = 0; out < 4; out++) weights.fill(0.05, (out * 3 + 1) * 9, (out * 3 + 2) * 9);
    weights[0] = Number.NaN;
    await answer("a", weights);
    expect(text(".cl-note")).toContain("1 filter holds NaN");
    expect(text(".cl-note")).toContain("No filter is sparse");
    await act(() => store.preview("eps", 0.1));
    expect(text(".cl-note")).toContain("4 of 12 filters are sparse");
    expect(text(".cl-note")).toContain("Input 1 is ignored by every output.");
  });

  it("keeps the last layer in view, marked as such, until the next one comes", async () => {
    await open();
    await answer("a", new Float32Array(108).fill(1));
    await act(() => store.select("b"));
    expect(el.querySelector(".cl-gallery")?.getAttribute("aria-busy")).toBe("true");
    await vi.waitFor(() => expect(el.querySelector(".cl-past")).not.toBeNull());
    expect(text(".cl-tools")).toContain("loading");
    await answer("b", Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, -10), []);
    expect(el.querySelector(".cl-past")).toBeNull();
    expect(text(".cl-filter h4")).toContain("out 1, in 4");
    expect(text(".cl-values")).toBe("−10.0");
    expect(el.querySelector(".cl-basis")).toBeNull();
  });

  it("changes nothing that an answer at once would change again", async () => {
    await open();
    await answer("a", new Float32Array(108).fill(1));
    const before = el.innerHTML;
    vi.useFakeTimers();
    try {
      await act(() => store.select("b"));
      await act(() => void vi.advanceTimersByTime(50));
      const busy = el.innerHTML.replace('aria-busy="true"', 'aria-busy="false"');
      expect(busy).toBe(before);
    } finally {
      vi.useRealTimers();
    }
  });

  it("chooses filters by keys, tells Python the output, and lets go", async () => {
    await open();
    await answer("a", normal(4, 108));
    const gallery = el.querySelector(".cl-gallery") as HTMLElement;
    const press = (key: string, shiftKey = false) =>
      act(() => {
        const event = new KeyboardEvent("keydown", {
          key,
          shiftKey,
          bubbles: true,
          cancelable: true,
        });
        gallery.dispatchEvent(event);
        expect(event.defaultPrevented).toBe(true);
      });
    store.colors.value = {} as never;
    expect(gallery.tabIndex).toBe(0);
    await press("Enter");
    const first = text(".cl-filter h4");
    expect(first).toContain("pinned");
    const [, out = ""] = /out (\d+)/.exec(first) ?? [];
    expect(model.get("channel")).toBe(Number(out));
    await press(out === "3" ? "ArrowUp" : "ArrowDown", true);
    expect(model.get("channel")).toBe(Number(out) + (out === "3" ? -1 : 1));
    await press("Escape");
    expect(model.get("channel")).toBeNull();
    expect(text(".cl-filter h4")).not.toContain("pinned");
  });

  it("sets order and scale, and asks for clusters only when they are wanted", async () => {
    await open();
    await answer("a", normal(4, 108));
    expect(model.count("cluster")).toBe(0);
    await act(() => button("filter").click());
    await act(() => button("cluster").click());
    expect([model.get("scale"), model.get("sort")]).toEqual(["filter", "cluster"]);
    expect(model.count("cluster")).toBe(1);
    expect(text(".cl-tools")).toContain("finding clusters");
    await act(async () => {
      const arrays = [{ name: "labels", dtype: "uint8", shape: [12] }];
      const labels = Uint8Array.from({ length: 12 }, (_, i) => i % 3);
      model.reply(model.last("cluster").id, { layer: "a", start: 0, k: 3, arrays }, [
        labels.buffer,
      ]);
      await new Promise((resolve) => setTimeout(resolve, 0));
    });
    expect(text(".cl-filter dl")).toMatch(/cluster[123]/);
  });

  it("offers a picture while it is open", async () => {
    await open();
    await answer("a", normal(4, 108));
    expect(store.picture.value?.().width).toBeGreaterThan(0);
    await act(() => render(null, el));
    expect(store.picture.value).toBeNull();
  });
});
