// What a layer's filters are beside those of another model: number by number.
import type { FilterSet } from "../load";

/** The weights that have come. */
export const loadedOf = ({ weights, loaded, inputs, taps }: FilterSet): Float32Array =>
  weights.subarray(0, loaded * inputs * taps);

/** The model's filters less the reference's; null where they are not alike. */
export function differenceOf(model: FilterSet, reference: FilterSet): FilterSet | null {
  const sizes = ({ out, inputs, kernel }: FilterSet) => [out, inputs, ...kernel].join();
  if (sizes(model) !== sizes(reference)) return null;
  const loaded = Math.min(model.loaded, reference.loaded);
  const weights = new Float32Array(model.weights.length);
  const end = loaded * model.inputs * model.taps;
  let maxAbs = 0;
  for (let at = 0; at < end; at++) {
    const change = (model.weights[at] as number) - (reference.weights[at] as number);
    weights[at] = change;
    const size = Math.abs(change);
    if (size > maxAbs && size < Infinity) maxAbs = size;
  }
  return { ...model, loaded, weights, maxAbs };
}
