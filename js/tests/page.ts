// A page for the tests of views: what jsdom lacks, and an element to draw in.
import { render } from "preact";
import { act } from "preact/test-utils";
import { vi } from "vitest";
import type { Store } from "../src/state";
import { type FakeModel, settle } from "./fake";

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

/** Ends the newest request of a kind as the kernel does: stopped, or failed with a message. */
export const ends = (
  model: FakeModel,
  kind: string,
  status: "cancelled" | "error",
  header: { message?: string; details?: string } = {},
): Promise<void> =>
  act(async () => {
    model.reply(model.last(kind).id, header, [], status);
    await settle();
  });

export async function closePage(el: HTMLElement, store: Store): Promise<void> {
  await act(() => render(null, el));
  store.dispose();
  el.remove();
  vi.unstubAllGlobals();
}
