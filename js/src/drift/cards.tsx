import type { Drift } from "../drifting";
import { nameOf } from "../format";
import type { Store } from "../state";

interface Props {
  store: Store;
  found: Drift;
}

/** Where the chosen layer stands, in a sentence, and the way to its filters. */
export function LayerCard({ store, found }: Props) {
  const layer = store.layer.value;
  const row = found.layers[store.drifting.place.value];
  return (
    <section class="cl-card cl-drifted" aria-label="Chosen layer">
      <h4>
        <bdi>{nameOf(layer)}</bdi>
        {row && (
          <button
            type="button"
            class="cl-link"
            title="Enter, or a double click in the chart"
            onClick={() => store.set("view", "filters")}
          >
            Open its filters
          </button>
        )}
      </h4>
      {row ? (
        <>
          <p class="cl-sentence">{row.sentences[0]}</p>
          <p>{row.sentences[1]}</p>
        </>
      ) : (
        <p>Not compared: {found.missing.find(([key]) => key === layer?.key)?.[1]}.</p>
      )}
    </section>
  );
}

/** What it is compared with, how, and which layers are not. */
export function AboutCard({ found }: Props) {
  return (
    <section class="cl-card cl-measure" aria-label="About">
      <p>{found.about}</p>
      <details>
        <summary>How it is computed</summary>
        {found.how.map((line, index) => (
          <p key={line} class={index ? "" : "cl-formula"}>
            {line}
          </p>
        ))}
      </details>
      {found.missing.length > 0 && (
        <details>
          <summary>Layers not compared: {found.missing.length}</summary>
          <Reasons layers={found.missing} />
        </details>
      )}
    </section>
  );
}

/** Layers, and why each is not compared. */
export function Reasons({ layers }: { layers: readonly (readonly [string, string])[] }) {
  return (
    <ul class="cl-missing">
      {layers.map(([key, why]) => (
        <li key={key}>
          <bdi>{key}</bdi> {why}
        </li>
      ))}
    </ul>
  );
}
