import { Field } from "../field";
import type { Compared, LayerSet, Measure } from "../protocol";
import { Segments } from "../segments";
import type { ViewProps } from "../state";
import { batchesInWords } from "./words";

/** What is compared, how, and how far it is. */
export function Controls({ store }: ViewProps) {
  const offered = store.kernel._structure.value.similarity;
  const { measure, comparison, layer_set } = store.traits;
  if (!offered) return null;
  const fixed = store.lost.value !== "";
  return (
    <div class="cl-tools cl-compare">
      <select
        class="cl-measures"
        value={measure.value}
        disabled={fixed}
        aria-label="Measure"
        onChange={(event) => store.comparing.use(event.currentTarget.value)}
      >
        <Measures title="1 = same" measures={offered.measures} identical={1} />
        <Measures title="0 = same" measures={offered.measures} identical={0} />
      </select>
      {store.comparing.measure.value?.parameters.map((parameter) => (
        <Field
          key={parameter.name}
          parameter={parameter}
          value={store.traits.measure_settings.value[parameter.name] ?? parameter.default}
          set={(value) => store.comparing.set(parameter.name, value)}
        />
      ))}
      <select
        value={layer_set.value}
        disabled={fixed}
        aria-label="Layers"
        onChange={(event) => store.set("layer_set", event.currentTarget.value as LayerSet)}
      >
        {offered.layer_sets.map(({ name, title }) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      {offered.comparisons.length > 1 && (
        <Segments
          label="Compared with"
          options={offered.comparisons.map(({ name, title }) => ({ id: name, label: title }))}
          value={comparison.value}
          disabled={fixed}
          choose={(name: Compared) => store.set("comparison", name)}
        />
      )}
      <span class="cl-space" />
      <Progress store={store} />
    </div>
  );
}

interface MeasuresProps {
  title: string;
  measures: readonly Measure[];
  identical: number;
}

function Measures({ title, measures, identical }: MeasuresProps) {
  return (
    <optgroup label={title}>
      {measures
        .filter((measure) => measure.identical === identical)
        .map((measure) => (
          <option key={measure.name} value={measure.name}>
            {measure.title}
          </option>
        ))}
    </optgroup>
  );
}

/** How far it is, and the button that goes on with it or does it again. */
function Progress({ store }: ViewProps) {
  const { comparing } = store;
  const found = comparing.value.value;
  const live = store.live.value;
  const current = comparing.current.value;
  const changed = found?.revision !== store.kernel.revision.value;
  if (comparing.running.value) {
    const words = found && current ? batchesInWords(found) : "starting …";
    return (
      <span class="cl-hint" role="status">
        {words}
      </span>
    );
  }
  if (!found || comparing.problem.value) return null;
  const stopped = comparing.stopped.value;
  if (current && !stopped) return null;
  return (
    <>
      <span class="cl-hint cl-brief" role="status">
        {current
          ? `stopped after ${batchesInWords(found)}`
          : changed
            ? "weights changed since"
            : "of what was chosen before"}
      </span>
      {live && (
        <button type="button" class="cl-button cl-primary" onClick={() => comparing.run()}>
          {current ? "Resume" : "Compare"}
        </button>
      )}
    </>
  );
}
