// A page for the tests of views: what jsdom lacks, and an element to draw in.
import { render } from "preact";
import { act } from "preact/test-utils";
import { vi } from "vitest";
import type { Store } from "../src/state";

export function openPage(): HTMLElement {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  vi.stubGlobal("matchMedia", () => ({ matches: true }));
  HTMLCanvasElement.prototype.getContext = () => null;
  const el = document.createElement("div");
  document.body.append(el);
  return el;
}

export async function closePage(el: HTMLElement, store: Store): Promise<void> {
  await act(() => render(null, el));
  store.dispose();
  el.remove();
  vi.unstubAllGlobals();
}
