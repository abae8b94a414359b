import { useLayoutEffect } from "preact/hooks";
import { Cards } from "../cards";
import { AboutCard, LayerCard, Reasons } from "../drift/cards";
import { Chart } from "../drift/chart";
import { Coefficients } from "../drift/coefficients";
import { driftPicture } from "../drift/picture";
import { ProblemNotice } from "../notices";
import { StartButton } from "../start";
import type { ViewProps } from "../state";
import type { DriftAgainst } from "../wire/drift";
import "../css/drift.css";

export function DriftView({ store }: ViewProps) {
  const { drifting } = store;
  const { asking } = drifting;
  const found = asking.value.value;
  const problem = asking.problem.value;
  useLayoutEffect(() => {
    store.picture.value = found?.whole ? () => driftPicture(store, found) : null;
    return () => {
      store.picture.value = null;
    };
  }, [store, found]);
  return (
    <div class="cl-filters cl-similarity cl-drift">
      <Controls store={store} />
      {problem && <ProblemNotice store={store} problem={problem} retry={() => drifting.run()} />}
      {found && !found.whole ? (
        <div class="cl-empty">
          <p>{found.about}</p>
          <Reasons layers={found.missing} />
        </div>
      ) : found ? (
        <div class={`cl-filters-body${drifting.current.value ? "" : " cl-past"}`}>
          <div class="cl-stage" style={{ "--cl-tall": "340px" }}>
            <Chart store={store} found={found} />
          </div>
          <Cards>
            <LayerCard store={store} found={found} />
            <section class="cl-card" aria-label="Coefficients">
              <Coefficients store={store} found={found} />
            </section>
            <AboutCard store={store} found={found} />
          </Cards>
        </div>
      ) : problem ? null : asking.running.value ? (
        <div class="cl-filters-body" aria-busy="true">
          <div class="cl-stage cl-skeleton" />
        </div>
      ) : (
        <Offer store={store} />
      )}
    </div>
  );
}

/** What filters are compared with. */
function Controls({ store }: ViewProps) {
  const { drifting, traits } = store;
  const { asking } = drifting;
  const sources = store.kernel._structure.value.drift;
  const found = asking.value.value;
  const groups = found?.groups ?? drifting.source.value?.groups;
  const fixed = store.lost.value !== "";
  const again = !asking.running.value && found && !drifting.current.value && store.live.value;
  return (
    <div class="cl-tools cl-compare">
      <label class="cl-choice">
        against
        <select
          class="cl-measures"
          value={traits.drift_against.value}
          disabled={fixed}
          onChange={(event) => {
            const chosen = event.currentTarget.value as DriftAgainst;
            store.change({ drift_against: chosen, drift_group: "all" });
          }}
        >
          {sources.map(({ name, title }) => (
            <option key={name} value={name}>
              {title}
            </option>
          ))}
        </select>
      </label>
      <select
        aria-label="Layers compared with"
        value={traits.drift_group.value}
        disabled={fixed}
        onChange={(event) => store.set("drift_group", event.currentTarget.value)}
      >
        {groups?.map(([name, title]) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      <span class="cl-hint cl-made" title={found?.about}>
        {found?.made}
      </span>
      <span class="cl-space" />
      {again && (
        <button type="button" class="cl-button cl-primary" onClick={() => drifting.run()}>
          Compare
        </button>
      )}
    </div>
  );
}

/** Before a large database is read, and after reading was stopped. */
function Offer({ store }: ViewProps) {
  const { drifting } = store;
  const source = drifting.source.value;
  return (
    <div class="cl-filters-body">
      <div class="cl-stage cl-grid">
        <section class="cl-card cl-offer" aria-label="Comparison">
          <h4>{drifting.asking.stopped.value ? "Stopped" : source?.title}</h4>
          <p>
            {source?.asks
              ? "It is large, and is read once: that can take minutes, and can be stopped."
              : "The filters of every layer; no inputs are needed."}
          </p>
          <StartButton store={store} label="Compare" run={() => drifting.run()} />
        </section>
      </div>
    </div>
  );
}
