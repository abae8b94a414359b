import { effect, useComputed } from "@preact/signals";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { Canvas, type Size } from "../canvas";
import { css, likeness, STEPS } from "../colormap";
import { fitted, isFitted, revealed } from "../draw/camera";
import { type Cell, cellAt, HeatmapPainter, same } from "../draw/heatmap";
import { count, figure } from "../format";
import { ARROWS, listenTo, showAll, zoomKey } from "../pointing";
import { Segments } from "../segments";
import type { Store } from "../state";
import type { Steering } from "../steering";
import { ZoomButtons } from "../zoom";
import type { SimilarityModel } from "./model";
import { nameOfSide, pairAt } from "./words";

export interface Props {
  store: Store;
  model: SimilarityModel;
  steering: Steering;
}

export function Heatmap({ store, model, steering }: Props) {
  const element = useRef<HTMLDivElement>(null);
  const painter = useMemo(() => new HeatmapPainter(), []);
  const paint = useMemo(
    () => (context: CanvasRenderingContext2D, size: Size) => {
      const known = model.size.peek();
      if (known.width !== size.width || known.height !== size.height) model.size.value = size;
      model.dpr.value = context.getTransform().a;
      const scene = model.scene.value;
      if (!scene) return;
      const choice = {
        camera: steering.camera.value,
        chosen: model.chosen.value,
        marked: model.row.value,
        hover: model.hover.value,
      };
      painter.draw(context, scene, choice, model.plot.value, model.room.value, model.cell.value);
    },
    [model, steering, painter],
  );
  useLayoutEffect(() => {
    const box = element.current as HTMLDivElement;
    const stops = [listen(box, store, model, steering), follow(model, steering, box)];
    return () => {
      for (const stop of stops) stop();
      steering.stop();
    };
  }, [store, model, steering]);

  const fit = useComputed(() => isFitted(steering.camera.value, model.limits.value)).value;
  const { rows, columns } = model;
  const summary = `${count(rows.value.count)} layers of ${rows.value.title} by ${count(columns.value.count)} of ${columns.value.title}`;
  return (
    <div
      ref={element}
      class={`cl-gallery cl-heatmap${fit ? "" : " cl-zoomed"}`}
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: an application takes keys
      tabIndex={0}
      aria-label={`Similarity of ${summary}. Arrows move from cell to cell, Enter opens the row's filters, plus and minus zoom, Home fits.`}
    >
      <Canvas store={store} paint={paint} role="img" aria-label={summary} />
      <Tip store={store} model={model} steering={steering} />
    </div>
  );
}

function listen(element: HTMLElement, store: Store, model: SimilarityModel, steering: Steering) {
  const at = (x: number, y: number) => {
    const scene = model.scene.peek();
    const camera = steering.camera.peek();
    return scene && cellAt(scene, camera, model.plot.peek(), model.cell.peek(), x, y);
  };
  const step = ([across, down]: [number, number]) => {
    const from = model.chosen.peek();
    const inside = (index: number, total: number) => Math.min(total - 1, Math.max(0, index));
    // the first press shows where one is
    const to = from
      ? {
          row: inside(from.row - down, model.rows.peek().count),
          column: inside(from.column + across, model.columns.peek().count),
        }
      : { row: 0, column: 0 };
    model.hover.value = null;
    model.choose(to);
    steering.aim(revealed(steering.target, boxOf(model, to), model.limits.peek()), true);
  };
  return listenTo({
    element,
    steering,
    origin: () => model.plot.peek(),
    hover(point) {
      const cell = point && at(point.x, point.y);
      if (!same(cell, model.hover.peek())) model.hover.value = cell;
    },
    click({ x, y }) {
      const cell = at(x, y);
      if (cell) model.choose(cell);
    },
    key(name) {
      const arrow = ARROWS[name];
      if (arrow) step(arrow);
      else if (name === "Enter") model.open();
      else if (name === "Escape" && model.chosen.peek()) store.set("reference_layer", null);
      else return zoomKey(name, steering, (factor) => zoomIn({ model, steering }, factor));
      return true;
    },
  });
}

/** Where a cell lies in the world. */
function boxOf(model: SimilarityModel, { row, column }: Cell) {
  const { width, height } = model.cell.peek();
  return { x: column * width, y: (model.rows.peek().count - 1 - row) * height, width, height };
}

/** Zoom about the chosen cell, or about the middle. */
function zoomIn({ model, steering }: Omit<Props, "store">, factor: number): void {
  const { world, screen } = model.limits.peek();
  const chosen = model.chosen.peek();
  const camera = steering.camera.peek();
  const box = chosen && boxOf(model, chosen);
  const across = Math.min(screen.width, world.width * camera.zoom);
  const down = Math.min(screen.height, world.height * camera.zoom);
  const x = box ? (box.x + box.width / 2 - camera.x) * camera.zoom : across / 2;
  const y = box ? (box.y + box.height / 2 - camera.y) * camera.zoom : down / 2;
  const inside = x >= 0 && y >= 0 && x <= across && y <= down;
  steering.zoom(inside ? x : across / 2, inside ? y : down / 2, factor);
}

/** Another comparison is seen whole; the next batch of the same one changes nothing of the sight. */
function follow(model: SimilarityModel, steering: Steering, box: HTMLElement): () => void {
  let drawn = "";
  let before = model.limits.peek();
  const stops = [
    effect(() => {
      const limits = model.limits.value;
      const now = [model.rows.value, model.columns.value].map((a) => a.title + a.count).join();
      const whole = now !== drawn || isFitted(steering.target, before);
      steering.jump(whole ? fitted(limits) : steering.target);
      if (now !== drawn) model.hover.value = null;
      drawn = now;
      before = limits;
    }),
    effect(() => {
      // at rest a finger scrolls the page, zoomed in it moves the picture
      const rest = isFitted(steering.camera.value, model.limits.value);
      box.style.touchAction = rest ? "pan-y" : "none";
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/** The value and both names, beside the cell that is pointed at. */
function Tip({ store, model, steering }: Props) {
  const cell = model.hover.value;
  const found = store.comparing.value.value;
  const pair = cell && found && pairAt(found, cell);
  if (!pair) return null;
  const { x, y, width, height } = boxOf(model, cell);
  const { left, top } = model.plot.value;
  const camera = steering.camera.value;
  const px = left + (x - camera.x) * camera.zoom;
  const py = top + (y - camera.y) * camera.zoom;
  const size = model.size.value;
  const beside =
    px > size.width / 2
      ? { right: `${size.width - px + 10}px` }
      : { left: `${px + width * camera.zoom + 10}px` };
  const over =
    py > size.height / 2
      ? { bottom: `${size.height - py - height * camera.zoom}px` }
      : { top: `${Math.max(0, py)}px` };
  return (
    <div class="cl-tip" style={{ ...beside, ...over }}>
      <b>{model.reversed.value && pair.reverse ? pair.reverse : pair.value}</b>
      <bdi>{nameOfSide(pair.row)}</bdi>
      <bdi>{nameOfSide(pair.column)}</bdi>
      {pair.reason && <span>{pair.reason}</span>}
    </div>
  );
}

/** The colours with the values at their ends, what they span, and how near one looks. */
export function Legend({ store, model, steering }: Props) {
  const { low, high, turned } = model.range.value;
  const whole = useComputed(() => isFitted(steering.camera.value, model.limits.value)).value;
  const end = (value: number) => figure(value, 2).replace(/\.?0+$/, "") || "0";
  const table = likeness(store.theme.value === "dark");
  const stops = Array.from({ length: 17 }, (_, i) => {
    const step = Math.round((i / 16) * STEPS);
    return css(table[turned ? STEPS - step : step] as number);
  });
  return (
    <div class="cl-legend">
      {model.shape.value === "heatmap" && (
        <>
          <span>{end(low)}</span>
          <i style={{ background: `linear-gradient(90deg, ${stops.join(", ")})` }} />
          <span>{end(high)}</span>
        </>
      )}
      <Segments
        label="Colours"
        options={turned ? DISTANCES : SIMILARITIES}
        value={store.traits.fit.value ? "fit" : "fixed"}
        choose={(chosen) => store.set("fit", chosen === "fit")}
      />
      <span class="cl-hint">{model.paired.value ? "" : turned ? "0 = same" : "1 = same"}</span>
      {store.comparing.value.value?.reverse && (
        <Segments
          label="Weighted by the layers of the"
          options={SIDES}
          value={model.reversed.value ? "columns" : "rows"}
          choose={(side) => {
            model.reversed.value = side === "columns";
          }}
        />
      )}
      {model.paired.value && (
        <Segments
          label="Drawn as"
          options={SHAPES}
          value={model.shape.value}
          choose={(shape) => model.draw(shape)}
        />
      )}
      {model.shape.value === "heatmap" && (
        <ZoomButtons
          zoom={(factor) => zoomIn({ model, steering }, factor)}
          showAll={() => showAll(steering)}
          whole={whole}
        />
      )}
    </div>
  );
}

const SIDES = [
  { id: "rows", label: "by rows", title: "Weighted by what the rows' layers use" },
  { id: "columns", label: "by columns", title: "Weighted by what the columns' layers use" },
] as const;

const SHAPES = [
  { id: "heatmap", label: "heatmap" },
  { id: "diagonal", label: "diagonal", title: "Each layer with its own counterpart" },
] as const;

const FIT = { id: "fit", label: "fitted", title: "Colours span the values there are" } as const;
const SIMILARITIES = [
  { id: "fixed", label: "0 to 1", title: "Colours span 0 to 1: pictures compare" },
  FIT,
] as const;
const DISTANCES = [
  { id: "fixed", label: "from 0", title: "Colours span 0 to the largest distance" },
  FIT,
] as const;
