import { count } from "../format";
import type { ViewProps } from "../state";
import { classOf, nameOfInput, outputName, stepsInWords } from "./words";

interface NumberProps {
  label: string;
  title: string;
  /** null: `usual`, which an emptied field stands for. */
  value: number | null;
  usual?: string;
  low: number;
  high: number;
  disabled?: boolean;
  set: (value: number | null) => void;
}

/** A whole number; what cannot be is not taken. */
function Whole({ label, title, value, usual, low, high, disabled, set }: NumberProps) {
  return (
    <label class="cl-choice" title={title}>
      {label}
      <input
        type="number"
        step={1}
        min={low}
        max={high}
        disabled={disabled}
        placeholder={usual}
        value={value === null ? "" : String(value)}
        onChange={(event) => {
          const typed = event.currentTarget.valueAsNumber;
          if (event.currentTarget.value === "" && usual !== undefined) set(null);
          else if (Number.isInteger(typed) && typed >= low && typed <= high) set(typed);
          else event.currentTarget.value = value === null ? "" : String(value);
        }}
      />
    </label>
  );
}

/** Which channel, how it is synthesised, and how far that is. */
export function Controls({ store }: ViewProps) {
  const { maximising, traits } = store;
  const { searches } = store.kernel._structure.value.features;
  const channels = maximising.channels.value;
  const found = maximising.feature.value.value;
  const channel = traits.channel.value;
  const fixed = store.lost.value !== "";
  const name = outputName(store.layer.value);
  const go = (to: number) => store.set("channel", Math.min(channels - 1, Math.max(0, to)));
  return (
    <div class="cl-tools cl-making">
      <span class="cl-stepper">
        {name}
        <button
          type="button"
          aria-label={`${name} before`}
          disabled={fixed || channel === null || channel <= 0}
          onClick={() => go((channel ?? 1) - 1)}
        >
          ‹
        </button>
        <input
          type="number"
          aria-label={name}
          min={0}
          max={channels - 1}
          placeholder="none"
          disabled={fixed}
          value={channel === null ? "" : String(channel)}
          onChange={(event) => {
            const typed = event.currentTarget.valueAsNumber;
            if (Number.isInteger(typed) && typed >= 0 && typed < channels) go(typed);
            const now = traits.channel.peek();
            event.currentTarget.value = now === null ? "" : String(now);
          }}
        />
        <button
          type="button"
          aria-label={`next ${name}`}
          disabled={fixed || channel === channels - 1}
          onClick={() => go((channel ?? -1) + 1)}
        >
          ›
        </button>
        of {count(channels)}
        {channel !== null && <b>{classOf(store, channel)}</b>}
      </span>
      <Whole
        label="steps"
        title="Steps of the optimisation: more make a stronger, cleaner picture"
        value={traits.feature_steps.value}
        usual={String(found?.length || "auto")}
        low={1}
        high={10_000}
        disabled={fixed}
        set={(steps) => store.set("feature_steps", steps)}
      />
      <Whole
        label="seed"
        title="Where it begins: the same seed gives the same picture"
        value={traits.feature_seed.value}
        low={0}
        high={2 ** 31 - 1}
        disabled={fixed}
        set={(seed) => store.set("feature_seed", seed ?? 0)}
      />
      {(!searches || traits.feature_size.value !== null) && (
        <Whole
          label="size"
          title="Side of the synthesised input in pixels; left empty, what suits the model"
          value={traits.feature_size.value}
          usual={String(found?.sides[0]?.extent[0] || "auto")}
          low={1}
          high={2048}
          disabled={fixed}
          set={(side) => store.set("feature_size", side)}
        />
      )}
      {searches && channel !== null && <InputStepper store={store} />}
      <span class="cl-space" />
      <Progress store={store} />
    </div>
  );
}

/** Which input: one before, one after, or by its number. */
function InputStepper({ store }: ViewProps) {
  const index = store.traits.input_index.value;
  const known = store.inputs.rows.value?.total ?? store.kernel._structure.value.model.inputs;
  const last = known === null ? Number.POSITIVE_INFINITY : known - 1;
  const go = (to: number) => {
    if (Number.isInteger(to) && to >= 0 && to <= last) store.set("input_index", to);
  };
  return (
    <span class="cl-stepper">
      on input
      <button
        type="button"
        aria-label="Input before"
        disabled={index <= 0}
        onClick={() => go(index - 1)}
      >
        ‹
      </button>
      <input
        type="number"
        aria-label="Input"
        min={0}
        max={Number.isFinite(last) ? last : undefined}
        value={String(index)}
        onChange={(event) => {
          go(event.currentTarget.valueAsNumber);
          event.currentTarget.value = String(store.traits.input_index.peek());
        }}
      />
      <button
        type="button"
        aria-label="Next input"
        disabled={index >= last}
        onClick={() => go(index + 1)}
      >
        ›
      </button>
      {nameOfInput(store, index)}
    </span>
  );
}

/** How far it is, and the button that stops it, goes on with it, or does it again. */
function Progress({ store }: ViewProps) {
  const { maximising } = store;
  const { feature, exciting } = maximising;
  const found = feature.value.value;
  const current = maximising.current.feature.value;
  const busy = feature.running.value || exciting.running.value;
  if (busy) {
    const words = !feature.running.value
      ? "looking through the inputs"
      : found && current
        ? stepsInWords(found)
        : "starting …";
    return (
      <>
        <span class="cl-hint" role="status">
          {words}
        </span>
        <button type="button" class="cl-button" onClick={() => maximising.stop()}>
          Stop
        </button>
      </>
    );
  }
  const chosen = store.traits.channel.value !== null;
  if (!chosen || !store.live.value) return null;
  const stopped = feature.stopped.value || exciting.stopped.value;
  const old = found !== null && !current && feature.problem.value === null;
  if (!stopped && !old) return null;
  const at = found && current && !found.finished ? ` at ${stepsInWords(found)}` : "";
  return (
    <>
      <span class="cl-hint cl-brief" role="status">
        {stopped ? `stopped${at}` : "weights changed since"}
      </span>
      <button
        type="button"
        class="cl-button cl-primary"
        onClick={() => {
          if (old || feature.stopped.value) maximising.synthesise();
          if (old || exciting.stopped.value) maximising.search();
        }}
      >
        {stopped ? "Resume" : "Draw again"}
      </button>
    </>
  );
}
