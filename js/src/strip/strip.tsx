import { useComputed, useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { withAlpha } from "../draw/saliency";
import { count } from "../format";
import { Icon } from "../icons";
import type { Filter, Input } from "../inputs";
import { ProblemNotice } from "../notices";
import type { Store, ViewProps } from "../state";
import { ScaleButton } from "./scale";
import { nameOfInput, takenFor } from "./words";
import "../css/strip.css";

/** CSS pixels from one input to the next. */
const STEP = 66;
const AROUND = 4;

/** The inputs side by side; the one that is chosen is explained. */
export function Strip({ store }: ViewProps) {
  const { inputs } = store;
  const problem = inputs.problem.value;
  return (
    <>
      <div class="cl-strip">
        <Sieve store={store} />
        <List store={store} />
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
    { id: "all", label: `all ${count(inputs.items.value.length)}` },
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

function countsOf(items: readonly Input[]) {
  let [known, wrong, compared, differ] = [0, 0, 0, 0];
  for (const { label, predicted, other } of items) {
    if (label !== null && predicted !== null) {
      known++;
      if (label !== predicted) wrong++;
    }
    if (other !== null && predicted !== null) {
      compared++;
      if (other !== predicted) differ++;
    }
  }
  return { known, wrong, compared, differ };
}

function List({ store }: ViewProps) {
  const { inputs, traits } = store;
  const element = useRef<HTMLDivElement>(null);
  const seen = useSignal({ left: 0, width: 1200 });
  const items = inputs.sifted.value;
  const chosen = traits.input_index.value;
  const at = items.findIndex(({ index }) => index === chosen);

  useLayoutEffect(() => {
    const box = element.current as HTMLDivElement;
    const look = () => {
      seen.value = { left: box.scrollLeft, width: box.clientWidth };
    };
    look();
    const observer = new ResizeObserver(look);
    observer.observe(box);
    box.addEventListener("scroll", look, { passive: true });
    // a wheel has one direction, and the strip goes in the other
    const wheel = (event: WheelEvent) => {
      if (event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
      const before = box.scrollLeft;
      box.scrollLeft += event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      if (box.scrollLeft !== before) event.preventDefault();
    };
    box.addEventListener("wheel", wheel, { passive: false });
    return () => {
      observer.disconnect();
      box.removeEventListener("scroll", look);
      box.removeEventListener("wheel", wheel);
    };
  }, [seen]);
  useLayoutEffect(() => {
    const box = element.current;
    if (!box || at < 0) return;
    const left = at * STEP;
    if (left < box.scrollLeft) box.scrollLeft = left;
    else if (left + STEP > box.scrollLeft + box.clientWidth) {
      box.scrollLeft = left + STEP - box.clientWidth;
    }
  }, [at, seen.value.width]);

  const keys = (event: KeyboardEvent) => {
    const last = items.length - 1;
    const to = {
      ArrowRight: at + 1,
      ArrowDown: at + 1,
      ArrowLeft: at < 0 ? last : at - 1,
      ArrowUp: at < 0 ? last : at - 1,
      PageDown: at + 10,
      PageUp: at - 10,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    const next = items[Math.min(last, Math.max(0, to))] as Input;
    pick(store, next.index);
  };

  const first = Math.max(0, Math.floor(seen.value.left / STEP) - AROUND);
  const end = Math.ceil((seen.value.left + seen.value.width) / STEP) + AROUND;
  const waiting = inputs.items.value.length === 0 && inputs.problem.value === null;
  return (
    <div
      ref={element}
      class="cl-inputs"
      role="listbox"
      aria-label="Inputs"
      aria-orientation="horizontal"
      aria-busy={inputs.reading.value}
      aria-activedescendant={at < 0 ? undefined : idOf(store, chosen)}
      tabIndex={0}
      onKeyDown={keys}
    >
      {waiting ? (
        <div class="cl-inputs-wait cl-skeleton" />
      ) : items.length === 0 ? (
        <p class="cl-inputs-none">No input is like that.</p>
      ) : (
        <div class="cl-inputs-all" style={{ width: `${items.length * STEP}px` }}>
          {items.slice(first, end).map((input, place) => (
            <One
              key={input.index}
              store={store}
              input={input}
              left={(first + place) * STEP}
              chosen={input.index === chosen}
            />
          ))}
        </div>
      )}
    </div>
  );
}

const idOf = (store: Store, index: number) => `${store.client.name}-input-${index}`;

interface OneProps extends ViewProps {
  input: Input;
  left: number;
  chosen: boolean;
}

function One({ store, input, left, chosen }: OneProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { picture } = input;
  useLayoutEffect(() => {
    const { bytes, height, width } = picture;
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(width, height);
    image.data.set(withAlpha(bytes));
    context.putImageData(image, 0, 0);
  }, [picture]);
  const wrong = input.label !== null && input.predicted !== null && input.label !== input.predicted;
  const words = takenFor(store, input);
  const title = [nameOfInput(input), words.long, words.other].filter(Boolean).join(" · ");
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the list takes the keys
    // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus
    <div
      id={idOf(store, input.index)}
      class={`cl-input${wrong ? " cl-wrong" : ""}`}
      role="option"
      aria-selected={chosen}
      aria-label={title}
      title={title}
      style={{ transform: `translateX(${left}px)` }}
      onClick={() => pick(store, input.index)}
    >
      <canvas ref={canvas} width={picture.width} height={picture.height} />
      <span>{words.short}</span>
    </div>
  );
}
