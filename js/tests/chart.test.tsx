// A chart on a page that has a size, which jsdom's has not.
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { LayerChart } from "../src/chart";
import type { Store } from "../src/state";
import { FakeModel, layer, openStore } from "./fake";
import { closePage, openPage } from "./page";

let el: HTMLElement;
let store: Store;

beforeEach(() => {
  el = openPage();
  const context = { setTransform() {}, clearRect() {} } as unknown as CanvasRenderingContext2D;
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(context as never);
  vi.spyOn(Element.prototype, "clientWidth", "get").mockReturnValue(200);
  vi.spyOn(Element.prototype, "clientHeight", "get").mockReturnValue(100);
});
afterEach(async () => {
  await closePage(el, store);
  vi.restoreAllMocks();
});

it("is rendered and drawn once for what is pointed at, and only drawn for other colours", async () => {
  store = openStore(new FakeModel([layer("a"), layer("b")]));
  store.colors.value = {} as never;
  const words = vi.fn((index: number) => (index < 0 ? [] : [`layer ${index}`]));
  const draw = vi.fn();
  const chart = (
    <LayerChart
      store={store}
      label="Chart"
      layers={["a", "b"]}
      place={0}
      words={words}
      draw={draw}
      layout={() => ({ left: 0, right: 200, step: 100, tip: 0 })}
    />
  );
  await act(() => render(chart, el));
  for (const [x, index] of [
    [50, 0],
    [150, 1],
    [160, 1],
  ] as const) {
    words.mockClear();
    draw.mockClear();
    await act(() => {
      const event = new MouseEvent("pointermove", { bubbles: true });
      Object.defineProperty(event, "offsetX", { value: x });
      el.querySelector(".cl-chart")?.dispatchEvent(event);
    });
    expect(el.querySelector(".cl-tip")?.textContent).toBe(`layer ${index}`);
    const times = x === 160 ? 0 : 1;
    expect(draw).toHaveBeenCalledTimes(times);
    // the words of the chosen layer, and of the one that is pointed at
    expect(words).toHaveBeenCalledTimes(2 * times);
  }
  draw.mockClear();
  await act(() => {
    store.colors.value = {} as never;
  });
  expect(draw).toHaveBeenCalledTimes(1);
  expect(words).not.toHaveBeenCalled();
});
