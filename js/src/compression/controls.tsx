import { count } from "../format";
import { Segments } from "../segments";
import type { ViewProps } from "../state";
import type { RankedBy } from "../wire/compression";

/** What layers are ranked by, which model is the compressed one, and how far it is. */
export function Controls({ store }: ViewProps) {
  const { compressing, traits, kernel } = store;
  const { compression, model, reference } = kernel._structure.value;
  const report = compressing.report.value.value;
  const fixed = store.lost.value !== "";
  const none = (name: RankedBy) =>
    report?.finished && report.layers.every(({ missing }) => missing[name] !== undefined);
  return (
    <div class="cl-tools cl-compare">
      <label class="cl-choice">
        rank by
        <select
          value={traits.compression_by.value}
          disabled={fixed}
          onChange={(event) => store.set("compression_by", event.currentTarget.value as RankedBy)}
        >
          {compression.rankings.map(({ name, title }) => (
            <option key={name} value={name} disabled={none(name)}>
              {title}
              {none(name) ? " (no layer has it)" : ""}
            </option>
          ))}
        </select>
      </label>
      <span class="cl-choice">
        compressed is
        <Segments
          label="Compressed"
          options={[
            { id: "model", label: model.title, title: `${model.title} is the compressed one` },
            {
              id: "reference",
              label: reference?.title ?? "",
              title: `${reference?.title} is the compressed one`,
            },
          ]}
          value={compressing.side.value}
          disabled={fixed}
          choose={(side) => store.set("compression_after", side)}
        />
      </span>
      <span class="cl-space" />
      <Progress store={store} />
      <p class="cl-plain">
        {compression.rankings.find(({ name }) => name === traits.compression_by.value)?.help}
      </p>
    </div>
  );
}

function Progress({ store }: ViewProps) {
  const { compressing } = store;
  const { running, stopped, problem, value } = compressing.report;
  const found = value.value;
  const current = compressing.current.value;
  if (running.value) {
    const words = found && current ? `${found.label}, ${count(found.n)} inputs` : "starting …";
    return (
      <span class="cl-hint" role="status">
        {words}
      </span>
    );
  }
  if (!found || problem.value || (current && !stopped.value)) return null;
  return (
    <>
      <span class="cl-hint cl-brief" role="status">
        {current ? "stopped before the end" : "weights changed since"}
      </span>
      {store.live.value && (
        <button type="button" class="cl-button cl-primary" onClick={() => compressing.run()}>
          {current ? "Resume" : "Measure"}
        </button>
      )}
    </>
  );
}
