import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { Canvas, type Size } from "../canvas";
import type { Colors } from "../draw/colors";
import { drawRidges, type Hover, layoutRidges, type Ridges, ridgeAt } from "../draw/ridges";
import type { Drift } from "../drifting";
import { figure, percent } from "../format";
import type { Store } from "../state";

/** What the ridges draw, from the store; `hover` is the card's own. */
export function ridgesOf(store: Store, found: Drift, hover: Hover | null): Ridges {
  const { curves, others, parts, components, explained } = found.arrays;
  const total = found.layers.length;
  const many = parts.length / (total + 1);
  const place = store.drifting.place.value;
  const row = found.layers[place];
  const shown = row ?? found.whole;
  const part = (values: Float32Array, index: number, size: number) =>
    values.subarray(index * size, (index + 1) * size);
  const points = curves.length / parts.length;
  const curve = (values: Float32Array, of: number, component: number) =>
    part(values, of * many + component, points);
  return {
    names: [shown.legend, "model", row ? "layer" : ""],
    curves: Array.from({ length: many }, (_, index) => [
      curve(others, shown.beside, index),
      curve(curves, total, index),
      ...(row ? [curve(curves, place, index)] : []),
    ]),
    bases: [found.other, "model"].slice(0, explained.length / many).map((name, index) => ({
      name,
      images: part(components, index, many * many),
      shares: part(explained, index, many),
    })),
    parts: Array.from(part(parts, row ? place : total, many), (one) => one / (shown.drift ?? 0)),
    span: found.span,
    dark: store.theme.value === "dark",
    hover,
  };
}

/** Ridges with their eigenimages; pointed at, or stepped through by keys, they tell their values. */
export function Coefficients({ store, found }: { store: Store; found: Drift }) {
  const hover = useSignal<Hover | null>(null);
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
  const data = ridgesOf(store, found, hover.value);
  const total = data.curves.length;
  const layout = layoutRidges(box.value, total, data.bases.length);
  const at = hover.value;
  const keys = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (by === undefined) return;
    const from = at?.component ?? (by > 0 ? -1 : total);
    hover.value = { component: Math.min(total - 1, Math.max(0, from + by)), at: 0.5 };
    event.preventDefault();
  };
  const words = inWords(data);
  const y = layout.top + (at?.component ?? 0) * layout.row;
  const below = y < box.value.height / 2;
  return (
    <div
      class="cl-ridges"
      role="slider"
      tabIndex={0}
      aria-label="Patterns, and how coefficients spread along them"
      aria-valuemin={1}
      aria-valuemax={total}
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
            below ? { top: `${y + layout.row + 6}px` } : { bottom: `${box.value.height - y + 6}px` }
          }
        >
          {words.map((line) => (
            <span key={line}>{line}</span>
          ))}
        </div>
      )}
    </div>
  );
}

function inWords({ names, bases, curves, parts, span: [low, high], hover }: Ridges): string[] {
  if (!hover) return [];
  const { component, at } = hover;
  const values = curves[component] ?? [];
  const near = (curve: Float32Array) => curve[Math.round(at * (curve.length - 1))];
  return [
    `Pattern ${component + 1}: ${percent(parts[component])} of the drift`,
    `variance: ${bases.map(({ name, shares }) => `${name} ${percent(shares[component])}`).join(", ")}`,
    `density at ${figure(low + at * (high - low), 2)}:`,
    values.map((curve, index) => `${names[index]} ${figure(near(curve))}`).join(", "),
  ];
}
