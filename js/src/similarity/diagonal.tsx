import { useMemo } from "preact/hooks";
import { Canvas, type Size } from "../canvas";
import type { Colors } from "../draw/colors";
import { drawDiagonal, type Line, layerAt, middleOf } from "../draw/diagonal";
import type { Store } from "../state";
import { diagonalOf, type SimilarityModel } from "./model";
import { nameOfSide, pairAt } from "./words";

interface Props {
  store: Store;
  model: SimilarityModel;
}

/** What the line plot draws, from the store. */
export function lineOf(store: Store, model: SimilarityModel): Line | null {
  const found = store.comparing.value.value;
  if (!found) return null;
  const chosen = model.chosen.value;
  return {
    values: diagonalOf(model.values.value),
    stderr: diagonalOf(found.stderr),
    axis: { ...model.rows.value, title: "" },
    range: model.range.value,
    title: `Each layer of ${found.row_title} with its own in ${found.column_title}`,
    chosen: chosen && chosen.row === chosen.column ? chosen.row : -1,
    hover: model.hover.value?.row ?? -1,
  };
}

export function Diagonal({ store, model }: Props) {
  const paint = useMemo(
    () => (context: CanvasRenderingContext2D, size: Size, colors: Colors) => {
      const known = model.size.peek();
      if (known.width !== size.width || known.height !== size.height) model.size.value = size;
      const line = lineOf(store, model);
      if (line) drawDiagonal(context, size, line, colors);
    },
    [store, model],
  );
  const total = model.rows.value.count;
  const at = (event: MouseEvent) => layerAt(model.size.peek(), total, event.offsetX);
  const cell = (index: number) => (index < 0 ? null : { row: index, column: index });
  const chosen = model.chosen.value?.row ?? -1;
  const keys = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (event.key === "Enter") model.open();
    else if (by === undefined) return;
    else {
      const index = Math.min(total - 1, Math.max(0, chosen + by));
      model.choose({ row: index, column: index });
    }
    event.preventDefault();
  };
  const found = store.comparing.value.value;
  const words = (index: number) => {
    const pair = found && index >= 0 ? pairAt(found, { row: index, column: index }) : null;
    return pair && `${nameOfSide(pair.row)}: ${pair.value}`;
  };
  const hover = model.hover.value?.row ?? -1;
  const size = model.size.value;
  const x = middleOf(size, total, hover);
  const place =
    x > size.width / 2 ? { right: `${size.width - x + 12}px` } : { left: `${x + 12}px` };
  return (
    <div
      class="cl-gallery cl-diagonal"
      role="slider"
      tabIndex={0}
      aria-label="Similarity of each layer with its counterpart"
      aria-valuemin={1}
      aria-valuemax={total}
      aria-valuenow={chosen + 1}
      aria-valuetext={words(chosen) ?? "none chosen"}
      onKeyDown={keys}
      onClick={(event) => {
        const found = cell(at(event));
        if (found) model.choose(found);
      }}
      onPointerMove={(event) => {
        model.hover.value = cell(at(event));
      }}
      onPointerLeave={() => {
        model.hover.value = null;
      }}
    >
      <Canvas store={store} paint={paint} aria-hidden="true" />
      {hover >= 0 && (
        <div class="cl-tip" style={{ ...place, bottom: "84px" }}>
          <bdi>{words(hover)}</bdi>
        </div>
      )}
    </div>
  );
}
