// What a gallery shows in plain words.
import type { Dead, Reach } from "../filters";
import { count, percent, weight } from "../format";
import type { LayerInfo, Scale } from "../protocol";

/** "5", "5 and 14", "1, 2, 3 and 12 more". */
export function listed(indices: readonly number[], most = 5): string {
  const shown = indices.length > most ? indices.slice(0, most - 1) : indices;
  const rest = indices.length - shown.length;
  const words = shown.map(String);
  if (rest > 0) words.push(`${count(rest)} more`);
  const last = words.pop() ?? "";
  return words.length ? `${words.join(", ")} and ${last}` : last;
}

export interface Findings {
  total: number;
  sparse: number;
  eps: number;
  bad: number;
  dead: Dead | null;
  maxAbs: number;
  /** Outlines are drawn at the size at which the whole layer is seen. */
  outlined: boolean;
  layer: LayerInfo | undefined;
}

/** One sentence a finding, the most telling first. */
export function findings({
  total,
  sparse,
  eps,
  bad,
  dead,
  maxAbs,
  outlined,
  layer,
}: Findings): string[] {
  const lines: string[] = [];
  if (bad > 0) {
    const hold = bad === 1 ? "1 filter holds" : `${count(bad)} filters hold`;
    lines.push(`${hold} NaN or infinite weights (hatched); the rest is drawn as it is.`);
  }
  if (total > 0 && maxAbs === 0 && bad < total) return [...lines, "Every weight is zero."];
  if (sparse > 0) {
    const are = sparse === 1 ? "is" : "are";
    const limit = percent(eps);
    const single = layer?.shape.slice(2).every((side) => side === 1) ?? false;
    const things = single ? "weights" : "filters";
    const below = single ? "below" : "every weight below";
    lines.push(
      `${count(sparse)} of ${count(total)} ${things} ${are} sparse (${outlined ? "outlined" : "outlined when zoomed in"}): ${below} ${limit} of the layer’s largest.`,
    );
  } else if (bad < total) {
    lines.push(`No filter is sparse: each reaches ${percent(eps)} of the layer’s largest weight.`);
  }
  if (dead && dead.inputs.length > 0) {
    const plural = dead.inputs.length > 1;
    lines.push(
      `${plural ? "Inputs" : "Input"} ${listed(dead.inputs)} ${plural ? "are" : "is"} ignored by every output.`,
    );
  }
  if (dead && dead.outputs.length > 0) {
    const plural = dead.outputs.length > 1;
    lines.push(
      `${plural ? "Outputs" : "Output"} ${listed(dead.outputs)} ${plural ? "are" : "is"} dead: no input reaches ${plural ? "them" : "it"}.`,
    );
  }
  if (layer && layer.groups > 1 && (layer.shape[1] ?? 1) > 1) {
    lines.push(`Each of the ${count(layer.groups)} groups sees inputs of its own.`);
  }
  return lines;
}

/** What the colours span: in a word or two, and in full. */
export function rangeWords(scale: Scale, reach: Reach | null, maxAbs: number): [string, string] {
  if (!reach) return ["each filter", "Each filter’s colours span its own weights."];
  if (reach.range <= 0) return ["all zero", "Every weight is zero."];
  if (scale === "model") return ["the model", "The last colour is the model’s largest weight."];
  const largest = `max ${weight(maxAbs)}`;
  if (reach.beyond === 0) return [largest, "The last colour is the layer’s largest weight."];
  const words = `${percent(reach.beyond)} of the weights lie beyond the last colour, up to ${weight(maxAbs)}.`;
  return [largest, words];
}

/** Digits that tell weights of this size apart. */
export const digitsFor = (maxAbs: number): number =>
  maxAbs > 0 ? Math.max(0, Math.min(7, 2 - Math.floor(Math.log10(maxAbs)))) : 3;
