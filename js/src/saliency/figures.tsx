import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { Canvas, type Size } from "../canvas";
import { css, diverging, STEPS, sequential } from "../colormap";
import { outline, place } from "../draw/saliency";
import { percent } from "../format";
import { Icon } from "../icons";
import { ARROWS } from "../pointing";
import type { ViewProps } from "../state";
import { nameOfInput } from "../strip/words";
import { gridFor } from "./layout";
import { type Cursor, type Drawn, type Figure, modelOf } from "./model";
import { rangeInWords, sumInWords, titleOf, value } from "./words";

/** The padding of the view. */
const BELOW = 12;

/** The input and its maps side by side, each as large as fits; the cards beside them, or below. */
export function Figures({ store, children }: ViewProps & { children: ComponentChildren }) {
  const model = modelOf(store);
  const root = useRef<HTMLDivElement>(null);
  const size = useSignal({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const box = root.current as HTMLDivElement;
    const view = box.closest<HTMLElement>(".cl-view") ?? box;
    const measure = () => {
      const width = box.clientWidth;
      // what is left of the view below the strip, wherever it is scrolled to
      const top = box.getBoundingClientRect().top - view.getBoundingClientRect().top;
      const height = view.clientHeight - top - view.scrollTop - BELOW;
      if (width !== size.value.width || Math.abs(height - size.value.height) > 1) {
        size.value = { width, height };
      }
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    observer.observe(view);
    return () => observer.disconnect();
  }, [size]);
  const figures = model.figures.value;
  const paired = store.explaining.sides.value.length > 1;
  const grid = gridFor(figures.length, paired, size.value, model.aspect.value);
  return (
    <div ref={root} class={`cl-explained${grid.beside ? "" : " cl-below"}`}>
      <div
        class="cl-figures-grid"
        style={{
          gridTemplateColumns: `repeat(${grid.columns}, ${grid.width}px)`,
          "--cl-figure": `${grid.height}px`,
        }}
      >
        <InputFigure store={store} rows={grid.rows} />
        {figures.map((figure) => (
          <MapFigure
            key={`${figure.asked.method} ${figure.asked.side}`}
            store={store}
            figure={figure}
            place={grid.place(figures.indexOf(figure))}
          />
        ))}
      </div>
      {children}
    </div>
  );
}

function InputFigure({ store, rows }: ViewProps & { rows: number }) {
  const model = modelOf(store);
  const { picture, pictureProblem } = store.explaining;
  const input = store.inputs.chosen.value;
  const found = picture.value?.index === store.traits.input_index.value ? picture.value : null;
  const paint = useMemo(
    () => (context: CanvasRenderingContext2D, size: Size) => {
      const sheet = model.sheet.value;
      const cursor = model.cursor.value;
      if (!sheet) return;
      const frame = { x: 0, y: 0, ...size };
      place(context, sheet, frame);
      if (cursor) outline(context, frame, cursor, sheet);
    },
    [model],
  );
  const called = (index: number | null) => store.inputs.className(index);
  const truth = input?.label ?? null;
  const name = input ? nameOfInput(input) : `#${store.traits.input_index.value}`;
  const cursor = model.cursor.value;
  return (
    <figure class="cl-figure" style={{ gridRow: `1 / span ${rows}` }}>
      <Frame store={store} label={`Input ${name}`}>
        {model.sheet.value ? (
          <Canvas store={store} paint={paint} role="img" aria-label={`Input ${name}`} />
        ) : (
          <div class="cl-skeleton cl-figure-wait">
            {pictureProblem.value && <p>{pictureProblem.value.message}</p>}
          </div>
        )}
      </Frame>
      <figcaption>
        <b>{truth === null ? `input ${name}` : `truly ${called(truth)}`}</b>
        <span>
          {cursor && found
            ? `${cursor.column}, ${cursor.row}: ${pixelWords(found.image, found.shape, cursor)}`
            : input && input.predicted !== null
              ? `predicted ${called(input.predicted)}, ${percent(input.probability).replace(" ", "\u00a0")}`
              : ""}
        </span>
        {!cursor && truth !== null && <span>input {name}</span>}
      </figcaption>
    </figure>
  );
}

/** The values of a pixel as the model takes them, one per channel. */
function pixelWords(image: Float32Array, shape: readonly number[], { row, column }: Cursor) {
  const [channels = 1, height = 1, width = 1] = shape;
  const values = Array.from({ length: Math.min(channels, 4) }, (_, channel) =>
    value(image[channel * height * width + row * width + column]),
  );
  return values.join("  ") + (channels > 4 ? " …" : "");
}

interface MapProps extends ViewProps {
  figure: Figure;
  place: { row: number; column: number } | null;
}

function MapFigure({ store, figure, place: spot }: MapProps) {
  const model = modelOf(store);
  const { asked, map, state, problem } = figure;
  const several = store.traits.methods.value.length > 1;
  const paired = store.explaining.sides.value.length > 1;
  const drawn = map && model.drawn(map);
  // the map before stays until the next is there: a quick one shows no change
  const last = useRef<Drawn | undefined>(undefined);
  if (drawn) last.current = drawn;
  else if (state === "refused" || state === "failed") last.current = undefined;
  const past = drawn ? undefined : last.current;
  const title = titleOf(figure);
  const { model: first, reference } = store.kernel._structure.value;
  const side = asked.side === "model" ? first.title : reference?.title;
  const focus = several && asked.method === store.traits.method.value;
  const choose = () => store.set("method", asked.method);
  const said = paired ? `${title}, ${side}` : title;
  return (
    <figure
      class={`cl-figure${focus ? " cl-focus" : ""}${past ? " cl-before" : ""}`}
      data-input={map ? asked.input : undefined}
      style={spot ? { gridRow: spot.row, gridColumn: spot.column } : {}}
    >
      <Frame store={store} label={said} choose={several ? choose : undefined}>
        {drawn ? (
          <MapCanvas store={store} drawn={drawn} label={`${said}: ${rangeInWords(drawn)}`} />
        ) : past ? (
          <MapCanvas store={store} drawn={past} label={`${said}, of what was chosen before`} />
        ) : null}
        {!drawn && (
          <Waiting state={state} words={problem?.message ?? ""} store={store} figure={figure} />
        )}
        {drawn?.nothing && (
          <p class="cl-figure-note">
            All about zero: the target does not react to this input here.
          </p>
        )}
      </Frame>
      <figcaption>
        {several ? (
          <button type="button" class="cl-title-button" aria-pressed={focus} onClick={choose}>
            {title}
          </button>
        ) : (
          <b>{title}</b>
        )}
        {drawn && <Scale drawn={drawn} store={store} />}
        <span>{drawn ? under(model.cursor.value, drawn) : ""}</span>
        {drawn && <span>{sumInWords(figure)}</span>}
        {paired && (
          <span class="cl-side">
            {side}
            {map && map.predicted !== null && (
              <i>
                {` says ${store.inputs.className(map.predicted)}, ${percent(map.probability).replace(" ", "\u00a0")}`}
              </i>
            )}
          </span>
        )}
      </figcaption>
    </figure>
  );
}

/** The value that is pointed at; else the range. */
function under(cursor: Cursor | null, drawn: Drawn): string {
  if (!cursor) return rangeInWords(drawn);
  const { values, width } = drawn.plane;
  const at = values[cursor.row * width + cursor.column];
  return at === undefined ? "" : `${cursor.column}, ${cursor.row}: ${value(at)}`;
}

function MapCanvas({ store, drawn, label }: ViewProps & { drawn: Drawn; label: string }) {
  const model = modelOf(store);
  const { plane, coloring } = drawn;
  const { range, signed, dark } = coloring;
  const { way, opacity } = model;
  const pixels = way.value === "overlay" ? model.pixels.value : null;
  const shown = way.value === "overlay" ? opacity.value : 0;
  const sheet = useMemo(
    () => model.sheetOf(drawn),
    [model, plane, range, signed, dark, way.value, shown, pixels],
  );
  const latest = useSignal(sheet);
  useLayoutEffect(() => {
    latest.value = sheet;
  }, [latest, sheet]);
  const paint = useMemo(
    () => (context: CanvasRenderingContext2D, size: Size) => {
      const frame = { x: 0, y: 0, ...size };
      const cursor = model.cursor.value;
      place(context, latest.value, frame);
      if (cursor) outline(context, frame, cursor, latest.value);
    },
    [model, latest],
  );
  return <Canvas store={store} paint={paint} role="img" aria-label={label} />;
}

/** The colours with the sizes at their ends. */
function Scale({ store, drawn }: ViewProps & { drawn: Drawn }) {
  const dark = store.theme.value === "dark";
  const { signed, range } = drawn.coloring;
  const table = signed ? diverging(dark) : sequential(dark);
  const stops = Array.from({ length: 9 }, (_, i) => {
    const step = Math.round((i / 8) * (signed ? 2 * STEPS : STEPS));
    return css(table[step] as number);
  });
  return (
    <span class="cl-figure-scale" title="What the colours span">
      <span>{signed ? value(-range) : "0"}</span>
      <i style={{ background: `linear-gradient(90deg, ${stops.join(", ")})` }} />
      <span>{value(range)}</span>
    </span>
  );
}

interface WaitingProps extends ViewProps {
  state: Figure["state"];
  words: string;
  figure: Figure;
}

function Waiting({ store, state, words }: WaitingProps) {
  if (state === "refused" || state === "failed") {
    return (
      <div class="cl-figure-wait cl-figure-refused" role={state === "failed" ? "alert" : undefined}>
        <Icon name={state === "failed" ? "bad" : "none"} />
        <p>{words}</p>
      </div>
    );
  }
  const underway = store.explaining.underway.value;
  if (state === "computing" && underway) {
    const { done, total } = underway;
    return (
      <div class="cl-skeleton cl-figure-wait" aria-busy="true">
        <progress
          {...(total ? { max: total, value: done } : {})}
          aria-label="Progress of this map"
        />
      </div>
    );
  }
  return (
    <div class={`cl-figure-wait${state === "stopped" ? " cl-figure-refused" : " cl-skeleton"}`}>
      {state === "stopped" && <p>stopped</p>}
    </div>
  );
}

interface FrameProps extends ViewProps {
  label: string;
  choose?: (() => void) | undefined;
  children: ComponentChildren;
}

/** Points at the same pixel in all figures, by the pointer or by arrow keys. */
function Frame({ store, label, choose, children }: FrameProps) {
  const model = modelOf(store);
  const shape = () => {
    const [, height = 1, width = 1] = store.explaining.picture.peek()?.shape ?? [];
    return { height, width };
  };
  const inside = (index: number, count: number) => Math.min(count - 1, Math.max(0, index));
  const point = (event: PointerEvent) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const { height, width } = shape();
    const column = inside(Math.floor(((event.clientX - box.left) / box.width) * width), width);
    const row = inside(Math.floor(((event.clientY - box.top) / box.height) * height), height);
    const known = model.cursor.peek();
    if (known?.row !== row || known.column !== column) model.cursor.value = { row, column };
  };
  const leave = () => {
    model.cursor.value = null;
  };
  const keys = (event: KeyboardEvent) => {
    const arrow = ARROWS[event.key];
    if (event.key === "Escape") leave();
    else if (event.key === "Enter" && choose) choose();
    else if (!arrow) return;
    event.preventDefault();
    if (!arrow) return;
    const { height, width } = shape();
    const from = model.cursor.peek();
    const by = event.shiftKey ? 5 : 1;
    model.cursor.value = {
      column: inside((from?.column ?? width >> 1) + (from ? by * arrow[0] : 0), width),
      row: inside((from?.row ?? height >> 1) + (from ? by * arrow[1] : 0), height),
    };
  };
  return (
    <div
      class="cl-figure-frame"
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: an application takes keys
      tabIndex={0}
      aria-label={`${label}. Arrows point at a pixel.`}
      onPointerMove={point}
      onPointerLeave={leave}
      onBlur={leave}
      onClick={choose}
      onKeyDown={keys}
    >
      {children}
    </div>
  );
}
