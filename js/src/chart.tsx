import { useSignal } from "@preact/signals";
import { Canvas, type Size } from "./canvas";
import { barAt } from "./draw/bars";
import type { Colors } from "./draw/colors";
import { moveIn } from "./list";
import type { Store } from "./state";

interface Props {
  store: Store;
  label: string;
  /** The layers from left to right, and the place of the chosen one. */
  layers: readonly string[];
  place: number;
  /** A layer's name and figures. */
  words: (index: number) => string[];
  draw: (context: CanvasRenderingContext2D, size: Size, colors: Colors, hovered: number) => void;
  /** Where the bars stand, and where the tip begins. */
  layout: (size: Size) => { left: number; right: number; step: number; tip: number };
  /** Pixels that a tip takes across; by default as many as its words. */
  wide?: number;
}

/** A chart over depth: a click chooses a layer, a double click or Enter opens its filters. */
export function LayerChart({ store, label, layers, place, words, draw, layout, wide }: Props) {
  const hovered = useSignal(-1);
  const box = useSignal<Size>({ width: 0, height: 0 });
  const total = layers.length;
  const under = (event: MouseEvent) => barAt(layout(box.peek()), event.offsetX, total);
  const select = (index: number, open: boolean) => {
    const layer = layers[index];
    if (layer !== undefined) store.select(layer, open ? { view: "filters" } : {});
  };
  const keys = (event: KeyboardEvent) => {
    const vertical: Record<string, string> = { ArrowRight: "ArrowDown", ArrowLeft: "ArrowUp" };
    const next = moveIn(layers, layers[place] ?? "", vertical[event.key] ?? event.key);
    if (next !== null) store.select(next);
    else if (event.key === "Enter") select(place, true);
    else return;
    event.preventDefault();
  };
  const { left, step, tip } = layout(box.value);
  const { width } = box.value;
  const [name, ...lines] = words(hovered.value);
  const middle = left + (hovered.value + 0.5) * step;
  const toLeft = middle > width / 2;
  const aside = step / 2 + 8;
  const across = toLeft ? width - middle + aside : middle + aside;
  // a wide tip in a narrow chart covers some of it rather than leaving it
  const side = wide ? Math.max(0, Math.min(across, width - wide)) : across;
  return (
    <div
      class="cl-chart"
      role="slider"
      tabIndex={0}
      aria-label={label}
      aria-valuemin={1}
      aria-valuemax={total}
      aria-valuenow={place + 1}
      aria-valuetext={words(place).join(", ") || "none chosen"}
      onKeyDown={keys}
      onClick={(event) => select(under(event), false)}
      onDblClick={(event) => select(under(event), true)}
      onPointerMove={(event) => (hovered.value = under(event))}
      onPointerLeave={() => (hovered.value = -1)}
    >
      <Canvas
        store={store}
        aria-hidden="true"
        paint={(context, size, colors) => {
          box.value = size;
          draw(context, size, colors, hovered.value);
        }}
      />
      {name !== undefined && (
        <div
          class="cl-tip"
          style={{
            top: `${tip}px`,
            [toLeft ? "right" : "left"]: `${side}px`,
            width: wide && `${wide}px`,
          }}
        >
          <bdi>{name}</bdi>
          {lines.map((line) => (
            <span key={line}>{line}</span>
          ))}
        </div>
      )}
    </div>
  );
}
