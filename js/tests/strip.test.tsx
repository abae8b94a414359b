// What the strip counts of inputs.
import { render } from "preact";
import { act } from "preact/test-utils";
import { describe, expect, it } from "vitest";
import type { Input } from "../src/inputs";
import { countsOf, Strip } from "../src/strip/strip";
import { FakeModel, openStore, settle, structure } from "./fake";
import { closePage, ends, openPage } from "./page";

const input = (label: number, predicted: number, other: number | null = null): Input => ({
  index: 0,
  label,
  predicted,
  probability: 1,
  other,
  name: "",
  picture: { bytes: new Uint8Array(3), height: 1, width: 1 },
});

describe("countsOf", () => {
  it("counts what is wrong and what the reference takes for another class", () => {
    const items = [input(1, 1, 1), input(1, 2, 1), input(3, 3, 4)];
    expect(countsOf(items)).toEqual({ known: 3, wrong: 1, compared: 3, differ: 2 });
  });

  it("leaves out inputs that are not read yet, before one that is", () => {
    const items: Input[] = [];
    items[5] = input(1, 2);
    expect(countsOf(items)).toEqual({ known: 1, wrong: 1, compared: 0, differ: 0 });
  });
});

describe("the choice of inputs", () => {
  it("counts them all once the first have come", async () => {
    const el = openPage();
    const saliency = { methods: [], baselines: [], scales: [] };
    const _structure = { ...structure([]), saliency };
    const model = new FakeModel([], { view: "saliency", _structure });
    const store = openStore(model);
    const said = () => [...el.querySelectorAll("option")].map((option) => option.textContent);
    await act(() => render(<Strip store={store} />, el));
    expect(said()).toEqual(["all"]);
    await ends(model, "inputs", "error", { message: "The loader raised.", details: "" });
    expect(said()).toEqual(["all"]);
    store.inputs.retry();
    const specs = [
      { name: "thumbnails", dtype: "uint8", shape: [2, 1, 1, 3] },
      { name: "labels", dtype: "int32", shape: [2] },
    ];
    const header = { start: 0, stop: 2, total: 2, thumbnail: [1, 1], names: {}, mean: [0] };
    await act(async () => {
      model.reply(model.last("inputs").id, { ...header, arrays: specs }, [
        new Uint8Array(6).buffer,
        new Int32Array([1, -1]).buffer,
      ]);
      await settle();
    });
    expect(said()).toEqual(["all 2"]);
    await closePage(el, store);
  });
});
