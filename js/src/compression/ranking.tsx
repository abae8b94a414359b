import { useLayoutEffect, useRef } from "preact/hooks";
import { moveIn } from "../list";
import { Name } from "../name";
import type { ViewProps } from "../state";
import type { Matched } from "../wire/compression";

/** The layers, the worst first: a click chooses one, one more sees its filters. */
export function RankingList({ store }: ViewProps) {
  const { compressing, traits, kernel } = store;
  const list = useRef<HTMLDivElement>(null);
  const report = compressing.report.value.value;
  const by = traits.compression_by.value;
  const chosen = traits.layer.value;
  useLayoutEffect(() => {
    // by hand: the browser would scroll the page around it too
    const box = list.current;
    const row = box?.querySelector<HTMLElement>('[aria-selected="true"]');
    if (!box || !row) return;
    const over = row.offsetTop + row.offsetHeight - box.clientHeight;
    box.scrollTop = Math.min(row.offsetTop, Math.max(over, box.scrollTop));
  }, [chosen, by]);
  if (!report) return null;
  const { order, shares } = report.rankings[by];
  const layers = order.map((place) => report.layers[place] as Matched);
  const title = kernel._structure.value.compression.rankings.find(({ name }) => name === by)?.title;
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
      aria-label={`Layers by ${title}`}
      aria-activedescendant={at < 0 ? undefined : id(at)}
      onKeyDown={keys}
    >
      {layers.map((change, index) => (
        <Row
          key={change.model}
          store={store}
          id={id(index)}
          change={change}
          share={shares[order[index] as number] as number}
        />
      ))}
    </div>
  );
}

/** The layer's filters, before and after. */
export function seeFilters(store: ViewProps["store"], layer: string): void {
  store.select(layer, { view: "filters" });
  if (store.traits.paired.value !== "difference") store.set("paired", "side by side");
}

interface RowProps extends ViewProps {
  id: string;
  change: Matched;
  share: number;
}

function Row({ store, id, change, share }: RowProps) {
  const by = store.traits.compression_by.value;
  const value = change.texts[by];
  const reason = change.missing[by];
  const title = `${change.model}: ${reason ?? value}`;
  const renamed = change.model !== change.reference;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the list takes the keys
    // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus
    <div
      id={id}
      class="cl-ranked"
      role="option"
      data-ranked={change.model}
      aria-selected={change.model === store.traits.layer.value}
      aria-label={title}
      title={renamed ? `${title} · ${change.reference} in the other` : title}
      onClick={() => store.select(change.model)}
      onDblClick={() => seeFilters(store, change.model)}
    >
      <Name text={change.model} />
      {reason === undefined ? (
        <>
          <span class="cl-track">
            <i style={{ width: `${100 * share}%` }} />
          </span>
          <span class="cl-value">{value}</span>
        </>
      ) : (
        <span class="cl-why">{reason}</span>
      )}
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
