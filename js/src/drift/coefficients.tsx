import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { Canvas, type Size } from "../canvas";
import type { Colors } from "../draw/colors";
import { drawRidges, layoutRidges, type Ridges, ridgeAt } from "../draw/ridges";
import type { Drift } from "../drifting";
import { figure, percent } from "../format";
import type { Store } from "../state";
import { smoothed } from "./density";
import { otherInWords } from "./words";

type Hover = Ridges["hover"];

/** The curves of a row of layers: computed when they are first drawn, once. */
const known = new WeakMap<Uint32Array, Map<string, Float64Array | null>>();

function curve(counts: Uint32Array, found: Drift, row: number, component: number, of: number) {
  const bins = counts.length / of / componentsOf(found);
  const start = (row * componentsOf(found) + component) * bins;
  const name = `${row} ${component}`;
  const curves = known.get(counts) ?? new Map<string, Float64Array | null>();
  known.set(counts, curves);
  if (!curves.has(name)) {
    curves.set(name, smoothed(counts.subarray(start, start + bins), found.span));
  }
  return curves.get(name) ?? null;
}

const componentsOf = ({ arrays, layers }: Drift): number =>
  arrays.parts.length / (layers.length + 1);

/** What the ridges draw, from the store; `hover` is the card's own. */
export function ridgesOf(store: Store, found: Drift, hover: Hover): Ridges {
  const { counts, others, parts, components, explained } = found.arrays;
  const place = store.drifting.place.value;
  const total = found.layers.length;
  const many = componentsOf(found);
  const row = found.layers[place];
  const shown = row ?? found.whole;
  const other = otherInWords(found);
  const bases = Array.from({ length: explained.length / many }, (_, index) => ({
    name: index === 0 ? other : "model",
    images: components.subarray(index * many * many, (index + 1) * many * many),
    shares: explained.subarray(index * many, (index + 1) * many),
  }));
  const sides = Math.round(Math.sqrt(many));
  const group = found.shown.indexOf(shown.group);
  const own = parts.subarray((row ? place : total) * many).subarray(0, many);
  return {
    curves: Array.from({ length: many }, (_, index) => [
      {
        name: shown.group === "all" ? other : shown.group,
        values: curve(others, found, group, index, found.shown.length),
      },
      { name: "model", values: curve(counts, found, total, index, total + 1) },
      {
        name: row ? "layer" : "",
        values: row ? curve(counts, found, place, index, total + 1) : null,
      },
    ]),
    bases,
    kernel: sides * sides === many ? [sides, sides] : [1, many],
    parts: Array.from(own, (part) => (shown.drift ? part / shown.drift : null)),
    span: found.span,
    dark: store.theme.value === "dark",
    hover,
  };
}

/** Ridges with their eigenimages; pointed at, or stepped through by keys, they tell their values. */
export function Coefficients({ store, found }: { store: Store; found: Drift }) {
  const hover = useSignal<Hover>(null);
  const box = useSignal<Size>({ width: 0, height: 0 });
  const paint = useMemo(
    () => (context: CanvasRenderingContext2D, size: Size, colors: Colors) => {
      box.value = size;
      // read here, so that it is drawn anew when other figures come
      const shown = store.drifting.asking.value.value;
      if (shown) drawRidges(context, size, ridgesOf(store, shown, hover.value), colors);
    },
    [store, hover, box],
  );
  const data = ridgesOf(store, found, null);
  const layout = layoutRidges(box.value, data);
  const last = data.curves.length - 1;
  const at = hover.value;
  const keys = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const along = { ArrowRight: 0.02, ArrowLeft: -0.02 }[event.key];
    if (event.key === "Escape" && at) hover.value = null;
    else if (by === undefined && along === undefined) return;
    else {
      const from = at ?? { component: by === 1 ? -1 : by === -1 ? last + 1 : 0, at: 0.5 };
      hover.value = {
        component: Math.min(last, Math.max(0, from.component + (by ?? 0))),
        at: Math.min(1, Math.max(0, from.at + (along ?? 0))),
      };
    }
    event.preventDefault();
  };
  const words = at ? componentInWords(data, at) : [];
  const below = at !== null && at.component < data.curves.length / 2;
  const y = layout.top + (at?.component ?? 0) * layout.row;
  return (
    <div
      class="cl-ridges"
      role="slider"
      tabIndex={0}
      aria-label="Patterns, and how coefficients spread along them"
      aria-valuemin={1}
      aria-valuemax={last + 1}
      aria-valuenow={(at?.component ?? 0) + 1}
      aria-valuetext={words.join(", ") || "none chosen"}
      onKeyDown={keys}
      onBlur={() => (hover.value = null)}
      onPointerMove={(event) => (hover.value = ridgeAt(layout, event.offsetX, event.offsetY))}
      onPointerLeave={() => (hover.value = null)}
    >
      <Canvas store={store} paint={paint} aria-hidden="true" />
      {at && (
        <div
          class="cl-tip"
          style={
            below
              ? { top: `${y + layout.row + 6}px`, right: 0 }
              : { bottom: `${box.value.height - y + 6}px`, right: 0 }
          }
        >
          {words.map((line, index) => (index ? <span key={line}>{line}</span> : <b>{line}</b>))}
        </div>
      )}
    </div>
  );
}

function componentInWords({ bases, curves, parts, span }: Ridges, hover: NonNullable<Hover>) {
  const { component, at } = hover;
  const [low, high] = span;
  const shares = bases.map(({ name, shares }) => `${name} ${percent(shares[component])}`);
  const values = (curves[component] ?? []).flatMap(({ name, values }) => {
    const value = values?.[Math.round(at * (values.length - 1))];
    return value === undefined ? [] : [`${name} ${figure(value)}`];
  });
  return [
    `Pattern ${component + 1}: ${percent(parts[component])} of the drift`,
    `of the variance: ${shares.join(", ")}`,
    `density at ${figure(low + at * (high - low), 2)}:`,
    values.join(", "),
  ];
}
