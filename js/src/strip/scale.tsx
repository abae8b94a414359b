import { batch, useSignal } from "@preact/signals";
import { Drop } from "../drop";
import { Icon } from "../icons";
import type { Store } from "../state";
import type { InputRows } from "../wire/inputs";

interface Props {
  store: Store;
  rows: InputRows;
}

/** How inputs become colours: what was found, and the place to say it. */
export function ScaleButton({ store, rows }: Props) {
  const unsure = rows.how === "guessed" || rows.how === "stretched";
  const label = <>{unsure && <Icon name="warn" size={12} />} colours</>;
  return (
    <Drop label={label} name="Colours" title={`Colours of the inputs: ${inWords(rows)}`}>
      {(close) => <ScaleForm store={store} rows={rows} close={close} />}
    </Drop>
  );
}

function inWords({ how, scale }: InputRows): string {
  if (how === "given") return "by the mean and std that were given";
  if (how === "found") return `those of ${scale}, which fit to the last pixel`;
  if (how === "guessed") return `perhaps those of ${scale}: it would fit`;
  return "stretched from the smallest value to the largest";
}

function ScaleForm({ store, rows, close }: Props & { close: () => void }) {
  const offered = store.kernel._structure.value.saliency?.scales ?? [];
  const channels = rows.shape[0] ?? 1;
  const fitting = offered.filter(({ mean }) => mean.length === 1 || mean.length === channels);
  const mean = useSignal(listed(rows.mean));
  const std = useSignal(listed(rows.std));
  const say = (means: number[] | null, stds: number[] | null) => {
    batch(() => {
      store.set("std", stds);
      store.set("mean", means);
    });
    close();
  };
  const [means, stds] = [read(mean.value, channels), read(std.value, channels)];
  const good = means !== null && stds?.every((value) => value > 0);
  const field = (name: string, text: typeof mean) => (
    <label class="cl-choice">
      {name}
      <input
        type="text"
        value={text.value}
        aria-invalid={read(text.value, channels) === null}
        onInput={(event) => (text.value = event.currentTarget.value)}
      />
    </label>
  );
  return (
    <form
      class="cl-popover cl-scale-form"
      aria-label="Colours of the inputs"
      onSubmit={(event) => {
        event.preventDefault();
        if (good) say(means, stds);
      }}
    >
      <p>Colours are {inWords(rows)}.</p>
      <label class="cl-choice">
        inputs are
        <select
          value=""
          onChange={(event) => {
            const found = fitting.find(({ name }) => name === event.currentTarget.value);
            if (!found) return;
            mean.value = listed(found.mean);
            std.value = listed(found.std);
          }}
        >
          <option value="">as below</option>
          {fitting.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {field("mean", mean)}
      {field("std", std)}
      <p class="cl-hint">pixel = input × std + mean, from 0 to 1</p>
      <div class="cl-scale-acts">
        <button type="submit" class="cl-button cl-primary" disabled={!good || !store.live.value}>
          Use these
        </button>
        {rows.how === "given" && (
          <button type="button" class="cl-button" onClick={() => say(null, null)}>
            Find out again
          </button>
        )}
      </div>
    </form>
  );
}

const listed = (values: readonly number[]) =>
  values.map((value) => Number(value.toPrecision(6))).join(", ");

function read(text: string, channels: number): number[] | null {
  const values = text
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map(Number);
  const fits = values.length === 1 || values.length === channels;
  return fits && values.every(Number.isFinite) ? values : null;
}
