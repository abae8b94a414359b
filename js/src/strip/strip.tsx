import { useComputed, useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { count } from "../format";
import { Icon } from "../icons";
import type { Filter, Input } from "../inputs";
import { ProblemNotice } from "../notices";
import type { Store, ViewProps } from "../state";
import { List, type Shown } from "./list";
import { ScaleButton } from "./scale";
import { nameOfInput, takenFor } from "./words";
import "../css/strip.css";

/** The inputs side by side; the one that is chosen is explained. */
export function Strip({ store }: ViewProps) {
  const { inputs } = store;
  const problem = inputs.problem.value;
  return (
    <>
      <div class="cl-strip">
        <Sieve store={store} />
        <List
          store={store}
          label="Inputs"
          items={inputs.sifted.value}
          show={(input) => shown(store, input)}
          pick={({ index }) => pick(store, index)}
          busy={inputs.reading.value}
          waiting={inputs.items.value.length === 0 && inputs.problem.value === null}
          none="No input is like that."
        />
      </div>
      {problem && (
        <ProblemNotice
          store={store}
          problem={problem}
          retry={store.live.value && inputs.rows.value === null ? () => inputs.retry() : undefined}
          dismiss={inputs.rows.value ? () => (inputs.problem.value = null) : undefined}
        />
      )}
    </>
  );
}

/** Takes the files that are dropped on an element. */
export function useDrop(store: Store) {
  const over = useSignal(false);
  const able = store.live.value && store.inputs.rows.value !== null;
  const events = able
    ? {
        onDragOver(event: DragEvent) {
          if (!event.dataTransfer?.types.includes("Files")) return;
          event.preventDefault();
          over.value = true;
        },
        onDragLeave(event: DragEvent) {
          const into = event.relatedTarget;
          if (into instanceof Node && (event.currentTarget as Node).contains(into)) return;
          over.value = false;
        },
        onDrop(event: DragEvent) {
          over.value = false;
          const file = event.dataTransfer?.files[0];
          if (!file) return;
          event.preventDefault();
          void take(store, file);
        },
      }
    : {};
  return { over: over.value, events };
}

function shown(store: Store, input: Input): Shown {
  const wrong = input.label !== null && input.predicted !== null && input.label !== input.predicted;
  const words = takenFor(store, input);
  return {
    picture: input.picture,
    short: words.short,
    long: [nameOfInput(input), words.long, words.other].filter(Boolean).join(" · "),
    tone: wrong ? "wrong" : "",
  };
}

/** Chooses an input, where it can be looked at. */
function pick(store: Store, index: number): void {
  if (store.traits.view.value === "saliency" && !store.explaining.reaches(index)) {
    store.say(`Only what was looked at can be shown: ${store.lost.value}`);
  } else store.set("input_index", index);
}

async function take(store: Store, file: File): Promise<void> {
  const index = await store.inputs.upload(file);
  if (index === null) return;
  store.inputs.filter.value = "all";
  store.inputs.query.value = "";
  store.set("input_index", index);
}

/** Which of the inputs are shown, and where more come from. */
function Sieve({ store }: ViewProps) {
  const { inputs } = store;
  const file = useRef<HTMLInputElement>(null);
  const rows = inputs.rows.value;
  const counts = useComputed(() => countsOf(inputs.items.value)).value;
  const options: { id: Filter; label: string }[] = [
    { id: "all", label: rows ? `all ${count(inputs.items.value.length)}` : "all" },
  ];
  if (counts.known) {
    options.push({ id: "wrong", label: `wrong ${count(counts.wrong)}` });
    options.push({ id: "right", label: `right ${count(counts.known - counts.wrong)}` });
  }
  if (counts.compared) options.push({ id: "differ", label: `differ ${count(counts.differ)}` });
  return (
    <div class="cl-sieve">
      <select
        value={inputs.filter.value}
        disabled={options.length < 2}
        aria-label="Inputs shown"
        title="Which inputs are shown; “differ”: the reference says something else"
        onChange={(event) => (inputs.filter.value = event.currentTarget.value as Filter)}
      >
        {options.map(({ id, label }) => (
          <option key={id} value={id}>
            {label}
          </option>
        ))}
      </select>
      <input
        type="search"
        value={inputs.query.value}
        placeholder="class or place"
        aria-label="Search inputs"
        onInput={(event) => (inputs.query.value = event.currentTarget.value)}
      />
      <div class="cl-sources">
        <button
          type="button"
          class="cl-link"
          disabled={!store.live.value || !rows || inputs.sending.value}
          title="Explain an image of your own: choose a file, or drop it on this view"
          onClick={() => file.current?.click()}
        >
          <Icon name="add" /> {inputs.sending.value ? "reading…" : "image"}
        </button>
        {rows && <ScaleButton store={store} rows={rows} />}
        <input
          ref={file}
          type="file"
          accept="image/*"
          hidden
          aria-label="Image file"
          onChange={(event) => {
            const [chosen] = event.currentTarget.files ?? [];
            event.currentTarget.value = "";
            if (chosen) void take(store, chosen);
          }}
        />
      </div>
    </div>
  );
}

/** Those not read yet are holes, which `forEach` leaves out: a dropped file may be known before. */
export function countsOf(items: readonly Input[]) {
  let [known, wrong, compared, differ] = [0, 0, 0, 0];
  items.forEach(({ label, predicted, other }) => {
    if (label !== null && predicted !== null) {
      known++;
      if (label !== predicted) wrong++;
    }
    if (other !== null && predicted !== null) {
      compared++;
      if (other !== predicted) differ++;
    }
  });
  return { known, wrong, compared, differ };
}
