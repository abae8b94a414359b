import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { Canvas, type Size } from "../canvas";
import { barAt } from "../draw/bars";
import type { Colors } from "../draw/colors";
import { drawTracks, layoutTracks, type Tracks } from "../draw/tracks";
import type { Drift } from "../drifting";
import { moveIn } from "../list";
import { stages } from "../stages";
import type { Store } from "../state";

const TIP = 244;

/** What the chart draws, from the store; `hovered` is the view's own. */
export function tracksOf(store: Store, found: Drift, hovered: number): Tracks {
  return {
    slots: found.layers,
    bands: found.arrays.bands,
    stages: stages(found.layers.map(({ key }) => key)),
    selected: store.drifting.place.value,
    hovered,
    titles: found.titles,
    signs: found.signs,
  };
}

export function Chart({ store, found }: { store: Store; found: Drift }) {
  const hovered = useSignal(-1);
  const box = useSignal<Size>({ width: 0, height: 0 });
  const total = found.layers.length;
  const paint = useMemo(
    () => (context: CanvasRenderingContext2D, size: Size, colors: Colors) => {
      box.value = size;
      // read here, so that it is drawn anew when other figures come
      const shown = store.drifting.asking.value.value;
      if (!shown) return;
      const layout = layoutTracks(size.width, size.height, shown.layers.length);
      drawTracks(context, layout, tracksOf(store, shown, hovered.value), colors);
    },
    [store, hovered, box],
  );
  const layout = layoutTracks(box.value.width, box.value.height, total);
  const under = (event: MouseEvent) => {
    const { width, height } = box.peek();
    return barAt(layoutTracks(width, height, total), event.offsetX, total);
  };
  const { place } = store.drifting;
  const select = (index: number, open = false) => {
    const key = found.layers[index]?.key;
    if (key === undefined) return;
    const known = store.layers.value.find((layer) => layer.key === key || layer.name === key);
    if (known) store.select(known.key, open ? { view: "filters" } : {});
  };
  const keys = (event: KeyboardEvent) => {
    const vertical: Record<string, string> = { ArrowRight: "ArrowDown", ArrowLeft: "ArrowUp" };
    const names = found.layers.map(({ key }) => key);
    const next = moveIn(names, names[place.value] ?? "", vertical[event.key] ?? event.key);
    if (next !== null) select(names.indexOf(next));
    else if (event.key === "Enter") select(place.value, true);
    else return;
    event.preventDefault();
  };
  const pointed = found.layers[hovered.value];
  const chosen = found.layers[place.value];
  const middle = layout.left + (hovered.value + 0.5) * layout.step;
  const aside = layout.step / 2 + 8;
  const beside = middle > box.value.width / 2 ? middle - aside - TIP : middle + aside;
  const left = `${Math.max(0, Math.min(beside, box.value.width - TIP))}px`;
  return (
    <div class="cl-gallery cl-tracks">
      <div
        class="cl-chart"
        role="slider"
        tabIndex={0}
        aria-label="Drift, entropy and sparsity of the layers"
        aria-valuemin={1}
        aria-valuemax={total}
        aria-valuenow={place.value + 1}
        aria-valuetext={chosen ? [chosen.key, ...chosen.said].join(", ") : "none chosen"}
        onKeyDown={keys}
        onClick={(event) => select(under(event))}
        onDblClick={(event) => select(under(event), true)}
        onPointerMove={(event) => (hovered.value = under(event))}
        onPointerLeave={() => (hovered.value = -1)}
      >
        <Canvas store={store} paint={paint} aria-hidden="true" />
        {pointed && (
          <div class="cl-tip" style={{ top: "30px", left, width: `${TIP}px` }}>
            <bdi>{pointed.key}</bdi>
            {pointed.said.map((line) => (
              <span key={line}>{line}</span>
            ))}
          </div>
        )}
      </div>
    </div>
  );
}
