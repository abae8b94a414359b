import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { Canvas, type Size } from "../canvas";
import { barAt } from "../draw/bars";
import type { Colors } from "../draw/colors";
import { drawTracks, layoutTracks, type Slot, type Tracks } from "../draw/tracks";
import type { Drift } from "../drifting";
import { moveIn } from "../list";
import { stages } from "../stages";
import type { Store } from "../state";
import { groupInWords, layerInWords, otherInWords } from "./words";

const TIP = 244;

/** What the chart draws, from the store; `hovered` is the view's own. */
export function tracksOf(store: Store, found: Drift, hovered: number): Tracks {
  const { bands } = found.arrays;
  const total = found.layers.length;
  const band = (figure: number, index: number) =>
    Array.from(bands.subarray(3 * (figure * total + index)).subarray(0, 3), (value) =>
      Number.isFinite(value) ? value : null,
    );
  const slots = found.layers.map(
    (row, index): Slot => ({
      ...row,
      high: row.floor_high,
      sparsityBand: band(0, index),
      entropyBand: band(1, index),
    }),
  );
  const other = otherInWords(found);
  return {
    slots,
    stages: stages(found.layers.map(({ key }) => key)),
    selected: store.drifting.place.value,
    hovered,
    titles: [
      [
        `Drift from ${groupInWords(found.group)} of the ${other}, log scale`,
        `Drift from the ${other}, log scale`,
        "Drift, log scale",
        "Drift",
      ],
      ["Entropy, of what random filters have", "Entropy, of random", "Entropy"],
      ["Sparsity, share of filters near zero", "Sparsity"],
    ],
    keys: ["what noise makes", `90 % of the ${other}`],
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
  const [name, ...lines] = layerInWords(found.layers[hovered.value]);
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
        aria-valuetext={layerInWords(found.layers[place.value]).join(", ") || "none chosen"}
        onKeyDown={keys}
        onClick={(event) => select(under(event))}
        onDblClick={(event) => select(under(event), true)}
        onPointerMove={(event) => (hovered.value = under(event))}
        onPointerLeave={() => (hovered.value = -1)}
      >
        <Canvas store={store} paint={paint} aria-hidden="true" />
        {name !== undefined && (
          <div class="cl-tip" style={{ top: "30px", left, width: `${TIP}px` }}>
            <bdi>{name}</bdi>
            {lines.map((line) => (
              <span key={line}>{line}</span>
            ))}
          </div>
        )}
      </div>
    </div>
  );
}
