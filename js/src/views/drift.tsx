import { useLayoutEffect } from "preact/hooks";
import { Cards } from "../cards";
import { AboutCard, CoefficientsCard, LayerCard } from "../drift/cards";
import { Chart } from "../drift/chart";
import { driftPicture } from "../drift/picture";
import { groupInWords } from "../drift/words";
import { count } from "../format";
import { ProblemNotice } from "../notices";
import type { ViewProps } from "../state";
import type { DriftAgainst } from "../wire/drift";
import "../css/drift.css";

export function DriftView({ store }: ViewProps) {
  const { drifting } = store;
  const { asking } = drifting;
  const found = asking.value.value;
  const problem = asking.problem.value;
  useLayoutEffect(() => {
    store.picture.value = found ? () => driftPicture(store, found) : null;
    return () => {
      store.picture.value = null;
    };
  }, [store, found]);
  // a database may be of other kernels: the kernel of Python says
  const none =
    drifting.params.value.against !== "database" &&
    store.layers.value.every(
      ({ shape, transposed }) => transposed || `${shape.slice(2)}` !== "3,3",
    );
  if (none) return <Nothing store={store} />;
  return (
    <div class="cl-filters cl-similarity cl-drift">
      <Controls store={store} />
      {problem && (
        <ProblemNotice
          store={store}
          problem={problem}
          retry={store.live.value ? () => drifting.run() : undefined}
        />
      )}
      {found ? (
        <div class={`cl-filters-body${drifting.current.value ? "" : " cl-past"}`}>
          <div class="cl-stage" style={{ "--cl-tall": "340px" }}>
            <Chart store={store} found={found} />
          </div>
          <Cards>
            <LayerCard store={store} found={found} />
            <CoefficientsCard store={store} found={found} />
            <AboutCard store={store} found={found} />
          </Cards>
        </div>
      ) : problem ? (
        <Kernels store={store} />
      ) : asking.running.value ? (
        <div class="cl-filters-body" aria-busy="true">
          <div class="cl-stage cl-skeleton" />
          <Cards>
            <div class="cl-skeleton" />
            <div class="cl-skeleton" />
          </Cards>
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
  const { against, group } = drifting.params.value;
  const known = found?.against === against ? found.groups : ["all", "depth"];
  const groups = known.includes(group) ? known : [...known, group];
  const fixed = store.lost.value !== "";
  const again = !asking.running.value && found && !drifting.current.value && store.live.value;
  return (
    <div class="cl-tools cl-compare">
      <label class="cl-choice">
        against
        <select
          class="cl-measures"
          value={against}
          disabled={fixed}
          onChange={(event) => {
            const chosen = event.currentTarget.value as DriftAgainst;
            store.change({
              drift_against: chosen,
              drift_group: group === "depth" ? group : "all",
            });
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
        {groups.map((name) => (
          <option key={name} value={name}>
            {groupInWords(name)}
          </option>
        ))}
      </select>
      {found && (
        <span class="cl-hint cl-made" title={found.title}>
          {found.against === "shipped"
            ? `made by the project from ${count(found.models)} small nets of its own`
            : `${count(found.filters)} filters`}
        </span>
      )}
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
              ? "It is large, and is read once, from beginning to end: that can take minutes, and can be stopped."
              : "Every layer’s filters are compared with its own; no inputs are needed."}
          </p>
          <button
            type="button"
            class="cl-button cl-primary"
            disabled={!store.live.value}
            title={store.lost.value || undefined}
            onClick={() => drifting.run()}
          >
            Compare
          </button>
        </section>
      </div>
    </div>
  );
}

/** What the layers are, where none of them can be compared. */
function Nothing({ store }: ViewProps) {
  return (
    <div class="cl-empty">
      <p>No layer here has filters of 3 × 3</p>
      <p>Drift says how far the 3 × 3 filters of convolutions are from those of other networks.</p>
      <Kernels store={store} />
    </div>
  );
}

function Kernels({ store }: ViewProps) {
  return (
    <ul class="cl-missing">
      {store.layers.value.map(({ key, kind, shape, reason }) => (
        <li key={key}>
          <bdi>{key}</bdi> {reason ?? `${kind} ${shape.slice(2).join(" × ")}`}
        </li>
      ))}
    </ul>
  );
}
