import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { withAlpha } from "../draw/saliency";
import type { Thumbnail } from "../inputs";
import type { ViewProps } from "../state";
import "../css/strip.css";

/** CSS pixels from one input to the next. */
const STEP = 66;
const AROUND = 4;

export interface Tile {
  readonly index: number;
}

/** How an input is shown. */
export interface Shown {
  readonly picture: Thumbnail | undefined;
  /** Under the picture, and in full. */
  readonly short: string;
  readonly long: string;
  readonly tone: "" | "wrong" | "good";
}

interface Props<T extends Tile> extends ViewProps {
  label: string;
  items: readonly T[];
  show: (item: T) => Shown;
  pick: (item: T) => void;
  /** Keys pass over what cannot be picked; by default all can. */
  able?: (item: T) => boolean;
  /** On Enter and a double click. */
  open?: (item: T) => void;
  busy: boolean;
  waiting: boolean;
  /** Said where there are none. */
  none: string;
}

/** Inputs side by side, of which one is chosen; only those in sight are on the page. */
export function List<T extends Tile>(props: Props<T>) {
  const { store, label, items, show, pick, able, open, busy, waiting, none } = props;
  const id = `${store.client.name}-${label.replaceAll(" ", "-")}`;
  const element = useRef<HTMLDivElement>(null);
  const seen = useSignal({ left: 0, width: 1200 });
  const chosen = store.traits.input_index.value;
  const at = items.findIndex(({ index }) => index === chosen);

  useLayoutEffect(() => {
    const box = element.current as HTMLDivElement;
    const look = () => {
      seen.value = { left: box.scrollLeft, width: box.clientWidth };
    };
    look();
    const observer = new ResizeObserver(look);
    observer.observe(box);
    box.addEventListener("scroll", look, { passive: true });
    // a wheel has one direction, and the strip goes in the other
    const wheel = (event: WheelEvent) => {
      if (event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
      const before = box.scrollLeft;
      box.scrollLeft += event.deltaY * (event.deltaMode === 1 ? 16 : 1);
      if (box.scrollLeft !== before) event.preventDefault();
    };
    box.addEventListener("wheel", wheel, { passive: false });
    return () => {
      observer.disconnect();
      box.removeEventListener("scroll", look);
      box.removeEventListener("wheel", wheel);
    };
  }, [seen]);
  useLayoutEffect(() => {
    const box = element.current;
    if (!box || at < 0) return;
    const left = at * STEP;
    if (left < box.scrollLeft) box.scrollLeft = left;
    else if (left + STEP > box.scrollLeft + box.clientWidth) {
      box.scrollLeft = left + STEP - box.clientWidth;
    }
  }, [at, seen.value.width]);

  const keys = (event: KeyboardEvent) => {
    const now = items[at];
    if (event.key === "Enter" && open && now) {
      event.preventDefault();
      open(now);
      return;
    }
    const last = items.length - 1;
    const to = {
      ArrowRight: at + 1,
      ArrowDown: at + 1,
      ArrowLeft: at < 0 ? last : at - 1,
      ArrowUp: at < 0 ? last : at - 1,
      PageDown: at + 10,
      PageUp: at - 10,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    const goal = Math.min(last, Math.max(0, to));
    let next = goal;
    while (able && next in items && !able(items[next] as T)) next += goal < at ? -1 : 1;
    pick((items[next] ?? items[goal]) as T);
  };

  const first = Math.max(0, Math.floor(seen.value.left / STEP) - AROUND);
  const end = Math.ceil((seen.value.left + seen.value.width) / STEP) + AROUND;
  return (
    <div
      ref={element}
      class="cl-inputs"
      role="listbox"
      aria-label={label}
      aria-orientation="horizontal"
      aria-busy={busy}
      aria-activedescendant={at < 0 ? undefined : idOf(id, chosen)}
      tabIndex={0}
      onKeyDown={keys}
    >
      {waiting ? (
        <div class="cl-inputs-wait cl-skeleton" />
      ) : items.length === 0 ? (
        <p class="cl-inputs-none">{none}</p>
      ) : (
        <div class="cl-inputs-all" style={{ width: `${items.length * STEP}px` }}>
          {items.slice(first, end).map((item, place) => (
            <One
              key={item.index}
              id={idOf(id, item.index)}
              shown={show(item)}
              left={(first + place) * STEP}
              chosen={item.index === chosen}
              pick={() => pick(item)}
              open={open && (() => open(item))}
            />
          ))}
        </div>
      )}
    </div>
  );
}

const idOf = (list: string, index: number) => `${list}-${index}`;

interface OneProps {
  id: string;
  shown: Shown;
  left: number;
  chosen: boolean;
  pick: () => void;
  open: (() => void) | undefined;
}

function One({ id, shown, left, chosen, pick, open }: OneProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { picture, short, long, tone } = shown;
  useLayoutEffect(() => {
    const context = picture && canvas.current?.getContext("2d");
    if (!context) return;
    const { bytes, height, width } = picture;
    const image = context.createImageData(width, height);
    image.data.set(withAlpha(bytes));
    context.putImageData(image, 0, 0);
  }, [picture]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the list takes the keys
    // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus
    <div
      id={id}
      class={`cl-input${tone && ` cl-${tone}`}`}
      role="option"
      aria-selected={chosen}
      aria-label={long}
      title={long}
      style={{ transform: `translateX(${left}px)` }}
      onClick={pick}
      onDblClick={open}
    >
      <canvas ref={canvas} width={picture?.width ?? 1} height={picture?.height ?? 1} />
      <span>{short}</span>
    </div>
  );
}
