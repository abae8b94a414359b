// How often the rail draws its lines anew.
import { signal } from "@preact/signals";
import { options, render, type VNode } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Rail } from "../src/rail";
import type { Store } from "../src/state";
import { FakeModel, layer, openStore, row, settle, structure } from "./fake";
import { closePage, openPage } from "./page";

const LAYERS = Array.from({ length: 40 }, (_, index) => layer(`l${index}`));
const REFERENCE = { title: "int8", parameters: 1 };
const PAIRED = { pairs: [], alone: [], rows: LAYERS.map(({ key }) => row(key)) };

/** What Preact calls before a component renders, by the name that its builds give it. */
const hooks = options as typeof options & { __r?: (vnode: VNode) => void };

let el: HTMLElement;
let store: Store;
let stop: () => void;
let renders: number;

beforeEach(() => {
  el = openPage();
  const before = hooks.__r;
  renders = 0;
  hooks.__r = (vnode) => {
    if (typeof vnode.type === "function" && vnode.type.name === "Figures") renders++;
    before?.(vnode);
  };
  stop = () => {
    hooks.__r = before as typeof before & object;
  };
});
afterEach(async () => {
  stop();
  await closePage(el, store);
});

describe.each([
  ["alone", {}],
  [
    "beside a reference",
    { _structure: { ...structure(LAYERS), reference: REFERENCE }, _paired: PAIRED },
  ],
])("a model %s", (_, more) => {
  it("has a line drawn anew only where its own figures come", async () => {
    const model = new FakeModel(LAYERS, more);
    store = openStore(model);
    await act(() => render(<Rail store={store} open={signal(true)} />, el));
    expect(renders).toBe(LAYERS.length);
    expect(el.querySelectorAll(".cl-wait").length).toBe(2 * LAYERS.length);
    const { id } = model.last("quality");
    const each = [];
    for (const [done, { key }] of LAYERS.entries()) {
      renders = 0;
      await act(async () => {
        const header = { done, total: LAYERS.length, label: key, rows: [row(key)] };
        model.reply(id, header, [], "progress");
        await settle();
      });
      each.push(renders);
    }
    // with the first one the scale of all is known
    expect(each.slice(1)).toEqual(LAYERS.slice(1).map(() => 1));
    expect(el.querySelectorAll(".cl-wait").length).toBe(0);
  });
});
