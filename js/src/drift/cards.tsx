import type { Drift } from "../drifting";
import { count, figure, nameOf } from "../format";
import type { Store } from "../state";
import { Coefficients } from "./coefficients";
import { driftInWords, groupInWords, otherInWords } from "./words";

interface Props {
  store: Store;
  found: Drift;
}

/** Where the chosen layer stands, in a sentence, and the way to its filters. */
export function LayerCard({ store, found }: Props) {
  const layer = store.layer.value;
  const place = store.drifting.place.value;
  const row = found.layers[place];
  const why = found.missing.find(([key]) => key === layer?.key)?.[1];
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
          <p class="cl-sentence" title={`Layers at this depth: ${count(found.beside[place] ?? 0)}`}>
            {row.entropy_rank === null
              ? "At its depth there is nothing to compare its diversity with."
              : `Your ${row.text}.`}
          </p>
          <p>
            Drift {figure(row.drift)}, {driftInWords(row)}.
          </p>
        </>
      ) : (
        <p>Not compared: {why ?? "it is no convolution"}.</p>
      )}
    </section>
  );
}

/** The distributions behind a drift. */
export function CoefficientsCard({ store, found }: Props) {
  return (
    <section class="cl-card" aria-label="Coefficients">
      <Coefficients store={store} found={found} />
    </section>
  );
}

/** What it is compared with, how, and which layers are not. */
export function AboutCard({ found }: Props) {
  const other = otherInWords(found);
  const { missing } = found;
  return (
    <section class="cl-card cl-measure" aria-label="About">
      <h4>The {other}</h4>
      <p>
        {found.title}: {count(found.models)} {found.models === 1 ? "network" : "networks"},{" "}
        {count(found.filters)} filters.
        {found.against === "shipped" &&
          " The project made it from its own small nets; give the Lens database= for one of yours."}
      </p>
      <p>
        All layers together drift {figure(found.whole.drift)} from {groupInWords(found.whole.group)}
        : {driftInWords(found.whole)}.
      </p>
      <details>
        <summary>How it is computed</summary>
        <p class="cl-formula">D = Σᵢ EVRᵢ [KL(Pᵢ|Qᵢ) + KL(Qᵢ|Pᵢ)]</p>
        <p>
          Filters over their largest weight, along the components of the {other}, in 70 bins; noise
          is what as many filters of the group itself give, at most in 99 of 100 draws. Curves are
          smoothed. P. Gavrikov, J. Keuper: CNN Filter DB. CVPR 2022.
        </p>
        {found.notes.map((note) => (
          <p key={note}>{note}</p>
        ))}
      </details>
      {missing.length > 0 && (
        <details>
          <summary>
            {count(missing.length)} {missing.length === 1 ? "layer is" : "layers are"} not compared
          </summary>
          <ul class="cl-missing">
            {missing.map(([key, why]) => (
              <li key={key}>
                <bdi>{key}</bdi> {why}
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}
