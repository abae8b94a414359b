import { Drop } from "../drop";
import { Field } from "../field";
import { percent } from "../format";
import { Segments } from "../segments";
import type { ViewProps } from "../state";
import { MethodChooser } from "./methods";
import { modelOf, type Span, type Way } from "./model";
import { targetInWords } from "./words";

/** What is explained, and how. */
export function Controls({ store }: ViewProps) {
  const { explaining, traits } = store;
  const method = explaining.declared(traits.method.value);
  const fixed = store.lost.value !== "";
  const baselines = store.kernel._structure.value.saliency?.baselines ?? [];
  return (
    <div class="cl-tools cl-compare cl-explain">
      <MethodChooser store={store} />
      {method?.parameters.map((parameter) => (
        <Field
          key={`${method.name} ${parameter.name}`}
          parameter={parameter}
          value={explaining.value(method.name, parameter)}
          disabled={fixed}
          set={(value) => explaining.set(method.name, parameter.name, value)}
        />
      ))}
      {method?.takes_baseline && (
        <label class="cl-choice" title="what the input is compared with">
          baseline
          <select
            value={traits.baseline.value}
            disabled={fixed}
            onChange={(event) => store.set("baseline", event.currentTarget.value)}
          >
            {baselines.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      )}
      <TargetChooser store={store} />
      <Progress store={store} />
      <Looks store={store} />
    </div>
  );
}

/** What the map is of: the predicted class, the true one, any; or the channel chosen elsewhere. */
function TargetChooser({ store }: ViewProps) {
  const { traits, inputs, explaining } = store;
  const classes = inputs.rows.value?.classes ?? 0;
  const scores = explaining.picture.value?.scores;
  const of = (index: number) =>
    scores ? `${inputs.className(index)}  ${percent(scores[index])}` : inputs.className(index);
  const order = Array.from({ length: classes }, (_, index) => index);
  if (scores) order.sort((a, b) => (scores[b] as number) - (scores[a] as number));
  const { layer, channel } = traits;
  return (
    <label class="cl-choice cl-target">
      target
      <select
        value={String(traits.target.value)}
        disabled={store.lost.value !== ""}
        onChange={(event) => {
          const chosen = event.currentTarget.value;
          const number = /^\d+$/.test(chosen);
          store.set("target", number ? Number(chosen) : (chosen as "predicted"));
        }}
      >
        <option value="predicted">{targetInWords(store, "predicted")}</option>
        <option value="label" disabled={inputs.chosen.value?.label === null}>
          {targetInWords(store, "label")}
        </option>
        <optgroup label="Chosen in the rail and in Filters">
          <option value="channel" disabled={channel.value === null}>
            {channel.value === null
              ? "a channel: none is chosen"
              : `channel ${channel.value} of ${layer.value}`}
          </option>
        </optgroup>
        {classes > 0 && (
          <optgroup label="Any class">
            {order.map((index) => (
              <option key={index} value={index}>
                {of(index)}
              </option>
            ))}
          </optgroup>
        )}
      </select>
    </label>
  );
}

/** How far the maps are, and the button that goes on. */
function Progress({ store }: ViewProps) {
  const { explaining } = store;
  const { live } = store;
  const underway = explaining.underway.value;
  if (underway) {
    const { done, total } = underway;
    return (
      <>
        <span class="cl-hint" role="status">
          {total ? `${done} of ${total}` : "…"}
        </span>
        <button type="button" class="cl-button" onClick={() => explaining.stop()}>
          Stop
        </button>
      </>
    );
  }
  const failed = explaining.wanted.value.some(
    (asked) => explaining.problem(asked) && explaining.refusal(asked.method, asked.side) === null,
  );
  if (!live.value || !(explaining.stopped.value || failed)) return null;
  return (
    <button type="button" class="cl-button cl-primary" onClick={() => explaining.go()}>
      {failed ? "Try again" : "Go on"}
    </button>
  );
}

/** How the maps are drawn. */
function Looks({ store }: ViewProps) {
  const model = modelOf(store);
  return (
    <div class="cl-drawing">
      <Segments
        label="Drawn as"
        options={WAYS}
        value={model.way.value}
        choose={(way) => (model.way.value = way)}
      />
      {model.twoSided && (
        <Segments
          label="Values"
          options={VALUES}
          value={model.signed.value ? "signed" : "size"}
          choose={(chosen) => (model.signed.value = chosen === "signed")}
        />
      )}
      <Drop label="scale" title="What the colours span" side="right">
        {() => <Spread store={store} />}
      </Drop>
    </div>
  );
}

/** What colours span, and how much they cover. */
function Spread({ store }: ViewProps) {
  const model = modelOf(store);
  return (
    <div class="cl-popover cl-spread">
      <p>Colours span the maps of</p>
      <Segments
        label="Colours span"
        options={SPANS}
        value={model.span.value}
        choose={(span) => (model.span.value = span)}
      />
      <label class="cl-choice" title="Share of the values whose colour is held at the end">
        clipped at the largest
        <select
          value={String(model.clip.value)}
          onChange={(event) => (model.clip.value = Number(event.currentTarget.value))}
        >
          {CLIPS.map((clip) => (
            <option key={clip} value={clip}>
              {clip === 0 ? "0 %: none" : `${clip} %`}
            </option>
          ))}
        </select>
      </label>
      <label class="cl-choice">
        opacity of an overlay
        <input
          type="range"
          min="0.1"
          max="1"
          step="0.05"
          value={model.opacity.value}
          onInput={(event) => {
            model.opacity.value = event.currentTarget.valueAsNumber;
            model.way.value = "overlay";
          }}
        />
      </label>
    </div>
  );
}

const CLIPS = [0, 0.5, 1, 2, 5] as const;

const WAYS: readonly { id: Way; label: string; title: string }[] = [
  { id: "map", label: "map", title: "The map alone" },
  { id: "overlay", label: "overlay", title: "The map over the picture" },
];

const VALUES = [
  { id: "signed", label: "signed", title: "Red speaks for the target, blue against it" },
  { id: "size", label: "size", title: "How much it matters, either way" },
] as const;

const SPANS: readonly { id: Span; label: string; title: string }[] = [
  { id: "input", label: "this input", title: "Colours span the values of this input’s maps" },
  {
    id: "seen",
    label: "all inputs seen",
    title: "The same colours for all inputs looked at: they compare",
  },
];
