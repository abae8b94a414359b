import { useLayoutEffect, useMemo } from "preact/hooks";
import { Cards } from "../cards";
import { count } from "../format";
import { ProblemNotice } from "../notices";
import { MeasureCard, PairCard, Spoken } from "../similarity/cards";
import { Controls } from "../similarity/controls";
import { Diagonal } from "../similarity/diagonal";
import { Heatmap, Legend } from "../similarity/heatmap";
import { SimilarityModel } from "../similarity/model";
import { similarityPicture } from "../similarity/picture";
import { StartButton } from "../start";
import type { ViewProps } from "../state";
import { Steering } from "../steering";
import "../css/similarity.css";

export function SimilarityView({ store }: ViewProps) {
  const [model, steering] = useMemo(() => {
    const made = new SimilarityModel(store);
    return [made, new Steering(made.limits)] as const;
  }, [store]);
  const { comparing } = store;
  const found = comparing.value.value;
  const drawn = found !== null;
  useLayoutEffect(() => {
    store.picture.value = drawn ? () => similarityPicture(store, model, steering) : null;
    return () => {
      store.picture.value = null;
    };
  }, [store, model, steering, drawn]);

  if (!store.kernel._structure.value.similarity) return <NoInputs store={store} />;
  const problem = comparing.problem.value;
  const useful = model.useful.value;
  const wide = model.shape.value === "diagonal" || !Number.isFinite(useful);
  return (
    <div class="cl-filters cl-similarity">
      <Controls store={store} />
      {problem && <ProblemNotice store={store} problem={problem} retry={() => comparing.run()} />}
      {found ? (
        <div class={`cl-filters-body${comparing.current.value ? "" : " cl-past"}`}>
          <div
            class="cl-stage"
            style={{
              maxWidth: wide ? "none" : `${useful}px`,
              "--cl-tall": `${model.tall.value}px`,
            }}
          >
            {model.shape.value === "diagonal" ? (
              <Diagonal store={store} model={model} />
            ) : (
              <Heatmap store={store} model={model} steering={steering} />
            )}
            <Legend store={store} model={model} steering={steering} />
          </div>
          <Cards>
            <PairCard store={store} model={model} />
            <MeasureCard store={store} />
          </Cards>
          <Spoken store={store} model={model} />
        </div>
      ) : (
        <div class="cl-filters-body" aria-busy={comparing.running.value}>
          <div class="cl-stage cl-grid">
            <Offer store={store} />
          </div>
          <Cards>
            <MeasureCard store={store} />
          </Cards>
        </div>
      )}
    </div>
  );
}

/** What will run, before anything has: the first run is asked for by a person. */
function Offer({ store }: ViewProps) {
  const { comparing, traits } = store;
  const { model, similarity } = store.kernel._structure.value;
  const compared = similarity?.comparisons.find(({ name }) => name === traits.comparison.value);
  const layers = similarity?.layer_sets.find(({ name }) => name === traits.layer_set.value);
  if (comparing.running.value) {
    return (
      <section class="cl-card" aria-label="Comparison">
        <h4>Running</h4>
        <p role="status">The first batch fills the picture.</p>
      </section>
    );
  }
  const inputs =
    model.inputs === null ? "the inputs of this Lens" : `${count(model.inputs)} inputs`;
  return (
    <section class="cl-card cl-offer" aria-label="Comparison">
      <h4>
        {compared?.row} {compared?.title}
      </h4>
      <p>
        Every layer with every other: {layers?.title}, on {inputs}. The picture fills in batch by
        batch, and can be stopped.
      </p>
      <StartButton store={store} label="Compare" run={() => comparing.run()} />
    </section>
  );
}

function NoInputs({ store }: ViewProps) {
  const { title } = store.kernel._structure.value.model;
  return (
    <div class="cl-empty cl-no-inputs">
      <p>Similarity needs inputs</p>
      <p>
        Layers are compared by what they make of the same inputs. Give the Lens of {title} a batch
        or a loader:
      </p>
      <code>cl.Lens(model, inputs=images)</code>
      <p>With another model beside it, or other data:</p>
      <code>cl.Lens(model, inputs=loader, reference=other)</code>
      <code>cl.Lens(model, inputs=images, reference_inputs=shifted)</code>
    </div>
  );
}
