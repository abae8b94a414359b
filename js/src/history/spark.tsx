import { useComputed } from "@preact/signals";
import { figure } from "../format";
import type { Store } from "../state";
import { TRENDS } from "./trends";

interface Props {
  store: Store;
  layer: string;
}

/** A figure of a layer over training as a line; where it stands is marked. */
export function Spark({ store, layer }: Props) {
  const { history } = store;
  const line = useComputed(() => {
    const values = history.series(layer, store.measuring.now.value.get(layer));
    return {
      values,
      ...drawn(
        values,
        history.moments.value.map(([, step]) => step),
      ),
    };
  }).value;
  const { place, trend } = history;
  const [name, write = figure] = TRENDS[trend.value] ?? [];
  const [first, last] = [line.values[0], line.values.at(-1)].map((value) => write(value as number));
  const words = `${name} over training, from ${first} to ${last}`;
  return (
    <svg
      class={`cl-spark cl-of-${trend.value}`}
      viewBox="0 0 100 20"
      preserveAspectRatio="none"
      role="img"
      aria-label={words}
    >
      <title>{words}</title>
      <path d={line.path} />
      {line.path && place.value >= 0 && <path class="cl-here" d={`M${line.x(place.value)} 0V20`} />}
    </svg>
  );
}

/** The path of values over steps in a box of 100 by 20, gaps where there is none. */
export function drawn(values: readonly number[], steps: readonly number[]) {
  const known = values.filter((value) => !Number.isNaN(value));
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const start = steps[0] ?? 0;
  const span = (steps.at(-1) ?? 0) - start;
  // where none were counted every step is the same
  const x = (place: number): number =>
    span
      ? (100 * ((steps[place] ?? 0) - start)) / span
      : (100 * place) / Math.max(1, steps.length - 1);
  const y = (value: number): number => (high > low ? 18 - (16 * (value - low)) / (high - low) : 10);
  let pen = "M";
  const path = values
    .map((value, place) => {
      if (Number.isNaN(value)) {
        pen = "M";
        return "";
      }
      const part = `${pen}${x(place).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return part;
    })
    .join("");
  return { path, x, low, high };
}
