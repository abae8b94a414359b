import { Canvas, type Size } from "../canvas";
import { css, diverging } from "../colormap";
import { CRISP, canvasOf, fitIn, heatOf, imageOf } from "../draw/pixels";
import type { Maps } from "../maximising";
import { Segments } from "../segments";
import type { ViewProps } from "../state";
import { Why } from "./image";
import type { FeaturesModel } from "./model";
import { level } from "./words";

interface Props extends ViewProps {
  model: FeaturesModel;
}

/** Where on the chosen input the channel fires. */
export function MapsPanel({ store, model }: Props) {
  const { maps, current } = store.maximising;
  const found = maps.value.value;
  const mapped = found?.sides.some(({ map }) => map.length > 1) ?? true;
  return (
    <section class="cl-answer" aria-label="Activation map">
      <h4>
        Where it fires
        {mapped && (
          <Segments
            label="The map"
            options={OVER}
            value={model.over.value ? "over" : "alone"}
            choose={(how) => {
              model.over.value = how === "over";
            }}
          />
        )}
      </h4>
      {maps.problem.value ? (
        <Why store={store} problem={maps.problem.value} />
      ) : found ? (
        <div class={current.maps.value ? "cl-rows" : "cl-rows cl-past"}>
          {found.sides.map((side) => (
            <Side key={side.side} store={store} model={model} found={found} shown={side} />
          ))}
        </div>
      ) : (
        <div class="cl-rows">
          <div class="cl-row">
            <figure class="cl-square cl-skeleton" />
          </div>
        </div>
      )}
    </section>
  );
}

interface SideProps extends Props {
  found: Maps;
  shown: Maps["sides"][number];
}

function Side({ store, model, found, shown }: SideProps) {
  const { side, title, reason, extent, map, low, high } = shown;
  const dark = store.theme.value === "dark";
  const two = found.sides.length > 1;
  const [tall, wide] = extent;
  const aspect = aspectOf(found);
  const paint = (context: CanvasRenderingContext2D, size: Size) => {
    // read here, so that it is drawn anew whenever any of it changes
    const now = store.maximising.maps.value.value ?? found;
    const one = now.sides.find((other) => other.side === side) ?? shown;
    paintMap(context, size, now, one, model.over.value, store.theme.value === "dark");
  };
  const cell = model.cell.value;
  const value = cell && map[cell.row * wide + cell.column];
  const summary =
    reason ??
    `Map of ${tall} by ${wide} on input ${found.input}, from ${level(low)} to ${level(high)}`;
  return (
    <div class="cl-row">
      <div
        class="cl-square cl-map"
        onPointerMove={(event) => {
          const area = event.currentTarget.getBoundingClientRect();
          const box = fitIn(aspect, area.width, area.height);
          const column = Math.floor(((event.clientX - area.left - box.x) / box.width) * wide);
          const row = Math.floor(((event.clientY - area.top - box.y) / box.height) * tall);
          const inside = row >= 0 && column >= 0 && row < tall && column < wide;
          model.cell.value = inside ? { row, column } : null;
        }}
        onPointerLeave={() => (model.cell.value = null)}
      >
        <Canvas store={store} paint={paint} role="img" aria-label={`${title}: ${summary}`} />
        {cell && map.length > 1 && <Cell aspect={aspect} {...{ tall, wide, ...cell }} />}
      </div>
      <div class="cl-words">
        {two && <bdi class="cl-side-name">{title}</bdi>}
        {reason !== null ? (
          <p>{reason}</p>
        ) : map.length === 1 ? (
          <p>
            <b class="cl-level">{level(map[0])}</b> activation: one number, no map
          </p>
        ) : (
          <>
            <p>
              <b class="cl-level">{level(value ?? high)}</b> {cell ? "here" : "at most"}
            </p>
            <p>
              {cell
                ? `row ${cell.row}, column ${cell.column}`
                : `${tall} × ${wide}, ${low === high ? "the same everywhere" : `from ${level(low)}`}`}
            </p>
          </>
        )}
        {map.length > 1 && rangeOf(found) > 0 && side === "model" && (
          <Scale range={rangeOf(found)} dark={dark} />
        )}
      </div>
    </div>
  );
}

const aspectOf = ({ extent: [height, width], sides }: Maps): number => {
  const [tall, wide] = sides[0]?.extent ?? [1, 1];
  return (width || wide || 1) / (height || tall || 1);
};

/** What takes the last colour, of both models, so that they compare. */
const rangeOf = ({ sides }: Maps): number =>
  Math.max(0, ...sides.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)]));

export function paintMap(
  context: CanvasRenderingContext2D,
  size: Size,
  found: Maps,
  { map, extent }: Maps["sides"][number],
  over: boolean,
  dark: boolean,
): void {
  const box = fitIn(aspectOf(found), size.width, size.height);
  const put = (image: ImageData, crisp: boolean) => {
    context.imageSmoothingEnabled = !crisp;
    context.drawImage(canvasOf(image), box.x, box.y, box.width, box.height);
  };
  const input = imageOf(found.picture, found.extent);
  const [height, width] = found.extent;
  const mapped = map.length > 1;
  if (input && (over || !mapped)) put(input, Math.max(width, height) < CRISP);
  if (mapped) put(heatOf(map, extent, rangeOf(found), dark, over && input !== null), true);
}

const OVER = [
  { id: "over", label: "over", title: "The map over the input" },
  { id: "alone", label: "map", title: "The map alone" },
] as const;

/** The cell that is pointed at, on the map. */
function Cell(props: { aspect: number; tall: number; wide: number; row: number; column: number }) {
  const { aspect, tall, wide, row, column } = props;
  const box = fitIn(aspect, 100, 100);
  const style = {
    left: `${box.x + (column / wide) * box.width}%`,
    top: `${box.y + (row / tall) * box.height}%`,
    width: `${box.width / wide}%`,
    height: `${box.height / tall}%`,
  };
  return <i class="cl-cell" style={style} />;
}

/** Zero in the middle. */
function Scale({ range, dark }: { range: number; dark: boolean }) {
  const table = diverging(dark);
  const stops = Array.from({ length: 9 }, (_, i) =>
    css(table[Math.round((i / 8) * (table.length - 2))] as number),
  );
  return (
    <div class="cl-scale">
      <i style={{ background: `linear-gradient(90deg, ${stops.join(", ")})` }} />
      <span>
        <span>{level(-range)}</span>
        <span>{level(range)}</span>
      </span>
    </div>
  );
}
