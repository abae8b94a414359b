import { useComputed } from "@preact/signals";
import { count, percent, shapeInWords, unbroken, weight } from "../format";
import { Segments } from "../segments";
import type { Store, ViewProps } from "../state";
import type { Paired } from "../wire/reference";
import type { GalleryModel } from "./model";

const SHOWN: readonly { id: Paired; label: string }[] = [
  { id: "model", label: "model" },
  { id: "reference", label: "reference" },
  { id: "side by side", label: "side by side" },
  { id: "difference", label: "difference" },
];

/** Whose filters are shown; nothing without a reference. */
export function PairedChoice({ store }: ViewProps) {
  const { pairing } = store;
  const [model, reference] = titles(store);
  if (!reference) return null;
  const why = pairing.why.value || unlike(store);
  const about: Record<Paired, string> = {
    model,
    reference,
    "side by side": `${model} and ${reference}, in the same colours and order`,
    difference: `${model} less ${reference}`,
  };
  return (
    <span class="cl-choice">
      show
      <Segments
        label="Whose filters"
        options={SHOWN.map((option) => ({ ...option, title: about[option.id] }))}
        value={pairing.shown.value}
        choose={(chosen) => store.set("paired", chosen)}
        disabled={pairing.why.value !== ""}
      />
      {why && (
        <span class="cl-hint cl-cut" role="status" title={why}>
          {why}
        </span>
      )}
    </span>
  );
}

/** Of the model, and of the reference: "" without one. */
export const titles = ({ kernel, pairing }: Store): [string, string] => [
  kernel._structure.value.model.title,
  pairing.title.value,
];

/** Why there is no difference to show, where it is asked for. */
function unlike({ pairing, traits, layer }: Store): string {
  const partner = pairing.partner.value;
  const chosen = layer.value;
  if (!partner || !chosen || pairing.alike.value || traits.paired.value !== "difference") return "";
  const [mine, theirs] = [chosen.shape, partner.shape].map((shape) => shape.join(" × "));
  return `No difference: ${mine} here, ${theirs} in ${pairing.title.value}.`;
}

interface Props extends ViewProps {
  /** The model's, and what is shown of the other. */
  model: GalleryModel;
  difference: GalleryModel;
}

/** What the counterpart of the chosen layer is, and how much of it has changed. */
export function PairCard({ store, model, difference }: Props) {
  const lines = useComputed(() => {
    const { pairing, layer } = store;
    const partner = pairing.partner.value;
    const title = pairing.title.value;
    const found: string[] = [];
    if (pairing.why.value) return [pairing.why.value];
    if (!partner || !layer.value) return found;
    if (partner.how !== "name")
      found.push(
        `Beside ${partner.reference} of ${title}, matched by ${partner.how === "order" ? "its shape, in order" : "its name"}.`,
      );
    if (partner.folded) found.push(`Its ${partner.folded}.`);
    if (!pairing.alike.value) {
      const other = shapeInWords({ ...layer.value, shape: partner.shape });
      found.push(`In ${title} there are ${other}.`);
    } else if (pairing.shown.value === "difference" && model.current.value) {
      const { out, loaded, maxAbs } = difference.set.value;
      if (out === 0 || loaded < out) return found;
      const { peaks, badCount } = difference.peaks.value;
      const same = peaks.reduce((sum, peak) => sum + Number(peak === 0), 0) - badCount;
      if (maxAbs === 0) return [...found, `Every filter is the same as in ${title}.`];
      const share = percent(maxAbs / model.largest.value);
      found.push(`The largest change is ${weight(maxAbs)}: ${share} of the largest weight.`);
      const are = same === 1 ? "is" : "are";
      if (same > 0)
        found.push(`${count(same)} of ${count(peaks.length)} filters ${are} as in ${title}.`);
    }
    return found;
  }).value;
  if (lines.length === 0) return null;
  return (
    <section class="cl-card cl-note" aria-label="Beside the reference">
      {lines.map((line) => (
        <p key={line}>{unbroken(line)}</p>
      ))}
    </section>
  );
}
