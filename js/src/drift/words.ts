// What is drawn and said of each layer, from what was measured.
import type { Drift } from "../drifting";
import { count, figure, percent, probability } from "../format";
import type { Store } from "../state";
import type { Drifted } from "../wire/drift";

/** What a row is compared with: "all its layers", "its layers about depth 0.3". */
export const groupInWords = (group: string): string =>
  group === "all"
    ? "all layers"
    : group === "depth"
      ? "layers at the same depth"
      : group.replace(/^depth /, "layers about depth ");

/** What it is compared with in a word, for a column's head. */
export const otherInWords = (found: Drift): string =>
  ({ shipped: "summary", database: "database", reference: "reference" })[found.against] ?? "";

/** "3.7 × the most that noise makes", "no more than noise". */
export function driftInWords({ drift, floor_high, noise, p }: Drifted): string {
  if (drift === null) return "no value: nothing there to compare with";
  if (noise) return `no more than noise, p ${probability(p ?? 1)}`;
  const times = floor_high ? drift / floor_high : Number.POSITIVE_INFINITY;
  return Number.isFinite(times)
    ? `${times < 10 ? times.toFixed(1) : count(Math.round(times))} times what noise makes`
    : "more than noise";
}

const rank = (share: number | null): string =>
  share === null ? "" : `, above ${Math.round(100 * share)} % of layers`;

/** A layer and its figures, line by line: the tip, and what a screen reader says. */
export function layerInWords(row: Drifted | undefined): string[] {
  if (!row) return [];
  const { drift, floor_high, entropy, sparsity, n, left_out } = row;
  const noise = floor_high === null ? "" : `, noise up to ${figure(floor_high)}`;
  return [
    row.key,
    `drift ${figure(drift)}${noise}`,
    driftInWords(row),
    `entropy ${figure(entropy)}${rank(row.entropy_rank)}`,
    `sparsity ${percent(sparsity)}${rank(row.sparsity_rank)}`,
    `${count(n)} filters${left_out ? `, ${count(left_out)} not finite` : ""}`,
  ];
}

/** The lines that give what is shown in Python, all filled in. */
export function driftInPython(store: Store, quoted: (text: string) => string): string | undefined {
  const { drifting, traits, kernel } = store;
  const template = kernel._structure.value.code.drift[traits.drift_against.value];
  const row = drifting.asking.value.value?.layers[drifting.place.value];
  const filled = template?.replace("{group}", () => quoted(traits.drift_group.value));
  return filled && (row ? `${filled}\ndrift[${quoted(row.key)}]` : filled);
}
