import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Store } from "../src/state";
import { DistributionPanel } from "../src/views/distribution";
import { FakeModel, layer, openStore, row, settle } from "./fake";
import { closePage, openPage } from "./page";

const LAYERS = [layer("a"), layer("b"), layer("lazy", { shape: [], reason: "lazy" })];

let el: HTMLElement;
let model: FakeModel;
let store: Store;

beforeEach(async () => {
  el = openPage();
  const rows = [row("a"), row("b", { sparsity: 7 / 256 })];
  model = new FakeModel(LAYERS, { _summary: { eps: 0.01, revision: 0, rows } });
  store = openStore(model);
  await act(() => render(<DistributionPanel store={store} />, el));
});
afterEach(() => closePage(el, store));

const panel = () => el.querySelector(".cl-histograms") as HTMLElement;
const skeletons = () => el.querySelectorAll(".cl-skeleton").length;
const label = () => el.querySelectorAll("canvas")[1]?.getAttribute("aria-label");

async function answer(key: string): Promise<void> {
  const spec = (name: string) => ({ name, dtype: "uint32", shape: [2] });
  const header = {
    ...{ layer: key, low: -1, high: 1, peak_low: -4, peak_high: 0, n: 256 },
    arrays: [spec("weights"), spec("peaks")],
  };
  await act(async () => {
    model.reply(model.last("distribution").id, header, [
      new Uint32Array([1, 3]),
      new Uint32Array([2, 2]),
    ]);
    await settle();
  });
}

it("is a skeleton until there is something to draw", async () => {
  expect(skeletons()).toBe(2);
  expect(panel().ariaBusy ?? panel().getAttribute("aria-busy")).toBe("true");
  await answer("a");
  expect(skeletons()).toBe(0);
  expect(panel().getAttribute("aria-busy")).toBe("false");
  expect(label()).toBe("32 of 256 filters are sparse");
});

it("keeps the last layer's, with its own figures, until the next one's are there", async () => {
  await answer("a");
  const canvas = el.querySelector("canvas");
  await act(() => store.select("b"));
  expect(panel().getAttribute("aria-busy")).toBe("true");
  expect(label()).toBe("32 of 256 filters are sparse");
  await answer("b");
  expect(panel().getAttribute("aria-busy")).toBe("false");
  expect(label()).toBe("7 of 256 filters are sparse");
  expect(el.querySelector("canvas")).toBe(canvas);
});

it("is a skeleton again where the answer takes long", async () => {
  await answer("a");
  await act(() => store.select("b"));
  await vi.waitFor(() => expect(skeletons()).toBe(2));
  await answer("b");
  expect(label()).toBe("7 of 256 filters are sparse");
  await act(() => store.select("lazy"));
  expect(el.textContent).toContain("No weights to draw: lazy.");
});
