import { type Signal, useComputed, useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { besideInWords, ChangeMark } from "./change";
import { entropyOf, sparsityAt } from "./eps";
import { figure, nameOf, percent } from "./format";
import { Spark } from "./history/spark";
import { Icon } from "./icons";
import { type Item, moveIn, type Order, railGroups } from "./list";
import { Name } from "./name";
import type { Row } from "./protocol";
import type { Store, ViewProps } from "./state";

interface RailProps {
  store: Store;
  /** In narrow widths: whether the drop-down is open. */
  open: Signal<boolean>;
}

/** The chosen layer's name, which unfolds the rail where there is no room for it. */
export function RailButton({ store, open }: RailProps) {
  return (
    <button
      type="button"
      class="cl-rail-button"
      aria-expanded={open.value}
      aria-label={`Layer: ${store.traits.layer.value}`}
      onClick={() => (open.value = !open.value)}
      onKeyDown={(event) => {
        if (event.key === "Escape") open.value = false;
      }}
    >
      <Name text={nameOf(store.layer.value)} />
      <Icon name="down" />
    </button>
  );
}

export function Rail({ store, open }: RailProps) {
  const query = useSignal("");
  const order = useSignal<Order>("depth");
  const list = useRef<HTMLDivElement>(null);
  const narrow = store.narrow.value;
  const groups = useComputed(() =>
    railGroups({
      layers: store.layers.value,
      // By depth the figures do not matter to the order: nothing to do while the slider moves.
      rows: order.value === "depth" ? NONE : store.measuring.rows.value,
      query: query.value,
      order: order.value,
      eps: order.value === "sparsity" ? store.traits.eps.value : 0,
      grid: store.kernel._structure.value.eps_grid,
    }),
  );
  const keys = useComputed(() =>
    groups.value.flatMap(({ items }) => items.map(({ layer }) => layer.key)),
  );
  const total = store.layers.value.length;
  const layer = store.traits.layer.value;
  const shown = !narrow || open.value;
  const trends = store.history.moments.value.length > 1;

  useLayoutEffect(() => {
    // once all of the Lens is drawn anew: a box that is asked for has the page laid out
    queueMicrotask(() => shown && list.current && reveal(list.current, layer));
  }, [layer, shown, groups.value]);
  useLayoutEffect(() => {
    // unfolded, it takes the keys
    if (shown && narrow) list.current?.focus({ preventScroll: true });
  }, [shown, narrow]);

  /** Folds it, and gives the focus back to the button that unfolded it. */
  const fold = () => {
    open.value = false;
    if (narrow)
      list.current?.closest(".convlens")?.querySelector<HTMLElement>(".cl-rail-button")?.focus();
  };

  if (!shown) return null;

  const listKeys = (event: KeyboardEvent) => {
    const next = moveIn(keys.value, layer, event.key);
    if (next !== null) store.select(next);
    else if (event.key === "Enter") store.select(layer, { view: "filters" });
    else if (event.key !== "Escape") return;
    if (event.key === "Enter" || event.key === "Escape") fold();
    event.preventDefault();
  };
  const searchKeys = (event: KeyboardEvent) => {
    const [first] = keys.value;
    if (event.key === "Enter" && first !== undefined) {
      store.select(first);
      fold();
    } else if (event.key === "ArrowDown" && first !== undefined) {
      list.current?.focus({ preventScroll: true });
      if (!keys.value.includes(layer)) store.select(first);
    } else if (event.key === "Escape" && query.value) query.value = "";
    else if (event.key === "Escape") fold();
    else return;
    event.preventDefault();
  };

  return (
    <nav
      class={`cl-rail${trends ? " cl-trends" : ""}${store.pairing.title.value ? " cl-paired" : ""}`}
      aria-label="Layers"
    >
      <div class="cl-find">
        <input
          class="cl-search"
          type="search"
          value={query.value}
          placeholder={total === 1 ? "Search 1 layer" : `Search ${total} layers`}
          aria-label="Search layers"
          onInput={(event) => (query.value = event.currentTarget.value)}
          onKeyDown={searchKeys}
        />
        <select
          value={order.value}
          aria-label="Order of the layers"
          onChange={(event) => (order.value = event.currentTarget.value as Order)}
        >
          <option value="depth">by depth</option>
          <option value="sparsity">by sparsity</option>
          <option value="entropy">by entropy</option>
        </select>
      </div>
      <div class="cl-rail-head" aria-hidden="true">
        <span class="cl-cut">{store.history.words.value || "layer"}</span>
        {trends && <span>trend</span>}
        <span>sparsity</span>
        <span>entropy</span>
      </div>
      <div
        ref={list}
        class="cl-list"
        role="listbox"
        tabIndex={0}
        aria-label="Layers"
        aria-activedescendant={keys.value.includes(layer) ? optionId(store, layer) : undefined}
        onKeyDown={listKeys}
      >
        {groups.value.map(({ title, items }) => (
          // biome-ignore lint/a11y/useSemanticElements: a fieldset is not allowed in a listbox
          <div role="group" aria-label={title || "layers"} key={`${title}/${items[0]?.layer.key}`}>
            {title && (
              <div class="cl-group" aria-hidden="true">
                <Name text={title} />
              </div>
            )}
            {items.map((item) => (
              <Option key={item.layer.key} store={store} item={item} open={open} />
            ))}
          </div>
        ))}
        <Alone store={store} />
        {keys.value.length === 0 && (
          <p class="cl-none">
            No layer matches “{query.value}”.{" "}
            <button type="button" class="cl-link" onClick={() => (query.value = "")}>
              Clear
            </button>
          </p>
        )}
      </div>
    </nav>
  );
}

/** Layers that only the reference has: there is nothing to choose. */
function Alone({ store }: ViewProps) {
  const { alone, title } = store.pairing;
  if (alone.value.length === 0) return null;
  return (
    <p class="cl-group cl-elsewhere" title={alone.value.join("\n")}>
      only in {title.value}: {alone.value.slice(0, 6).join(", ")}
      {alone.value.length > 6 && ` and ${alone.value.length - 6} more`}
    </p>
  );
}

const NONE: ReadonlyMap<string, Row> = new Map();

const optionId = (store: Store, key: string): string => {
  const index = store.layers.value.findIndex((layer) => layer.key === key);
  return `${store.client.name}-layer-${index}`;
};

/** Scrolls the list, and only the list, so that the chosen layer is seen. */
function reveal(list: HTMLElement, key: string): void {
  const option = [...list.querySelectorAll<HTMLElement>("[role=option]")].find(
    (element) => element.dataset.key === key,
  );
  if (!option) return;
  const box = list.getBoundingClientRect();
  const own = option.getBoundingClientRect();
  if (own.top < box.top + 24) list.scrollTop -= box.top + 24 - own.top;
  else if (own.bottom > box.bottom - 4) list.scrollTop += own.bottom - box.bottom + 4;
}

interface OptionProps {
  store: Store;
  item: Item;
  open: Signal<boolean>;
}

/** One line. It reads its own signals and its props stay the same, so a change elsewhere is free. */
function Option({ store, item, open }: OptionProps) {
  const { layer, label, marks } = item;
  const { key } = layer;
  const selected = useComputed(() => store.traits.layer.value === key).value;
  const row = useComputed(() => store.measuring.rows.value.get(key)).value;
  const reason = layer.reason ?? row?.reason ?? null;
  const trends = useComputed(() => store.history.moments.value.length > 1).value;
  const alone = useComputed(() => store.pairing.lacks(key)).value;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the listbox has the keys
    // biome-ignore lint/a11y/useFocusableInteractive: the listbox has the focus
    <div
      class={reason === null ? "cl-option" : "cl-option cl-unscored"}
      role="option"
      id={optionId(store, key)}
      data-key={key}
      aria-selected={selected}
      onClick={() => {
        store.select(key);
        open.value = false;
      }}
      onDblClick={() => store.select(key, { view: "filters" })}
    >
      {alone ? (
        <span class="cl-only">
          <Name text={label} marks={marks} />
          <em title={`No counterpart in ${store.pairing.title.value}`}>alone</em>
        </span>
      ) : (
        <Name text={label} marks={marks} />
      )}
      {reason === null && trends && <Spark store={store} layer={key} />}
      {reason === null ? (
        <Figures store={store} layer={key} row={row} />
      ) : (
        <span class="cl-reason" title={reason}>
          {reason}
        </span>
      )}
    </div>
  );
}

interface FiguresProps extends ViewProps {
  layer: string;
  row: Row | undefined;
}

function Figures({ store, layer, row }: FiguresProps) {
  const { pairing } = store;
  const max = pairing.sparsityMax.value;
  const grid = store.kernel._structure.value.eps_grid;
  const { guides } = store.kernel._structure.value;
  const shareOf = (other: Row) => sparsityAt(other, store.history.eps.value, grid);
  const share = useComputed(() => (row ? shareOf(row) : null));
  const ratioOf = (other: Row) => entropyOf(other, "normalized").value;
  const moved = useComputed(() => pairing.change(layer, shareOf));
  const changed = useComputed(() => pairing.change(layer, ratioOf));
  const shareBeside = useComputed(() => besideInWords(store, layer, shareOf, "share"));
  const ratioBeside = useComputed(() => besideInWords(store, layer, ratioOf, "figure", 2));
  if (!row) {
    return (
      <>
        <span class="cl-bar cl-wait" />
        <span class="cl-bar cl-wait" />
      </>
    );
  }
  const entropy = entropyOf(row, "normalized");
  const sparse = share.value;
  const top = 1.15;
  const told = (words: string, beside: string) => [words, beside].filter(Boolean).join(", ");
  const sparsityWords = told(`sparsity ${percent(sparse)}`, shareBeside.value);
  const entropyWords = told(`entropy ${figure(entropy.value, 2)} of random`, ratioBeside.value);
  const change = changed.value;
  return (
    <>
      <span class="cl-bar" title={sparsityWords} aria-label={sparsityWords} role="img">
        {sparse !== null && sparse > 0 && (
          <i class="cl-fill-sparse" style={{ width: `${clamp((100 * sparse) / max)}%` }} />
        )}
        {sparse !== null && moved.value !== null && (
          <ChangeMark
            now={(100 * sparse) / max}
            before={(100 * (sparse - moved.value)) / max}
            change={moved.value}
          />
        )}
      </span>
      {entropy.value === null ? (
        <span
          class="cl-bar cl-no-value"
          title={entropy.why}
          aria-label={`no entropy: ${entropy.why}`}
          role="img"
        />
      ) : (
        <span class="cl-bar" title={entropyWords} aria-label={entropyWords} role="img">
          <i class="cl-fill-entropy" style={{ width: `${clamp((100 * entropy.value) / top)}%` }} />
          <u style={{ left: `${(100 * guides.good) / top}%` }} />
          {change !== null && (
            <ChangeMark
              now={(100 * entropy.value) / top}
              before={(100 * (entropy.value - change)) / top}
              change={change}
            />
          )}
        </span>
      )}
    </>
  );
}

const clamp = (share: number): number => Math.max(3, Math.min(100, share));
