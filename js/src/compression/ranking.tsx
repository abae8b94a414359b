import { useLayoutEffect, useRef } from "preact/hooks";
import type { Change } from "../compressing";
import { moveIn } from "../list";
import { Name } from "../name";
import type { ViewProps } from "../state";
import { lengths, whyNot, written } from "./words";

/** The layers, the worst first: a click chooses one, one more sees its filters. */
export function RankingList({ store }: ViewProps) {
  const { compressing, traits } = store;
  const list = useRef<HTMLDivElement>(null);
  const layers = compressing.ranked.value;
  const ranking = compressing.ranking.value;
  const chosen = traits.layer.value;
  useLayoutEffect(() => {
    // by hand: the browser would scroll the page around it too
    const box = list.current;
    const row = box?.querySelector<HTMLElement>('[aria-selected="true"]');
    if (!box || !row) return;
    const over = row.offsetTop + row.offsetHeight - box.clientHeight;
    box.scrollTop = Math.min(row.offsetTop, Math.max(over, box.scrollTop));
  }, [chosen, ranking]);
  if (!ranking) return null;
  const shares = lengths(layers, ranking);
  const keys = (event: KeyboardEvent) => {
    const names = layers.map(({ model }) => model);
    const next = moveIn(names, chosen, event.key);
    if (next !== null) store.select(next);
    else if (event.key === "Enter") seeFilters(store, chosen);
    else return;
    event.preventDefault();
  };
  const at = layers.findIndex(({ model }) => model === chosen);
  const id = (index: number) => `${store.client.name}-cost-${index}`;
  return (
    <div
      ref={list}
      class="cl-ranking"
      role="listbox"
      tabIndex={0}
      aria-label={`Layers by ${ranking.title}`}
      aria-activedescendant={at < 0 ? undefined : id(at)}
      onKeyDown={keys}
    >
      {layers.map((change, index) => (
        <Row
          key={change.model}
          store={store}
          id={id(index)}
          change={change}
          share={shares[index] as number}
        />
      ))}
    </div>
  );
}

/** The layer's filters, before and after. */
export function seeFilters(store: ViewProps["store"], layer: string): void {
  store.select(layer, { view: "filters" });
}

interface RowProps extends ViewProps {
  id: string;
  change: Change;
  share: number;
}

function Row({ store, id, change, share }: RowProps) {
  const { compressing, traits } = store;
  const { name, unit } = compressing.ranking.value ?? { name: "cost", unit: "share" };
  const reason = whyNot(change, name, compressing.report.value.value?.finished ?? false);
  const value = written(unit, change.figures[name]);
  const title = reason === null ? `${change.model}: ${value}` : `${change.model}: ${reason}`;
  const renamed = change.model !== change.reference;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the list takes the keys
    // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus
    <div
      id={id}
      class="cl-ranked"
      role="option"
      data-ranked={change.model}
      aria-selected={change.model === traits.layer.value}
      aria-label={title}
      title={renamed ? `${title} · ${change.reference} in the other` : title}
      onClick={() => store.select(change.model)}
      onDblClick={() => seeFilters(store, change.model)}
    >
      <Name text={change.model} />
      {reason === null ? (
        <span class="cl-track">
          <i style={{ width: `${100 * share}%` }} />
        </span>
      ) : (
        <span class="cl-reason">{reason}</span>
      )}
      <span class="cl-value">{reason === null && value}</span>
      <button
        type="button"
        class="cl-link"
        tabIndex={-1}
        title={`Filters of ${change.model} before and after`}
        onClick={(event) => {
          event.stopPropagation();
          seeFilters(store, change.model);
        }}
      >
        filters
      </button>
    </div>
  );
}
