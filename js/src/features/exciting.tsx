import type { Excitement } from "../maximising";
import { Segments } from "../segments";
import type { ViewProps } from "../state";
import { Pixels, Why } from "./image";
import type { FeaturesModel } from "./model";
import { level, nameOfInput, outputName, seenInWords } from "./words";

interface Props extends ViewProps {
  model: FeaturesModel;
}

/** Of the inputs that were given, those on which the channel is strongest. */
export function ExcitingPanel({ store, model }: Props) {
  const { exciting, current } = store.maximising;
  const found = exciting.value.value;
  return (
    <section class="cl-answer" aria-label="Inputs that excite it most">
      <h4>
        What excites it
        <Segments
          label="Shown of each input"
          options={PARTS}
          value={model.whole.value ? "whole" : "seen"}
          choose={(part) => {
            model.whole.value = part === "whole";
          }}
        />
      </h4>
      {exciting.problem.value ? (
        <Why store={store} problem={exciting.problem.value} />
      ) : found ? (
        <div class={current.exciting.value ? "cl-rows" : "cl-rows cl-past"}>
          {found.sides.map((side) => (
            <Side key={side.side} store={store} model={model} found={found} shown={side} />
          ))}
        </div>
      ) : (
        <Waiting store={store} />
      )}
    </section>
  );
}

interface SideProps extends Props {
  found: Excitement;
  shown: Excitement["sides"][number];
}

function Side({ store, model, found, shown }: SideProps) {
  const { side, title, reason, items, pictures, extent } = shown;
  const whole = model.whole.value;
  const two = found.sides.length > 1;
  const pointed = model.pointed.value;
  const at = pointed?.side === side ? pointed.at : 0;
  const item = items[at] ?? items[0];
  const chosen = store.traits.input_index.value;
  const alike = found.finished && items.length > 1 && items[0]?.value === items.at(-1)?.value;
  const peak = outputName(store.layer.value) === "channel" ? "peak activation" : "activation";
  if (reason !== null) {
    return (
      <div class="cl-row">
        <figure class="cl-square cl-none-here" />
        <div class="cl-words">
          {two && <bdi class="cl-side-name">{title}</bdi>}
          <p>{reason}</p>
        </div>
      </div>
    );
  }
  return (
    <div class="cl-row">
      <div class="cl-square cl-nine" onPointerLeave={() => (model.pointed.value = null)}>
        {items.map(({ index, value, box }, place) => (
          <button
            type="button"
            key={`${place} ${index}`}
            class={index === chosen ? "cl-thumb cl-chosen" : "cl-thumb"}
            aria-label={`Input ${index}: activation ${level(value)}`}
            aria-pressed={index === chosen}
            onPointerEnter={() => (model.pointed.value = { side, at: place })}
            onFocus={() => (model.pointed.value = { side, at: place })}
            onClick={() => store.set("input_index", index)}
          >
            <Pixels
              bytes={pictures}
              extent={extent}
              index={place}
              box={whole ? undefined : box}
              label=""
            />
            {whole && <Box box={box} />}
          </button>
        ))}
        {items.length === 0 &&
          Array.from({ length: 9 }, (_, i) => (
            <span key={i} class={found.finished ? "cl-thumb" : "cl-thumb cl-skeleton"} />
          ))}
      </div>
      <div class="cl-words">
        {two && <bdi class="cl-side-name">{title}</bdi>}
        {item && (
          <>
            <p>
              <b class="cl-level">{level(item.value)}</b> {peak}
            </p>
            <p>
              {[`input ${item.index}`, nameOfInput(store, item.index)].filter(Boolean).join(", ")}
            </p>
          </>
        )}
        {!item && found.finished && <p>no input excites it</p>}
        {item && <p>{alike ? "all alike: nothing excites it" : seenInWords(found)}</p>}
      </div>
    </div>
  );
}

const PARTS = [
  { id: "seen", label: "seen", title: "What the channel sees of it: its receptive field" },
  { id: "whole", label: "whole", title: "The whole input, with what the channel sees of it" },
] as const;

/** What the channel sees, on the whole input. */
function Box({ box: [top, left, bottom, right] }: { box: readonly number[] }) {
  const share = (value: number | undefined) => Math.min(1, Math.max(0, value ?? 0));
  const [y0, x0, y1, x1] = [share(top), share(left), share(bottom), share(right)];
  // all of it: nothing to mark
  if (y0 === 0 && x0 === 0 && y1 === 1 && x1 === 1) return null;
  const style = {
    top: `${100 * y0}%`,
    left: `${100 * x0}%`,
    width: `${100 * (x1 - x0)}%`,
    height: `${100 * (y1 - y0)}%`,
  };
  return <i class="cl-field" style={style} />;
}

function Waiting({ store }: ViewProps) {
  const live = store.live.value;
  return (
    <div class="cl-rows" aria-busy={store.maximising.exciting.running.value}>
      <div class="cl-row">
        <div class="cl-square cl-nine">
          {Array.from({ length: 9 }, (_, i) => (
            <span key={i} class={live ? "cl-thumb cl-skeleton" : "cl-thumb"} />
          ))}
        </div>
      </div>
    </div>
  );
}
