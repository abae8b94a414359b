import { useLayoutEffect, useRef } from "preact/hooks";
import type { View } from "./protocol";
import type { Store, ViewProps } from "./state";
import { VIEWS } from "./views";

export const tabId = (store: Store, view: View): string => `${store.client.name}-tab-${view}`;
export const panelId = (store: Store): string => `${store.client.name}-panel`;

/** CSS pixels of a tab's neighbour that stay in sight, to go on to. */
const BESIDE = 40;

export function Tabs({ store }: ViewProps) {
  const list = useRef<HTMLDivElement>(null);
  const current = store.traits.view.value;

  useLayoutEffect(() => {
    const box = list.current as HTMLDivElement;
    // by hand: the browser would scroll the page around it too
    const observer = new ResizeObserver(() => {
      const tab = box.querySelector('[aria-selected="true"]') as HTMLElement;
      const from = tab.offsetLeft - BESIDE;
      const over = tab.offsetLeft + tab.offsetWidth + BESIDE - box.clientWidth;
      box.scrollLeft = Math.min(from, Math.max(over, box.scrollLeft));
    });
    observer.observe(box);
    return () => observer.disconnect();
  }, [current]);

  const move = (event: KeyboardEvent) => {
    const at = VIEWS.findIndex(({ id }) => id === current);
    const last = VIEWS.length - 1;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const index = (to + VIEWS.length) % VIEWS.length;
    store.set("view", (VIEWS[index] as (typeof VIEWS)[number]).id);
    (list.current?.children[index] as HTMLElement | undefined)?.focus();
  };

  return (
    <div class="cl-tabs" role="tablist" aria-label="Views" ref={list} onKeyDown={move}>
      {VIEWS.map(({ id, label }) => (
        <button
          key={id}
          type="button"
          role="tab"
          id={tabId(store, id)}
          aria-selected={id === current}
          aria-controls={panelId(store)}
          tabIndex={id === current ? 0 : -1}
          onClick={() => store.set("view", id)}
        >
          {label}
        </button>
      ))}
    </div>
  );
}
