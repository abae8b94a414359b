import { useSignal } from "@preact/signals";
import { besideInWords } from "./change";
import { copyText } from "./clipboard";
import { fillTemplate, literal } from "./code";
import { driftInPython } from "./drifting";
import { sparsityAt } from "./eps";
import { figure, nameOf, shapeInWords } from "./format";
import { Icon } from "./icons";
import { Name } from "./name";
import { savePicture } from "./png";
import type { Row } from "./protocol";
import { attributionOf } from "./saliency/python";
import type { Store, ViewProps } from "./state";

/** The chosen layer in one line: its figures, and what to take away of it. */
export function Status({ store }: ViewProps) {
  const layer = store.layer.value;
  const figures = statusFigures(store);
  const whole = figures.join(" · ");
  return (
    <footer class="cl-status">
      <span class="cl-status-name">
        <Name text={nameOf(layer)} />
      </span>
      <FeatureLink store={store} />
      <SaliencyLink store={store} />
      <span class="cl-figures" title={whole}>
        {figures.map((text) => (
          <span key={text}>{text}</span>
        ))}
      </span>
      <CopyButton store={store} />
      <button
        type="button"
        class="cl-action"
        disabled={!store.picture.value}
        onClick={() => void savePicture(store)}
        title="Save this view as a PNG"
      >
        <Icon name="save" /> <span>PNG</span>
      </button>
    </footer>
  );
}

/** One click from what is chosen, in whatever view, to what it looks for. */
function FeatureLink({ store }: ViewProps) {
  const channel = store.traits.channel.value;
  if (store.traits.view.value === "features" || !store.maximising.channels.value) return null;
  const words = channel === null ? "Features" : `Feature of ${channel}`;
  const title =
    channel === null ? "What its channels look for" : `What channel ${channel} looks for`;
  return (
    <button
      type="button"
      class="cl-link cl-feature-link"
      title={title}
      onClick={() => store.set("view", "features")}
    >
      {words}
    </button>
  );
}

/** And to what drives the chosen channel, in the chosen input. */
function SaliencyLink({ store }: ViewProps) {
  const { channel, view, target } = store.traits;
  const shown = view.value === "saliency" && target.value === "channel";
  if (channel.value === null || !store.inputs.there.value || shown) return null;
  return (
    <button
      type="button"
      class="cl-link cl-feature-link"
      title={`Which parts of an input drive channel ${channel.value}`}
      onClick={() => store.change({ view: "saliency", target: "channel" })}
    >
      Saliency of {channel.value}
    </button>
  );
}

/** The figures of the chosen layer, or why there are none. */
export function statusFigures(store: Store): string[] {
  const layer = store.layer.value;
  if (!layer) return [];
  const shape = shapeInWords(layer);
  const row = store.measuring.row.value;
  const reason = layer.reason ?? row?.reason ?? null;
  if (reason !== null) return [shape, reason, ...layer.notes];
  if (!row) return [shape, store.measuring.running.value ? "measuring…" : "not measured"];
  const grid = store.kernel._structure.value.eps_grid;
  const { pairing } = store;
  const shareOf = (other: Row) => sparsityAt(other, store.history.eps.value, grid);
  const sparsity = `sparsity ${figure(shareOf(row))}${was(store, layer.key, shareOf)}`;
  const texts = [
    store.history.words.value && `at ${store.history.words.value}`,
    shape,
    sparsity,
  ].filter(Boolean);
  if (row.variance_entropy !== null) {
    const relative = row.variance_entropy_normalized;
    const random = relative === null ? "" : `, ${figure(relative, 2)} of random`;
    // there is room for one of both
    const before = was(store, layer.key, (other) => other.variance_entropy);
    texts.push(`entropy ${figure(row.variance_entropy)}${before || random}`);
  }
  if (row.orthogonality !== null) texts.push(`orthogonality ${figure(row.orthogonality, 2)}`);
  const partner = pairing.partner.value;
  if (partner && partner.how !== "name") texts.push(`${pairing.title.value}: ${partner.reference}`);
  if (pairing.lacks(layer.key)) texts.push(`no counterpart in ${pairing.title.value}`);
  return [...texts, ...layer.notes];
}

/** The reference's figure, and what has changed since: " (int8 0.125: 0.023 more)". */
function was(store: Store, layer: string, of: (row: Row) => number | null): string {
  const words = besideInWords(store, layer, of);
  return words && ` (${words})`;
}

/** The lines of the view, their values left open; undefined where it has none. */
function templateOf(store: Store): string | undefined {
  const { view, comparison } = store.traits;
  if (view.value === "saliency") return attributionOf(store);
  if (view.value === "drift") return driftInPython(store);
  if (view.value === "compression") {
    return store.kernel._structure.value.code.compression[store.compressing.side.value];
  }
  const { code } = store.kernel._structure.value;
  const { shown, partner } = store.pairing;
  const beside = view.value === "filters" && code.reference_filters[shown.value];
  if (beside) {
    // scaled to the model's form, they are the Lens's to give
    const theirs = partner.value?.folded
      ? "lens.reference_filters()"
      : code.reference_filters.theirs;
    return beside.replace("{theirs}", theirs ?? "");
  }
  const template = code[store.history.words.value ? "history" : view.value];
  return typeof template === "string" ? template : template?.[comparison.value];
}

function CopyButton({ store }: ViewProps) {
  const shown = useSignal("");
  const template = templateOf(store);
  const chosen =
    store.traits.view.value === "features"
      ? store.maximising.settings.value
      : store.traits.measure_settings.value;
  const settings = Object.entries(chosen)
    .map(([name, value]) => `, ${name}=${literal(value)}`)
    .join("");
  const copy = async (event: MouseEvent) => {
    const button = event.currentTarget as Element;
    const { layer, channel, eps, sort, scale, measure, layer_set, fit } = store.traits;
    if (!template) return;
    // its values are filled in already
    const filled = ["saliency", "drift"].includes(store.traits.view.value);
    const code = filled
      ? template
      : fillTemplate(template.replace("{settings}", settings), {
          layer: layer.value,
          channel: channel.value,
          eps: eps.value,
          sort: sort.value,
          scale: scale.value,
          measure: measure.value,
          layer_set: layer_set.value,
          fit: fit.value,
          by: store.traits.compression_by.value,
          step: store.history.stepOf(store.history.place.value),
        });
    const done = await copyText(code, button);
    if (done) store.say("Copied: paste it into a cell");
    else shown.value = code;
  };
  return (
    <>
      <button
        type="button"
        class="cl-action"
        disabled={template === undefined}
        onClick={copy}
        aria-label="Copy as Python"
        title="Copy the lines that give these figures in Python"
      >
        <Icon name="copy" /> <span>Copy as Python</span>
      </button>
      {shown.value && (
        <div class="cl-code" role="dialog" aria-label="Python code">
          <p>The browser does not allow copying here. Select the lines and copy them.</p>
          <textarea readOnly value={shown.value} ref={(area) => area?.select()} rows={4} />
          <button type="button" class="cl-link" onClick={() => (shown.value = "")}>
            Close
          </button>
        </div>
      )}
    </>
  );
}
