import type { ViewProps } from "./state";

/** Starts what runs only when a person asks for it. */
export function StartButton({ store, label, run }: ViewProps & { label: string; run: () => void }) {
  return (
    <button
      type="button"
      class="cl-button cl-primary"
      disabled={!store.live.value}
      title={store.lost.value || undefined}
      onClick={run}
    >
      {label}
    </button>
  );
}
