// A flipped input in words.
import type { Flip } from "../compressing";
import type { Store } from "../state";

/** "cat → dog", and what it truly is. */
export function flipInWords(store: Store, { index, before, after, label, kind }: Flip) {
  const called = (one: number) => store.inputs.className(one);
  const short = `${called(before)} → ${called(after)}`;
  const truth = label === null ? "" : `, truly ${called(label)}`;
  return { short, long: `#${index} · ${short}${truth}${kind === "other" ? "" : ` · ${kind}`}` };
}
