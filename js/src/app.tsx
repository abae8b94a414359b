import { useComputed, useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { readColors } from "./draw/colors";
import { Header } from "./header";
import { Help } from "./help";
import { Notices } from "./notices";
import { Rail, RailButton } from "./rail";
import { useFullScreen } from "./screen";
import type { ViewProps } from "./state";
import { Status } from "./status";
import { panelId, Tabs, tabId } from "./tabs";
import { VIEWS } from "./views";

const NARROW = 700;

export function App({ store }: ViewProps) {
  const root = useRef<HTMLElement>(null);
  const help = useSignal(false);
  const rail = useSignal(false);
  const screen = useFullScreen(root);
  const theme = store.theme.value;
  const narrow = store.narrow.value;
  const empty = useComputed(() => store.layers.value.length === 0).value;

  useLayoutEffect(() => {
    const element = root.current as HTMLElement;
    const measure = () => {
      store.narrow.value = element.clientWidth > 0 && element.clientWidth < NARROW;
      store.colors.value ??= readColors(element);
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [store]);

  useLayoutEffect(() => {
    store.colors.value = readColors(root.current as HTMLElement);
  }, [store, theme]);

  const keys = (event: KeyboardEvent) => {
    // The host has shortcuts of its own on plain keys ("d d" deletes a cell): none is for it here.
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    if (event.key === "?") help.value = !help.value;
    else if (event.key === "f") screen.toggle();
    else if (event.key === "/") focusSearch(root.current, () => (rail.value = true));
    else if (event.key === "Escape" && screen.overlay) screen.toggle();
    else return;
    event.preventDefault();
  };

  const entry = VIEWS.find(({ id }) => id === store.traits.view.value);
  const classes = ["convlens", theme === "dark" && "cl-dark", narrow && "cl-narrow"];
  if (screen.overlay) classes.push("cl-overlay");
  return (
    <section
      ref={root}
      class={classes.filter(Boolean).join(" ")}
      onKeyDown={keys}
      data-lm-suppress-shortcuts="true"
      aria-label={`Lens on ${store.kernel._structure.value.model.title}`}
    >
      <Header store={store} full={screen} help={help} />
      {empty ? (
        <div class="cl-empty">
          <p>This model has no layer with weights.</p>
          <p>
            There is nothing to score or to draw. Convolutions and linear layers are listed here.
          </p>
        </div>
      ) : (
        <>
          <Rail store={store} open={rail} />
          <main class="cl-main">
            {narrow && <RailButton store={store} open={rail} />}
            <Tabs store={store} />
            <Notices store={store} />
            <div
              class="cl-view"
              role="tabpanel"
              id={panelId(store)}
              aria-labelledby={tabId(store, store.traits.view.value)}
            >
              {entry && <entry.View store={store} />}
            </div>
          </main>
          <Status store={store} />
        </>
      )}
      {help.value && <Help close={() => (help.value = false)} />}
      <div class="cl-toast" role="status" aria-live="polite">
        {store.toast.value && <span>{store.toast.value}</span>}
      </div>
    </section>
  );
}

function isTyping({ target }: KeyboardEvent): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.matches("textarea, select, input:not([type=range])");
}

function focusSearch(root: HTMLElement | null, unfold: () => void): void {
  unfold();
  requestAnimationFrame(() => root?.querySelector<HTMLInputElement>(".cl-search")?.focus());
}
