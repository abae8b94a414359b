// What a person must know about the connection, told above the view; the picture below stays.
import type { ComponentChildren } from "preact";
import type { Problem } from "./cache";
import { copyText } from "./clipboard";
import { Icon, type IconName } from "./icons";
import type { Store, ViewProps } from "./state";

export function Notices({ store }: ViewProps) {
  const { stale, closed } = store.kernel;
  const problem = store.problem.value;
  const gone = store.client.gone.value;
  const missing = store.measuring.unmeasured.value;
  return (
    <div class="cl-notices">
      {closed.value ? (
        <Notice tone="muted" icon="none">
          This Lens was closed in Python. Its last picture stays; make a new Lens to go on.
        </Notice>
      ) : gone ? (
        <Notice tone="bad" icon="bad">
          The kernel is gone: this is the last picture. Run the cell again to go on.
        </Notice>
      ) : stale.value ? (
        <Notice tone="warn" icon="warn">
          Weights changed since this was drawn.
          <button type="button" class="cl-link" onClick={() => store.refresh()}>
            <Icon name="refresh" /> Refresh
          </button>
        </Notice>
      ) : missing > 0 ? (
        <Notice tone="muted" icon="none">
          Stopped: {missing} {missing === 1 ? "layer is" : "layers are"} not measured.
          <button type="button" class="cl-link" onClick={() => store.retry("quality")}>
            <Icon name="refresh" /> Measure the rest
          </button>
        </Notice>
      ) : null}
      {problem && (
        <ProblemNotice
          store={store}
          problem={problem}
          dismiss={() => (store.problem.value = null)}
        />
      )}
    </div>
  );
}

interface NoticeProps {
  tone: "muted" | "warn" | "bad";
  icon: IconName;
  children: ComponentChildren;
}

function Notice({ tone, icon, children }: NoticeProps) {
  return (
    <div class={`cl-notice cl-tone-${tone}`} role="status">
      <Icon name={icon} />
      <span class="cl-notice-text">{children}</span>
    </div>
  );
}

interface ProblemProps {
  store: Store;
  problem: Problem;
  /** Offered while there is a kernel to ask. */
  retry?: (() => void) | undefined;
  dismiss?: (() => void) | undefined;
}

/** One sentence; the details unfold and can be copied. */
export function ProblemNotice({ store, problem, retry, dismiss }: ProblemProps) {
  const { message, details } = problem;
  const copy = async (event: Event) => {
    const done = await copyText(`${message}\n${details}`.trim(), event.target as Element);
    store.say(done ? "Copied" : "The browser does not allow copying here");
  };
  return (
    <div class="cl-notice cl-tone-bad" role="alert">
      <Icon name="bad" />
      <div class="cl-notice-text">
        <span>{message}</span>
        {retry && store.live.value && (
          <button type="button" class="cl-link" onClick={retry}>
            <Icon name="refresh" /> Try again
          </button>
        )}
        {details && (
          <details>
            <summary>Details</summary>
            <pre>{details}</pre>
            <button type="button" class="cl-link" onClick={copy}>
              <Icon name="copy" /> Copy
            </button>
          </details>
        )}
      </div>
      {dismiss && (
        <button type="button" class="cl-tool" aria-label="Dismiss" onClick={dismiss}>
          <Icon name="close" />
        </button>
      )}
    </div>
  );
}
