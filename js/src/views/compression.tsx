import { useLayoutEffect } from "preact/hooks";
import { Cards } from "../cards";
import { ClassesCard, LayerCard, RestCard, ScalesCard } from "../compression/cards";
import { Controls } from "../compression/controls";
import { Flips } from "../compression/flips";
import { compressionPicture } from "../compression/picture";
import { RankingList } from "../compression/ranking";
import { ProblemNotice } from "../notices";
import { StartButton } from "../start";
import type { ViewProps } from "../state";
import "../css/compression.css";

export function CompressionView({ store }: ViewProps) {
  const { compressing } = store;
  const { report: asking } = compressing;
  const report = asking.value.value;
  const drawn = report !== null;
  useLayoutEffect(() => {
    store.picture.value = drawn ? () => compressionPicture(store) : null;
    return () => {
      store.picture.value = null;
    };
  }, [store, drawn]);
  const { missing } = store.kernel._structure.value.compression;
  if (missing) {
    return (
      <div class="cl-empty cl-no-inputs">
        <p>{missing.title}</p>
        <p>{missing.text}</p>
        {missing.code.map((line) => (
          <code key={line}>{line}</code>
        ))}
      </div>
    );
  }
  const problem = asking.problem.value;
  return (
    <div class="cl-filters cl-compression">
      <Controls store={store} />
      {problem && <ProblemNotice store={store} problem={problem} retry={() => compressing.run()} />}
      {report ? (
        <div
          class={`cl-report${compressing.current.value ? "" : " cl-past"}`}
          data-finished={report.finished}
        >
          <dl class="cl-sums">
            {report.facts.map(([name, value, more, help]) => (
              <div key={name} title={help}>
                <dt>{name}</dt>
                <dd>{value}</dd>
                <dd class="cl-hint">{more}</dd>
              </div>
            ))}
          </dl>
          <div class="cl-filters-body">
            {report.layers.length > 0 ? (
              <div class="cl-stage">
                <RankingList store={store} />
              </div>
            ) : (
              <p class="cl-stage cl-hint">
                No layer of the one has a counterpart in the other: only the whole can be compared.
              </p>
            )}
            <Cards>
              <LayerCard store={store} report={report} />
              <ScalesCard store={store} />
              <ClassesCard store={store} report={report} />
              <RestCard store={store} report={report} />
            </Cards>
          </div>
          <Flips store={store} />
        </div>
      ) : (
        <div class="cl-filters-body" aria-busy={asking.running.value}>
          <div class="cl-stage cl-grid">
            <Offer store={store} />
          </div>
        </div>
      )}
    </div>
  );
}

/** What will be measured: the first time a person asks for it. */
function Offer({ store }: ViewProps) {
  const { model, reference } = store.kernel._structure.value;
  const running = store.compressing.report.running.value;
  return (
    <section class="cl-card cl-offer" aria-label="Compression">
      <h4>{running ? "Measuring" : "What compression did"}</h4>
      {running ? (
        <p role="status">The weights come first, then the inputs batch by batch.</p>
      ) : (
        <>
          <p>
            {model.title} and {reference?.title}, layer by layer: what each one costs, which inputs
            flip. It fills in and can be stopped.
          </p>
          <StartButton store={store} label="Measure" run={() => store.compressing.run()} />
        </>
      )}
    </section>
  );
}
