// An input in words: what it is taken for, and what it is.
import { percent } from "../format";
import type { Input } from "../inputs";
import type { Store } from "../state";

/** "#12", or the name of the file that it was. */
export const nameOfInput = ({ index, name }: Input): string => name || `#${index}`;

/** What the models take an input for: under its picture, in full, and what the reference says. */
export function takenFor(store: Store, { label, predicted, probability, other, name }: Input) {
  const called = (index: number | null) => store.inputs.className(index);
  const truth = label === null ? "" : called(label);
  if (predicted === null) return { short: truth || name, long: truth && `a ${truth}`, other: "" };
  const guess = called(predicted);
  const wrong = label !== null && label !== predicted;
  const sure = probability === null ? "" : `, ${percent(probability)}`;
  return {
    short: wrong ? `${guess}, is ${truth}` : guess,
    long: `predicted ${guess}${sure}${label === null ? "" : wrong ? `, truly ${truth}` : ", right"}`,
    other: other === null || other === predicted ? "" : `the reference says ${called(other)}`,
  };
}
