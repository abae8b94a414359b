// What compression did, in words.
import type { Change, Flip, Report } from "../compressing";
import { count, figure, percent, weight } from "../format";
import type { Store } from "../state";
import type { Ranking } from "../wire/compression";

/** A figure as its ranking writes it; a dash where there is none. */
export function written(unit: Ranking["unit"], value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (unit === "likeness") return figure(value, 3);
  if (unit === "share") return percent(value);
  return value === Number.POSITIVE_INFINITY ? "unchanged" : `${figure(value, 1)} dB`;
}

/** How long a bar is, of the longest: what is missing to 1 of a likeness, else the value. */
export function lengths(layers: readonly Change[], { name, unit }: Ranking): number[] {
  const sizes = layers.map(({ figures }) => {
    const value = figures[name] as number;
    if (!Number.isFinite(value)) return 0;
    return Math.max(0, unit === "likeness" ? 1 - value : value);
  });
  const most = Math.max(...sizes) || 1;
  return sizes.map((size) => size / most);
}

/** Why a layer has no such figure; null where it has. */
export function whyNot({ figures, reasons }: Change, name: string, finished: boolean) {
  if (!Number.isNaN(figures[name])) return null;
  const own = reasons[name] ?? (name === "isolated_sqnr" ? reasons.cost : undefined);
  if (name === "output_cosine") return own ?? reasons.output_sqnr ?? "not defined here";
  return own ?? (finished ? "not defined here" : "not measured yet");
}

/** Bytes in kB or MB. */
export const bytes = (size: number): string =>
  size >= 1e6 ? `${(size / 1e6).toFixed(2)} MB` : `${(size / 1e3).toFixed(1)} kB`;

/** How many times smaller, or larger. */
function times(ratio: number): string {
  if (!Number.isFinite(ratio) || ratio <= 0) return "";
  if (Math.abs(ratio - 1) < 0.05) return "about the same";
  return ratio > 1 ? `${figure(ratio, 1)} × smaller` : `${figure(1 / ratio, 1)} × larger`;
}

export interface Fact {
  readonly name: string;
  readonly before: string;
  /** Empty where there is one value only. */
  readonly after: string;
  readonly more: string;
  readonly title: string;
}

/** The whole of it: accuracy, agreement, sizes, zeros. */
export function facts({ overall, flips, zeros, before, title }: Report): Fact[] {
  const { accuracy, reference_accuracy, agreement, n } = overall;
  const found: Fact[] = [];
  if (accuracy !== null && reference_accuracy !== null) {
    const share = (value: number) => `${figure(100 * value, 1)} %`;
    const points = (accuracy - reference_accuracy) * 100;
    found.push({
      name: "accuracy",
      before: share(reference_accuracy),
      after: share(accuracy),
      more: `${points > 0 ? "+" : ""}${figure(points, 1)} points`,
      title: `Right of ${count(n)} inputs: ${before}, then ${title}`,
    });
  }
  if (agreement !== null) {
    found.push({
      name: "agreement",
      before: percent(agreement),
      after: "",
      more: `${count(flips.length)} of ${count(n)} flipped`,
      title: "Share of the inputs that both take for the same class",
    });
  }
  const { packed, reference_packed, size, reference_size } = overall;
  const files = size && reference_size ? `; files: ${bytes(reference_size)}, ${bytes(size)}` : "";
  found.push({
    name: "size, packed",
    before: bytes(reference_packed),
    after: bytes(packed),
    more: times(reference_packed / packed),
    title: `Bytes that the numbers need at least, packed by their bits${files}`,
  });
  if (size && reference_size) {
    found.push({
      name: "on disk",
      before: bytes(reference_size),
      after: bytes(size),
      more: times(reference_size / size),
      title: "Bytes of the state dict as torch.save writes it",
    });
  }
  const [was, now] = zeros;
  if (was !== null && now !== null) {
    found.push({
      name: "weights that are 0",
      before: percent(was),
      after: percent(now),
      more: "",
      title: "Share of the weights of all layers that are exactly 0",
    });
  }
  return found;
}

/** "cat → dog", and what it truly is. */
export function flipInWords(store: Store, { index, before, after, label, kind }: Flip) {
  const called = (one: number) => store.inputs.className(one);
  const short = `${called(before)} → ${called(after)}`;
  const truth = label === null ? "" : `, truly ${called(label)}`;
  const said = kind === "lost" ? " · lost" : kind === "won" ? " · won" : "";
  return { short, long: `#${index} · ${short}${truth}${said}` };
}

/** How often each class flipped away: the most first. */
export function byClass(flips: readonly Flip[]) {
  const found = new Map<number, Flip[]>();
  for (const flip of flips) found.set(flip.before, [...(found.get(flip.before) ?? []), flip]);
  return [...found]
    .map(([before, mine]) => {
      const to = new Map<number, number>();
      for (const { after } of mine) to.set(after, (to.get(after) ?? 0) + 1);
      const [most] = [...to].sort(([a, m], [b, n]) => n - m || a - b);
      const of = (kind: Flip["kind"]) => mine.filter((flip) => flip.kind === kind).length;
      return { before, flips: mine.length, lost: of("lost"), won: of("won"), to: most?.[0] ?? -1 };
    })
    .sort((a, b) => b.flips - a.flips || a.before - b.before);
}

/** The figures of a layer, before and after where there are both. */
export function figuresOf({ figures }: Change): readonly (readonly [string, string, string])[] {
  const f = (name: string) => figures[name] as number;
  const pair = (name: string, write: (value: number) => string) => {
    const [was, now] = [f(`reference_${name}`), f(name)];
    if (Number.isNaN(now)) return "";
    return Number.isNaN(was) ? write(now) : `${write(was)} → ${write(now)}`;
  };
  const cka = written("likeness", f("cka"));
  const error = f("cka_stderr");
  return [
    [
      "cost",
      written("share", f("cost")),
      "Of the output, lost when this layer alone is compressed",
    ],
    ["agreement", written("share", f("isolated_agreement")), "With this layer alone compressed"],
    ["accuracy", written("share", f("isolated_accuracy")), "With this layer alone compressed"],
    ["weights", written("dB", f("weight_sqnr")), "Signal over error in the weights"],
    ["output, alone", written("dB", f("isolated_sqnr")), "Signal over error in its own output"],
    ["output, all", written("dB", f("output_sqnr")), "With all layers compressed"],
    [
      "CKA",
      Number.isNaN(error) ? cka : `${cka} ± ${weight(error)}`,
      "How alike both layers tell inputs apart",
    ],
    ["zeros", pair("exact_zeros", percent), "Share of the weights that are 0"],
    ["filters of 0", pair("zero_filters", percent), "Share of the filters with no weight left"],
    ["entropy", pair("entropy", (value) => figure(value, 3)), "Variance entropy of the filters"],
  ];
}
