import { figure, weight } from "../format";
import type { Store, ViewProps } from "../state";
import { drawn, Spark } from "./spark";
import { TRENDS } from "./trends";

/** The chosen layer over training, and its figures at the moment that is looked at. */
export function MomentPanel({ store }: ViewProps) {
  const { history } = store;
  const key = store.traits.layer.value;
  const last = history.moments.value.length - 1;
  const places = [...new Set([0, history.place.value, last])];
  const { low, high } = drawn(history.series(key, store.measuring.now.value.get(key)), []);
  const lines = Object.entries(TRENDS).filter(([name]) =>
    places.some((at) => !Number.isNaN(history.figure(key, name, at))),
  );
  if (!lines.length)
    return <p class="cl-hint">No figures of this layer at {history.words.value}.</p>;
  return (
    <>
      <figure class="cl-course">
        <figcaption>
          <b>
            {TRENDS[history.trend.value]?.[0]}, {history.named(0)} to {history.named(last)}
          </b>
          <span class="cl-hint">{low <= high && `${weight(low)} to ${weight(high)}`}</span>
        </figcaption>
        <Spark store={store} layer={key} />
      </figure>
      <table class="cl-card cl-moment" aria-label="Figures of the layer over training">
        <tr>
          <th />
          {places.map((place) => (
            <th key={place} class={place === history.place.value ? "cl-then" : ""}>
              {history.named(place)}
            </th>
          ))}
        </tr>
        {lines.map(([name, [title, write]]) => (
          <tr key={name}>
            <th>{title}</th>
            {places.map((place) => (
              <td key={place}>{write(history.figure(key, name, place))}</td>
            ))}
          </tr>
        ))}
      </table>
    </>
  );
}

/** How far the layer is from where it began, where that was recorded. */
export function cameFrom({ history, traits }: Store): string {
  const last = history.moments.value.length - 1;
  const cka = last > 0 ? history.figure(traits.layer.value, "cka_first", last) : Number.NaN;
  return Number.isNaN(cka)
    ? ""
    : `CKA of ${history.named(last)} to ${history.named(0)}: ${figure(cka)}`;
}
