// The three answers in words.
import { count, figure } from "../format";
import type { Excitement, Feature } from "../maximising";
import type { LayerInfo } from "../protocol";
import type { Store } from "../state";
import type { Synthesised } from "../wire/features";

/** "step 40 of 128", "after 128 steps". */
export function stepsInWords({ done, total, length, finished }: Feature): string {
  // both models make as many
  const made = total ? Math.round((done / total) * length) : 0;
  if (!finished) return `step ${count(made)} of ${count(length)}`;
  return `after ${count(length)} ${length === 1 ? "step" : "steps"}`;
}

/** What a screen reader is told of a synthesised input. */
export function featureInWords(feature: Feature, side: Synthesised): string {
  const who = `channel ${feature.channel} of ${feature.layer}, ${side.title}`;
  if (side.reason !== null) return `${who}: ${side.reason}`;
  return `Input synthesised for ${who}: activation ${figure(side.value, 2)}, ${stepsInWords(feature)}`;
}

/** "of 256 inputs", "64 inputs so far". */
export function seenInWords({ seen, more, finished }: Excitement): string {
  const inputs = `${count(seen)} ${seen === 1 ? "input" : "inputs"}`;
  if (!finished) return `${inputs} so far`;
  return more ? `of the first ${inputs}` : `of ${inputs}`;
}

/** "3.2", "0.012", "1.2e-5": short, and of use for what is small too. */
export function level(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "n/a";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1).replaceAll("-", "−");
  return figure(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || size === 0 ? 2 : 3);
}

/** A class that is called by a number is said to be a class. */
const called = (name: string): string => (/^\d+$/.test(name) ? `class ${name}` : name);

/** What the input truly is, or is taken for; "" where neither is known. */
export function nameOfInput(store: Store, index: number): string {
  const input = store.inputs.items.value[index];
  return input ? called(store.inputs.className(input.label ?? input.predicted)) : "";
}

/** What an output of the layer is called. */
export const outputName = (layer: LayerInfo | undefined): "channel" | "output" =>
  layer && layer.shape.length < 3 ? "output" : "channel";

/** The class that an output of the last layer stands for; "" of all others. */
export function classOf(store: Store, channel: number): string {
  const { classes } = store.kernel._structure.value;
  const layer = store.layer.value;
  const last = layer !== undefined && layer === store.layers.value.at(-1);
  return last && layer.shape[0] === classes.length ? called(classes[channel] ?? "") : "";
}
