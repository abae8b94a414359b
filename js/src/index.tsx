// The entry: anywidget calls `render` once for each view of the widget, an offline page `mount`.
// First: a view brings a style sheet of its own, which builds on these.
import "./css/index.css";
import { signal } from "@preact/signals";
import { render as draw } from "preact";
import { App } from "./app";
import { Store } from "./state";
import { detectTheme, watchTheme } from "./theme";
import {
  type Recording,
  recordedModel,
  recordedTransport,
  type Transport,
  type WidgetModel,
  widgetTransport,
} from "./transport";

function show(model: WidgetModel, transport: Transport, element: HTMLElement): () => void {
  const theme = signal(detectTheme(element));
  const store = new Store(model, transport, theme);
  const unwatch = watchTheme(element, (found) => {
    theme.value = found;
  });
  draw(<App store={store} />, element);
  store.start();
  return () => {
    unwatch();
    store.dispose();
    draw(null, element);
  };
}

function render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  return show(model, widgetTransport(model), el);
}

/** Shows a recording in `element`, with no kernel: what the page of `Lens.to_html` calls. */
export function mount(element: HTMLElement, recording: Recording): () => void {
  return show(recordedModel(recording), recordedTransport(recording), element);
}

export default { render };
