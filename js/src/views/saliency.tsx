import { useLayoutEffect, useRef } from "preact/hooks";
import { Cards } from "../saliency/cards";
import { Controls } from "../saliency/controls";
import { Figures } from "../saliency/figures";
import { modelOf } from "../saliency/model";
import { saliencyPicture } from "../saliency/picture";
import type { ViewProps } from "../state";
import { Strip, useDrop } from "../strip/strip";
import "../css/saliency.css";

export function SaliencyView({ store }: ViewProps) {
  const root = useRef<HTMLDivElement>(null);
  const model = modelOf(store);
  const drawn = model.figures.value.some(({ map }) => map);
  const { over, events } = useDrop(store);
  useLayoutEffect(() => {
    const view = root.current;
    store.picture.value = drawn && view ? () => saliencyPicture(store, view) : null;
    return () => {
      store.picture.value = null;
    };
  }, [store, drawn]);
  if (!store.inputs.there.value) return <NoInputs store={store} />;
  // what cannot be drawn as pictures has no strip and no maps
  const nothing = store.inputs.rows.value === null && store.inputs.problem.value !== null;
  return (
    <div ref={root} class={`cl-filters cl-saliency${over ? " cl-drop-over" : ""}`} {...events}>
      {!nothing && <Controls store={store} />}
      <Strip store={store} />
      {!nothing && (
        <Figures store={store}>
          <Cards store={store} />
        </Figures>
      )}
      {over && <p class="cl-drop-here">Drop an image to have it explained</p>}
    </div>
  );
}

function NoInputs({ store }: ViewProps) {
  const { title } = store.kernel._structure.value.model;
  return (
    <div class="cl-empty cl-no-inputs">
      <p>Saliency needs inputs</p>
      <p>
        A map shows which parts of an input the prediction of {title} rests on. Give the Lens a
        batch of images or a loader; with labels and names it tells right from wrong:
      </p>
      <code>cl.Lens(model, inputs=images)</code>
      <code>cl.Lens(model, inputs=images, labels=y, classes=names)</code>
      <p>Images of your own can then be dropped on this view.</p>
    </div>
  );
}
