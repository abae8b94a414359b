import { useLayoutEffect } from "preact/hooks";
import { Cards } from "../cards";
import { ClassesCard, LayerCard, RestCard, ScalesCard } from "../compression/cards";
import { Controls } from "../compression/controls";
import { Flips } from "../compression/flips";
import { compressionPicture } from "../compression/picture";
import { RankingList } from "../compression/ranking";
import { ProblemNotice } from "../notices";
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
  if (!store.kernel._structure.value.compression) return <Nothing store={store} />;
  const problem = asking.problem.value;
  return (
    <div class="cl-filters cl-compression">
      <Controls store={store} />
      {problem && (
        <ProblemNotice
          store={store}
          problem={problem}
          retry={store.live.value ? () => compressing.run() : undefined}
        />
      )}
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
          <button
            type="button"
            class="cl-button cl-primary"
            disabled={!store.live.value}
            title={store.lost.value || undefined}
            onClick={() => store.compressing.run()}
          >
            Measure
          </button>
        </>
      )}
    </section>
  );
}

function Nothing({ store }: ViewProps) {
  const { reference, model } = store.kernel._structure.value;
  return (
    <div class="cl-empty cl-no-inputs">
      <p>{reference ? "Compression needs inputs" : "Compression needs a second network"}</p>
      <p>
        {reference
          ? `What each layer of ${model.title} costs is seen on inputs. Give the Lens a batch or a loader, with labels where there are any:`
          : `Give the Lens of ${model.title} the same network before it was pruned, quantised or fine-tuned, or after, and inputs to run both on:`}
      </p>
      <code>cl.Lens(small, inputs=images, labels=y, reference=original)</code>
      {!reference && (
        <>
          <p>To make one:</p>
          <code>small = cl.compression.quantize(model, images, bits=8)</code>
          <code>small = cl.compression.prune(model, 0.5)</code>
        </>
      )}
    </div>
  );
}
