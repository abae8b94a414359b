import { useLayoutEffect, useMemo } from "preact/hooks";
import { Controls } from "../features/controls";
import { ExcitingPanel } from "../features/exciting";
import { MapsPanel } from "../features/maps";
import { FeaturesModel } from "../features/model";
import { Page } from "../features/page";
import { featuresPicture } from "../features/picture";
import { SynthesisedPanel } from "../features/synthesised";
import { outputName } from "../features/words";
import { ProblemNotice } from "../notices";
import type { ViewProps } from "../state";
import "../css/features.css";

export function FeaturesView({ store }: ViewProps) {
  const model = useMemo(() => new FeaturesModel(), [store]);
  const { maximising } = store;
  const channel = store.traits.channel.value;
  const channels = maximising.channels.value;
  const drawn = maximising.feature.value.value !== null || maximising.tiles.value.size > 0;
  useLayoutEffect(() => {
    store.picture.value = drawn ? () => featuresPicture(store, model) : null;
    return () => {
      store.picture.value = null;
    };
  }, [store, model, drawn]);

  if (channels === 0) {
    return (
      <div class="cl-empty">
        <p>No channels to draw</p>
        <p>
          This layer has not said yet how many outputs it has: run the model once, then refresh.
        </p>
      </div>
    );
  }
  const problem = maximising.feature.problem.value;
  const { searches } = store.kernel._structure.value.features;
  const two = store.kernel._structure.value.reference !== null;
  return (
    <div class={two ? "cl-features cl-two" : "cl-features"}>
      <Controls store={store} />
      {problem && searches && store.live.value && (
        <ProblemNotice
          store={store}
          problem={problem}
          retry={store.live.value ? () => maximising.synthesise() : undefined}
        />
      )}
      {channel === null ? (
        <Choose store={store} />
      ) : (
        <div class="cl-answers">
          <SynthesisedPanel store={store} />
          {searches ? (
            <>
              <ExcitingPanel store={store} model={model} />
              <MapsPanel store={store} model={model} />
            </>
          ) : (
            <NoInputs store={store} />
          )}
        </div>
      )}
      <Page store={store} />
    </div>
  );
}

/** Nothing is chosen yet. */
function Choose({ store }: ViewProps) {
  const name = outputName(store.layer.value);
  return (
    <section class="cl-card cl-choose" aria-label="Nothing chosen">
      <h4>What does each {name} look for?</h4>
      <p>
        Choose one below: its picture is synthesised while you watch, beside the inputs that excite
        it most and where on them it fires. Or draw all of them.
      </p>
    </section>
  );
}

function NoInputs({ store }: ViewProps) {
  const name = outputName(store.layer.value);
  const notes = store.maximising.feature.value.value?.notes ?? [];
  return (
    <section class="cl-card cl-wanting" aria-label="Inputs wanted">
      <h4>With inputs, two more answers</h4>
      <p>
        The inputs that excite this {name} most, and where on each it fires. Give the Lens a batch
        or a loader:
      </p>
      <code>cl.Lens(model, inputs=images)</code>
      {notes.length > 0 && <p class="cl-note-line">Until then: {notes.join("; ")}.</p>}
    </section>
  );
}
