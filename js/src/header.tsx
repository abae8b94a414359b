import { type Signal, useSignal } from "@preact/signals";
import { count } from "./format";
import { Icon } from "./icons";
import type { FullScreen } from "./screen";
import type { Store } from "./state";

interface Props {
  store: Store;
  full: FullScreen;
  help: Signal<boolean>;
}

export function Header({ store, full, help }: Props) {
  const { model, reference, offline } = store.kernel._structure.value;
  const facts = [`${count(model.parameters)} parameters`, model.dtype, model.device];
  if (model.inputs !== null) facts.push(`${count(model.inputs)} inputs`);
  const summary = facts.filter(Boolean).join(" · ");
  return (
    <header class="cl-header">
      <bdi class="cl-title" title={model.title}>
        {model.title}
      </bdi>
      {reference && (
        <>
          <span class="cl-against">against</span>
          <bdi class="cl-title" title={reference.title}>
            {reference.title}
          </bdi>
        </>
      )}
      <span class="cl-facts" title={summary}>
        {summary}
      </span>
      <Notes store={store} />
      <span class="cl-space" />
      {offline && (
        <span class="cl-pill" title="This page was saved: what it holds can be explored offline.">
          saved page
        </span>
      )}
      <Activity store={store} />
      <button
        type="button"
        class="cl-tool"
        onClick={full.toggle}
        aria-label={full.on ? "Leave full screen" : "Full screen"}
        title={full.on ? "Leave full screen (f)" : "Full screen (f)"}
      >
        <Icon name={full.on ? "leave" : "full"} />
      </button>
      <button
        type="button"
        class="cl-tool"
        onClick={() => (help.value = !help.value)}
        aria-label="Help"
        aria-expanded={help.value}
        title="Keys and words (?)"
      >
        <Icon name="help" />
      </button>
    </header>
  );
}

const BUSY = "kernel busy: your click is queued";

/** What the kernel is doing for this view, and how to stop it; or that it does not answer. */
function Activity({ store }: { store: Store }) {
  const { busy, jobs } = store.client;
  if (busy.value) {
    return (
      <span class="cl-pill cl-busy" role="status" title={BUSY}>
        <i class="cl-dot" />
        <span>{BUSY}</span>
      </span>
    );
  }
  // Those that say how far they are, and the comparison, whose first batch may take long.
  const job = jobs.value.findLast(
    ({ total, done, kind }) => total || done || kind === "similarity",
  );
  if (!job) return null;
  // a loader may not know how long it is
  const known = job.total ? { max: job.total, value: job.done } : {};
  const part = job.total ? `${Math.round((100 * job.done) / job.total)} %` : count(job.done);
  const begun = job.total || job.done;
  return (
    <span class={begun ? "cl-pill cl-job" : "cl-pill cl-job cl-late"}>
      <span class="cl-job-label">{begun ? job.label || job.kind : job.kind}</span>
      <progress {...known} aria-label={`${job.kind}, progress`} />
      <span class="cl-job-part">{begun ? part : ""}</span>
      <button
        type="button"
        class="cl-link"
        onClick={() => store.client.cancel(job.id)}
        title={`Stop: ${job.kind}`}
      >
        Stop
      </button>
    </span>
  );
}

/** What was done to look at the model ("unwrapped from DataParallel") and what was left out. */
function Notes({ store }: { store: Store }) {
  const open = useSignal(false);
  const { model } = store.kernel._structure.value;
  const { notes } = model;
  if (notes.length === 0) return null;
  const label = notes.length === 1 ? "1 note" : `${notes.length} notes`;
  return (
    <span class="cl-notes">
      <button
        type="button"
        class="cl-link"
        aria-label={label}
        aria-expanded={open.value}
        onClick={() => (open.value = !open.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") open.value = false;
        }}
      >
        <Icon name="info" /> <span>{label}</span>
      </button>
      {open.value && (
        <ul class="cl-popover">
          {notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
    </span>
  );
}
