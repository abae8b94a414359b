import type { Matrix } from "../comparing";
import { count, figure } from "../format";
import type { Side } from "../protocol";
import type { Store, ViewProps } from "../state";
import type { SimilarityModel } from "./model";
import { closest, nameOfSide, pairAt, sideInWords } from "./words";

interface Props extends ViewProps {
  model: SimilarityModel;
}

/** Both layers of the cell that is pointed at, else chosen: in words. */
export function PairCard({ store, model }: Props) {
  const found = store.comparing.value.value;
  const cell = model.shown.value;
  const pair = found && cell && pairAt(found, cell);
  if (!found || !pair) {
    return (
      <section class="cl-card" aria-label="Chosen layers">
        <h4>Two layers, one cell</h4>
        <p>Point at a cell to read it. A click chooses both of its layers.</p>
      </section>
    );
  }
  const identical = store.comparing.declared(found.measure)?.identical ?? 1;
  const best = closest(found, model.values.value, cell.row, identical);
  const nearest = best && pairAt(found, best);
  return (
    <section class="cl-card cl-pair" aria-label="Chosen layers">
      <h4>{pair.value}</h4>
      {pair.reverse && <p>{pair.reverse} weighted by the column’s layer</p>}
      {pair.reason && <p class="cl-reason-line">{pair.reason}</p>}
      <SideLine side={pair.row} title={found.row_title} />
      <SideLine side={pair.column} title={found.column_title} />
      {nearest && !pair.reason && (
        <p>
          Closest to <bdi>{nameOfSide(pair.row)}</bdi> is <bdi>{nameOfSide(nearest.column)}</bdi>,{" "}
          {figure(model.values.value[best.row * found.columns.length + best.column], 2)}
        </p>
      )}
      {model.hover.value === null && pair.row.key === store.traits.layer.value && (
        <p>
          <button type="button" class="cl-link" onClick={() => store.set("view", "features")}>
            See what its channels look for
          </button>
        </p>
      )}
      <p class="cl-estimator">{found.estimator}</p>
    </section>
  );
}

function SideLine({ side, title }: { side: Side; title: string }) {
  return (
    <p>
      <bdi class="cl-layer-name">{nameOfSide(side)}</bdi>
      <span>
        {title} · {sideInWords(side)}
      </span>
    </p>
  );
}

/** What the measure is; its equation and source unfold. */
export function MeasureCard({ store }: { store: Store }) {
  const found = store.comparing.value.value;
  const measure = store.comparing.declared(found?.measure ?? store.traits.measure.value);
  if (!measure) return null;
  return (
    <section class="cl-card cl-measure" aria-label="Measure">
      <h4>{measure.title}</h4>
      <p>
        {measure.identical === 0 ? "A distance: 0 = same." : "1 = same."} Needs {measure.needs}.
      </p>
      <details>
        <summary>How it is computed</summary>
        <p class="cl-formula">{measure.equation}</p>
        <p>{measure.source}</p>
        <p>Unchanged by: {measure.invariant.join(", ")}</p>
      </details>
      {found && <Notes found={found} />}
    </section>
  );
}

function Notes({ found }: { found: Matrix }) {
  const none = [...found.rows, ...found.columns].filter(({ reason }) => reason !== null).length;
  const layers = none === 1 ? "1 layer has" : `${count(none)} layers have`;
  const notes = none ? [`${layers} no value: hatched.`, ...found.notes] : found.notes;
  if (notes.length === 0) return null;
  return (
    <ul>
      {notes.map((note) => (
        <li key={note}>{note}</li>
      ))}
    </ul>
  );
}

/** The chosen pair, read out as it changes. */
export function Spoken({ store, model }: Props) {
  const found = store.comparing.value.value;
  const cell = model.chosen.value;
  const pair = found && cell && pairAt(found, cell);
  const words = pair && [nameOfSide(pair.row), nameOfSide(pair.column), pair.value, pair.reason];
  return (
    <p class="cl-unseen" role="status">
      {words?.filter(Boolean).join(", ")}
    </p>
  );
}
