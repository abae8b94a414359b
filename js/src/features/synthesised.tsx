import { Canvas } from "../canvas";
import { drawCurve, spanOf } from "../draw/curve";
import type { Feature } from "../maximising";
import type { Store, ViewProps } from "../state";
import { Pixels } from "./image";
import { featureInWords, level, outputName, stepsInWords } from "./words";

/** The input that was synthesised for the channel, with how far it came at each step. */
export function SynthesisedPanel({ store }: ViewProps) {
  const { maximising } = store;
  const feature = maximising.feature.value.value;
  const problem = maximising.feature.problem.value;
  const { searches } = store.kernel._structure.value.features;
  // perhaps only because nothing says how large an input is
  const asks = problem !== null && !searches && store.live.value;
  const saved = problem !== null && store.kernel._structure.value.offline;
  return (
    <section class="cl-answer" aria-label="Synthesised input">
      <h4>
        What it wants to see
        <span class="cl-hint">{feature ? "synthesised" : ""}</span>
      </h4>
      {asks ? (
        <AskSize store={store} reason={problem.message} />
      ) : saved ? (
        <p class="cl-say">It was not drawn before this page was saved.</p>
      ) : feature ? (
        <div class={maximising.current.feature.value ? "cl-rows" : "cl-rows cl-past"}>
          {feature.sides.map((side) => (
            <Side key={side.side} store={store} feature={feature} shown={side} />
          ))}
        </div>
      ) : (
        <Waiting store={store} busy={maximising.feature.running.value} />
      )}
    </section>
  );
}

interface SideProps extends ViewProps {
  feature: Feature;
  shown: Feature["sides"][number];
}

function Side({ store, feature, shown }: SideProps) {
  const { maximising } = store;
  const { side, title, reason, picture, extent, value, fires, why, curve } = shown;
  const two = feature.sides.length > 1;
  const average = outputName(store.layer.value) === "channel" ? "mean activation" : "activation";
  const label = featureInWords(feature, shown);
  return (
    <div class="cl-row">
      {picture.length ? (
        <figure class={fires === false ? "cl-square cl-never" : "cl-square"}>
          <Pixels bytes={picture} extent={extent} label={label} />
        </figure>
      ) : (
        <figure class="cl-square cl-none-here" role="img" aria-label={label} />
      )}
      <div class="cl-words">
        {two && <bdi class="cl-side-name">{title}</bdi>}
        {fires === false && <b class="cl-never-name">never fires</b>}
        {reason !== null || why !== null ? (
          <p>{reason ?? why?.replace(/^never fires: /, "")}</p>
        ) : (
          <>
            <p>
              <b class="cl-level">{level(value)}</b> {average}
            </p>
            <p>{stepsInWords(feature)}</p>
          </>
        )}
        {curve.length > 1 && (
          <Canvas
            store={store}
            class="cl-curve"
            role="img"
            aria-label={`Activation over ${curve.length} steps, up to ${level(value)}`}
            paint={(context, size, colors) => {
              // read here, so that it is drawn anew whenever there is more of it
              const { sides, length } = maximising.feature.value.value ?? feature;
              const values = sides.find((other) => other.side === side)?.curve ?? curve;
              const span = spanOf(sides.map((other) => other.curve));
              drawCurve(context, { values, steps: length, ...span }, size, colors);
            }}
          />
        )}
      </div>
    </div>
  );
}

function Waiting({ store, busy }: { store: Store; busy: boolean }) {
  const { reference } = store.kernel._structure.value;
  return (
    <div class="cl-rows" aria-busy={busy}>
      {(reference ? ["model", "reference"] : ["model"]).map((side) => (
        <div class="cl-row" key={side}>
          <figure class={busy ? "cl-square cl-skeleton" : "cl-square cl-none-here"} />
        </div>
      ))}
    </div>
  );
}

/** It failed, and nothing says how large an input is: ask. */
function AskSize({ store, reason }: ViewProps & { reason: string }) {
  const { sizes } = store.kernel._structure.value.features;
  const choose = (size: number) => store.set("feature_size", size);
  return (
    <form
      class="cl-ask"
      onSubmit={(event) => {
        event.preventDefault();
        const field = event.currentTarget.elements.namedItem("size") as HTMLInputElement;
        if (field.valueAsNumber >= 1) choose(Math.round(field.valueAsNumber));
      }}
    >
      <p role="alert">{reason}</p>
      <p>How large is an input of this model?</p>
      <div class="cl-sizes">
        {sizes.map((size) => (
          <button type="button" class="cl-button" key={size} onClick={() => choose(size)}>
            {size} × {size}
          </button>
        ))}
      </div>
      <label>
        other side{" "}
        <input
          type="number"
          name="size"
          min={1}
          max={2048}
          step={1}
          aria-label="Side of an input"
        />
        <button type="submit" class="cl-button">
          Use
        </button>
      </label>
    </form>
  );
}
