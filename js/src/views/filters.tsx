import { useComputed } from "@preact/signals";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { Cards } from "../cards";
import { count, shapeInWords } from "../format";
import { BasisCard, FilterCard, NoteCard, Spoken } from "../gallery/cards";
import { type Pane, Stage } from "../gallery/gallery";
import { GalleryModel } from "../gallery/model";
import { PairCard, PairedChoice, titles } from "../gallery/pair";
import { filtersPicture } from "../gallery/picture";
import { useLate } from "../late";
import { ProblemNotice } from "../notices";
import type { Scale, Sort } from "../protocol";
import { Segments } from "../segments";
import type { ViewProps } from "../state";
import { Steering } from "../steering";
import "../css/filters.css";

const SORTS: readonly { id: Sort; label: string; title: string }[] = [
  { id: "position", label: "position", title: "Outputs down, inputs across" },
  { id: "norm", label: "norm", title: "Largest norm first" },
  { id: "entropy", label: "entropy", title: "Lowest spatial entropy first" },
  { id: "cluster", label: "cluster", title: "Alike filters side by side" },
];

const SCALES: readonly { id: Scale; label: string; title: string }[] = [
  { id: "filter", label: "filter", title: "Colours span each filter’s own weights" },
  { id: "layer", label: "layer", title: "Colours span the layer’s weights" },
  { id: "model", label: "model", title: "Colours span the model’s weights: layers compare" },
];

export function FiltersView({ store }: ViewProps) {
  const layer = store.layer.value;
  // the state of a gallery lasts as long as the view is open
  const [model, steering] = useMemo(() => {
    const made = new GalleryModel(store);
    return [made, new Steering(made.limits)] as const;
  }, [store]);
  const { alike, shown, partner } = store.pairing;
  const both = alike.value;
  const [reference, difference, apart] = useMemo(() => {
    const made = new GalleryModel(store, { lead: model, of: "reference", alike: both });
    const less = new GalleryModel(store, { lead: model, of: "difference", alike: true });
    return [made, less, both ? steering : new Steering(made.limits)] as const;
  }, [store, model, steering, both]);
  const [title, other] = titles(store);
  const own: Pane = { model, steering, title: other && title };
  const theirs: Pane = { model: reference, steering: apart, title: other };
  const less: Pane = { model: difference, steering, title: `${title} − ${other}` };
  const panes: readonly Pane[] = {
    model: [own],
    reference: [theirs],
    "side by side": [own, theirs],
    difference: [less],
  }[shown.value];
  const current = useRef(panes);
  current.current = panes;
  useLayoutEffect(() => {
    store.picture.value = () => filtersPicture(store, current.current);
    return () => {
      store.picture.value = null;
    };
  }, [store]);

  const { problem, value } = store.filters.value;
  const drawn = useComputed(() => model.set.value.out > 0).value;
  const past = useLate(useComputed(() => !model.current.value).value);
  const reason = layer?.reason ?? null;
  if (layer && reason !== null) {
    return (
      <div class="cl-empty">
        <p>No filters to draw</p>
        <p>{reason}</p>
      </div>
    );
  }
  // without a kernel nothing more will come
  const lost = store.lost.value !== "" && !model.current.value;
  const notice = problem && (
    <ProblemNotice store={store} problem={problem} retry={() => store.retry("filters")} />
  );
  const missing = shown.value === "model" ? null : store.pairing.filters.value.problem;
  if (notice && !value) return <div class="cl-filters">{notice}</div>;
  const { sort, scale } = store.traits;
  const rest = (
    <>
      <span class="cl-space" />
      {!lost && <Progress store={store} model={model} past={past} />}
    </>
  );
  const told = shown.value === "reference" ? reference : model;
  const paired = partner.value !== undefined && both && store.pairing.why.value === "";
  return (
    <div class="cl-filters">
      {notice}
      {missing && (
        <ProblemNotice store={store} problem={missing} retry={() => store.pairing.retry()} />
      )}
      <div class="cl-tools">
        <span class="cl-choice">
          order
          <Segments
            label="Order"
            options={SORTS}
            value={sort.value}
            choose={(chosen) => store.set("sort", chosen)}
          />
        </span>
        <span class="cl-choice">
          scale
          <Segments
            label="Scale of colours"
            options={SCALES}
            value={scale.value}
            choose={(chosen) => store.set("scale", chosen)}
          />
        </span>
        {!other && rest}
      </div>
      {other && (
        <div class="cl-tools">
          <PairedChoice store={store} />
          {rest}
        </div>
      )}
      {lost ? (
        <div class="cl-empty">
          <p>These filters were not saved</p>
          <p>A notebook keeps the figures of every layer, not its weights: run the cell.</p>
        </div>
      ) : drawn ? (
        <div class={`cl-filters-body${past ? " cl-past" : ""}${panes.length > 1 ? " cl-two" : ""}`}>
          <Stage store={store} panes={panes} />
          <Cards>
            {!both && (shown.value === "reference" || reference.hover.value !== null) ? (
              <FilterCard store={store} model={reference} />
            ) : (
              <FilterCard store={store} model={model} reference={paired ? reference : null} />
            )}
            <PairCard store={store} model={model} difference={difference} />
            <BasisCard store={store} model={told} />
            <NoteCard store={store} model={told} />
          </Cards>
          <Spoken store={store} model={told} />
          {!both && panes.length > 1 && <Spoken store={store} model={reference} />}
        </div>
      ) : (
        <div class="cl-filters-body" aria-busy="true">
          <div class="cl-skeleton cl-stage" />
          <div class="cl-cards">
            <div class="cl-skeleton" />
            <div class="cl-skeleton" />
          </div>
        </div>
      )}
    </div>
  );
}

/** What is still on its way, else how much there is and what to do with it. */
function Progress({ store, model, past }: ViewProps & { model: GalleryModel; past: boolean }) {
  const { layer, out, outputs, inputs, loaded, taps } = model.set.value;
  const { sort } = store.traits;
  const { problem, pending } = store.clusters.value;
  if (past) return <span class="cl-hint">loading …</span>;
  if (loaded < out) {
    return (
      <span class="cl-hint" role="status">
        {count(loaded)} of {count(out)} outputs
      </span>
    );
  }
  if (sort.value === "cluster" && problem) {
    return (
      <span class="cl-hint" role="alert">
        No clusters: {problem.message}{" "}
        {store.live.value && (
          <button type="button" class="cl-link" onClick={() => store.retry("clusters")}>
            Try again
          </button>
        )}
      </span>
    );
  }
  if (sort.value === "cluster" && pending) return <span class="cl-hint">finding clusters …</span>;
  if (sort.value === "entropy" && taps === 1) {
    return <span class="cl-hint">one weight has no entropy: by position</span>;
  }
  const info = store.layers.value.find(({ key }) => key === layer);
  const things = taps === 1 ? "weight" : "filter";
  const total = `${count(out * inputs)} ${things}${out * inputs === 1 ? "" : "s"}`;
  return (
    <span class="cl-hint" title={info ? shapeInWords(info) : undefined}>
      {out < outputs ? `the first ${count(out)} of ${count(outputs)} outputs` : total} · scroll to
      zoom
    </span>
  );
}
