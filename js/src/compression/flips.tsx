import type { Flip } from "../compressing";
import { count } from "../format";
import type { Store, ViewProps } from "../state";
import { List } from "../strip/list";
import { flipInWords } from "./words";

const KINDS = [
  ["all", "all"],
  ["lost", "lost"],
  ["won", "won"],
  ["other", "other"],
] as const;

/** The inputs that flipped, to look at; one that is chosen is a click from its saliency. */
export function Flips({ store }: ViewProps) {
  const { compressing, traits } = store;
  const report = compressing.report.value.value;
  if (!report?.classified) return null;
  const from = compressing.from.value;
  const all = report.flips;
  const chosen = compressing.flips.value.find(({ index }) => index === traits.input_index.value);
  return (
    <div class="cl-strip">
      <div class="cl-sieve">
        <select
          value={compressing.kind.value}
          disabled={all.length === 0}
          aria-label="Flipped inputs shown"
          title="Lost: only the model from before is right; won: only the compressed one is"
          onChange={(event) => {
            compressing.kind.value = event.currentTarget.value as Flip["kind"] | "all";
          }}
        >
          {KINDS.map(([kind, words]) => {
            const some = all.filter((flip) => kind === "all" || flip.kind === kind).length;
            return (
              (kind === "all" || some > 0) && (
                <option key={kind} value={kind}>
                  {`${words} ${count(some)}`}
                </option>
              )
            );
          })}
        </select>
        {from === null ? (
          <span class="cl-hint">flipped inputs</span>
        ) : (
          <button type="button" class="cl-link" onClick={() => (compressing.from.value = null)}>
            from {store.inputs.className(from)} ×
          </button>
        )}
        <button
          type="button"
          class="cl-link"
          disabled={!chosen}
          title="Which parts of the chosen input both models look at; the arrow keys go on there"
          onClick={() => chosen && explain(store, chosen)}
        >
          see saliency
        </button>
      </div>
      <List
        store={store}
        label="Flipped inputs"
        items={compressing.flips.value}
        show={(flip) => ({
          ...flipInWords(store, flip),
          picture: compressing.seen.value.get(flip.index)?.picture,
          tone: flip.kind === "lost" ? "wrong" : flip.kind === "won" ? "good" : "",
        })}
        pick={(flip) => pick(store, flip)}
        able={({ index }) => compressing.seen.value.get(index)?.held === true}
        open={(flip) => explain(store, flip)}
        busy={compressing.report.running.value}
        waiting={false}
        none={
          all.length > 0
            ? "None of these."
            : report.finished
              ? "No input is taken for another class."
              : "None so far."
        }
      />
    </div>
  );
}

/** Chooses an input for all views, where the Lens holds it. */
function pick(store: Store, { index }: Flip): boolean {
  const { seen, unseen } = store.compressing;
  const known = seen.value.get(index);
  if (known?.held) {
    store.set("input_index", index);
    return true;
  }
  store.say(
    unseen.value ??
      (known
        ? "The strip does not hold this input: the loader is longer, or gives another order each time"
        : "There is no picture of this input"),
  );
  return false;
}

/** Opens its saliency, with the strip there going through the flipped inputs alone. */
function explain(store: Store, flip: Flip): void {
  if (!pick(store, flip)) return;
  store.inputs.query.value = "";
  store.inputs.filter.value = "differ";
  store.set("view", "saliency");
}
