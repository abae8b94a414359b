import { figure } from "../format";
import { ProblemNotice } from "../notices";
import type { ViewProps } from "../state";
import type { Pair } from "../wire/saliency";
import { modelOf } from "./model";
import { titleOf } from "./words";

/** What the maps say together, and what the method is. */
export function Cards({ store }: ViewProps) {
  return (
    <div class="cl-cards cl-saliency-cards">
      <AgreementCard store={store} />
      <SanityCard store={store} />
      <MethodCard store={store} />
    </div>
  );
}

/** How alike the maps are: of two models by each method; of one model, the chosen map and others. */
function AgreementCard({ store }: ViewProps) {
  const { explaining } = store;
  const { agreement, wanted } = explaining;
  if (wanted.value.length < 2) return null;
  const problem = agreement.problem.value;
  const done = wanted.value.filter((asked) => explaining.map(asked));
  const pairs = agreement.value.value?.pairs ?? [];
  const { model, reference } = store.kernel._structure.value;
  const rows = pairs.flatMap((pair) => {
    const [a, b] = [done[pair.first], done[pair.second]];
    if (!a || !b) return [];
    const alike = reference ? a.method === b.method : pair.first === 0;
    return alike
      ? [{ title: titleOf({ asked: b, method: explaining.declared(b.method) }), pair }]
      : [];
  });
  const [first] = done;
  const own = first && titleOf({ asked: first, method: explaining.declared(first.method) });
  return (
    <section class="cl-card" aria-label="Agreement">
      <h4>
        {reference
          ? `${model.title} and ${reference.title}`
          : own
            ? `Agreement with ${own}`
            : "Agreement"}
      </h4>
      {problem ? (
        <ProblemNotice store={store} problem={problem} />
      ) : rows.length === 0 ? (
        <p>Maps are compared as soon as two are there.</p>
      ) : (
        <>
          <ul class="cl-agree">
            {rows.map(({ title, pair }) => (
              <li key={title} title={inFull(pair)}>
                <span>{title}</span>
                <b>{plain(pair.rank_correlation)}</b>
              </li>
            ))}
          </ul>
          <p class="cl-hint">
            Rank correlation: 1 where pixels stand in the same order.
            {rows.some(({ pair }) => pair.rank_correlation === null) &&
              " None (n/a) where a map is the same everywhere."}
          </p>
        </>
      )}
    </section>
  );
}

/** Never "−0.00". */
const plain = (value: number | null) =>
  figure(value !== null && Math.abs(value) < 0.005 ? 0 : value, 2);

const inFull = ({ rank_correlation, ssim, cosine }: Pair) =>
  `rank correlation ${figure(rank_correlation)} · SSIM ${figure(ssim)} · cosine ${figure(cosine)}`;

/** Does the map change when the weights are random? One that does not speaks of the picture only. */
function SanityCard({ store }: ViewProps) {
  const { explaining } = store;
  const asked = explaining.wanted.value[0];
  if (!asked) return null;
  const { sanity } = explaining;
  const found = sanity.value.value;
  const same = found !== null && sanity.asked.value === JSON.stringify(asked);
  const running = sanity.running.value;
  const problem = sanity.problem.value;
  return (
    <section class="cl-card" aria-label="Sanity check">
      <h4>Does it speak of the model?</h4>
      {problem && same ? <ProblemNotice store={store} problem={problem} /> : null}
      {same && found.layers.length > 0 ? (
        <>
          <Cascade layers={found.layers} left={found.rank_correlation} />
          <p aria-hidden="true">
            <bdi>{found.layers[0]}</bdi>
            <bdi>{found.layers.length > 1 && found.layers.at(-1)}</bdi>
          </p>
          <p role="status">
            {found.verdict ||
              `Randomised down to ${found.layers.at(-1)}: ${plain(
                found.rank_correlation.at(-1) ?? null,
              )} is left.`}
          </p>
        </>
      ) : (
        <p>
          With random weights this map should change. One that does not shows the edges of the
          picture, not what was learned (Adebayo et al. 2018).
        </p>
      )}
      {running && same ? (
        <button type="button" class="cl-button" onClick={() => sanity.stop()}>
          Stop
        </button>
      ) : (
        !(same && found.verdict) && (
          <button
            type="button"
            class="cl-button"
            disabled={!store.live.value || !explaining.map(asked)}
            onClick={() => explaining.check(asked)}
          >
            {same && sanity.stopped.value ? "Again" : "Check"}
          </button>
        )
      )}
    </section>
  );
}

/** What is left of the map as one layer after the other gets random weights. */
function Cascade({ layers, left }: { layers: string[]; left: (number | null)[] }) {
  const [width, height] = [220, 46];
  const x = (index: number) => 4 + (index * (width - 8)) / Math.max(1, layers.length - 1);
  const y = (value: number | null) => height - 4 - (height - 8) * Math.max(0, Math.abs(value ?? 0));
  const points = left.map((value, index) => `${x(index)},${y(value)}`).join(" ");
  const label = layers
    .map((layer, index) => `${layer} ${figure(left[index] ?? null, 2)}`)
    .join(", ");
  return (
    <svg
      class="cl-cascade"
      viewBox={`0 0 ${width} ${height}`}
      role="img"
      aria-label={`Rank correlation with the map as layers are randomised: ${label}`}
    >
      <line x1="0" x2={width} y1={y(0)} y2={y(0)} />
      <polyline points={points} />
      {left.map((value, index) => (
        <circle key={layers[index]} cx={x(index)} cy={y(value)} r="2.2">
          <title>{`${layers[index]}: ${figure(value, 2)}`}</title>
        </circle>
      ))}
    </svg>
  );
}

/** What the chosen method is, and which cannot be had. */
function MethodCard({ store }: ViewProps) {
  const { explaining } = store;
  const method = explaining.declared(store.traits.method.value);
  if (!method) return null;
  const refused = explaining.methods.flatMap(({ name, title }) => {
    const reason = explaining.refusal(name);
    return reason === null ? [] : [{ title, reason }];
  });
  const notes = [...new Set(modelOf(store).figures.value.flatMap(({ map }) => map?.notes ?? []))];
  return (
    <section class="cl-card cl-measure" aria-label="Method">
      <h4>{method.title}</h4>
      <p>{sentence(method.help)}</p>
      {notes.map((note) => (
        <p key={note}>{sentence(note)}</p>
      ))}
      <details>
        <summary>Source, and what it needs</summary>
        <p>{method.source}</p>
        <p>Needs {method.needs}.</p>
      </details>
      {refused.length > 0 && (
        <details>
          <summary>
            {refused.length} {refused.length === 1 ? "method is" : "methods are"} not for this model
          </summary>
          <ul>
            {refused.map(({ title, reason }) => (
              <li key={title}>
                <b>{title}</b>: {reason}
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

const sentence = (text: string) => {
  const [first = "", ...rest] = text;
  return first.toUpperCase() + rest.join("") + (/[.!?]$/.test(text) ? "" : ".");
};
