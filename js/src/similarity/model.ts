// What the heatmap shows, derived step by step from the store; and the cell that is pointed at or
// chosen. It lasts as long as the view is open.
import { batch, computed, type ReadonlySignal, signal } from "@preact/signals";
import type { Matrix } from "../comparing";
import { type Limits, limitsOf, type Size } from "../draw/camera";
import {
  AROUND,
  type Cell,
  cellOf,
  type Plot,
  plotOf,
  type Range,
  type Scene,
} from "../draw/heatmap";
import { type Axis, axisOf, type Room, roomFor } from "../draw/lanes";
import type { Side } from "../protocol";
import type { Store } from "../state";

export type Shape = "heatmap" | "diagonal";

export class SimilarityModel {
  /** CSS pixels of the canvas, and device pixels of one. */
  readonly size = signal<Size>({ width: 0, height: 0 });
  readonly dpr = signal(1);
  readonly hover = signal<Cell | null>(null);
  /** Of a directed measure: weighted by the columns' layers, not the rows'. */
  readonly reversed = signal(false);

  readonly #shape = signal<Shape>("heatmap");
  /** A chosen row that the rail does not have: it cannot be the Lens's layer. */
  readonly #row = signal<{ key: string; layer: string } | null>(null);
  readonly #store: Store;

  readonly shape: ReadonlySignal<Shape>;
  /** Rows and columns are the same layers of two sides. */
  readonly paired: ReadonlySignal<boolean>;
  readonly values: ReadonlySignal<Float32Array>;
  readonly rows: ReadonlySignal<Axis>;
  readonly columns: ReadonlySignal<Axis>;
  readonly range: ReadonlySignal<Range>;
  readonly scene: ReadonlySignal<Scene | null>;
  readonly room: ReadonlySignal<Room>;
  readonly plot: ReadonlySignal<Plot>;
  readonly cell: ReadonlySignal<Size>;
  readonly limits: ReadonlySignal<Limits>;
  /** CSS pixels that the heatmap can use across. */
  readonly useful: ReadonlySignal<number>;
  /** And down, where the cards do not stand beside it. */
  readonly tall: ReadonlySignal<number>;
  /** The row of the chosen layer; -1 where it has none. */
  readonly row: ReadonlySignal<number>;
  readonly chosen: ReadonlySignal<Cell | null>;
  /** The cell of the card: pointed at, else chosen. */
  readonly shown: ReadonlySignal<Cell | null>;

  constructor(store: Store) {
    this.#store = store;
    const { comparing, traits } = store;
    const found = comparing.value;
    this.paired = computed(() => {
      const value = found.value;
      return value !== null && value.comparison !== "self" && sameKeys(value);
    });
    this.shape = computed(() => (this.paired.value ? this.#shape.value : "heatmap"));
    this.values = computed(() => {
      const value = found.value;
      return (this.reversed.value ? value?.reverse : null) ?? value?.matrix ?? NOTHING;
    });
    this.rows = computed(() => axisOf(found.value?.row_title ?? "", names(found.value?.rows)));
    this.columns = computed(() =>
      axisOf(found.value?.column_title ?? "", names(found.value?.columns)),
    );
    this.range = computed(() => {
      const value = found.value;
      const turned = value !== null && comparing.declared(value.measure)?.identical === 0;
      return rangeOf(this.values.value, traits.fit.value, turned);
    });
    this.scene = computed(() => {
      const colors = store.colors.value;
      if (!colors || this.values.value.length === 0) return null;
      return {
        values: this.values.value,
        rows: this.rows.value,
        columns: this.columns.value,
        range: this.range.value,
        dark: store.theme.value === "dark",
        colors,
      };
    });
    const measuring = document.createElement("canvas").getContext("2d");
    this.room = computed(() => {
      if (!measuring) return { stages: 0, inner: 0 };
      return roomFor(measuring, this.rows.value, this.size.value.width < 440 ? 92 : 190);
    });
    this.plot = computed(() => plotOf(this.room.value, this.size.value));
    this.cell = computed(() =>
      cellOf(this.rows.value.count, this.columns.value.count, this.plot.value),
    );
    this.limits = computed(() => {
      const plot = this.plot.value;
      const world = {
        width: Math.max(1, this.columns.value.count) * this.cell.value.width,
        height: Math.max(1, this.rows.value.count) * this.cell.value.height,
      };
      const least = Math.min(plot.width / world.width, plot.height / world.height, 120);
      // whole device pixels a cell where that costs little
      const crisp = Math.floor(least * this.dpr.value) / this.dpr.value;
      return limitsOf(world, plot, crisp > 0.92 * least ? crisp : least);
    });
    this.useful = computed(() => {
      const { left, height } = this.plot.value;
      const { width: wide, height: tall } = this.cell.value;
      if (height < 2 || wide * tall !== 1) return Number.POSITIVE_INFINITY;
      const cells = (height / this.rows.value.count) * this.columns.value.count;
      return Math.max(484, left + Math.max(300, cells) + 4);
    });
    this.tall = computed(() => {
      const { width } = this.plot.value;
      const { width: wide, height: tall } = this.cell.value;
      const cells = ((width / wide) * tall * this.rows.value.count) / this.columns.value.count;
      return Math.round(Math.min(420, Math.max(200, cells + AROUND)));
    });
    this.row = computed(() => {
      const layer = traits.layer.value;
      const local = this.#row.value;
      const key = local?.layer === layer ? local.key : layer;
      return found.value?.rows.findIndex((side) => side.key === key) ?? -1;
    });
    this.chosen = computed(() => {
      const value = found.value;
      const row = this.row.value;
      const column = value?.columns.findIndex((side) => side.key === traits.reference_layer.value);
      return row < 0 || column === undefined || column < 0 ? null : { row, column };
    });
    this.shown = computed(() => this.hover.value ?? this.chosen.value);
  }

  draw(shape: Shape): void {
    this.#shape.value = shape;
    this.hover.value = null;
  }

  /** Shows the filters of the chosen row. */
  open(): void {
    const row = this.chosen.peek()?.row ?? -1;
    const key = this.#store.comparing.value.peek()?.rows[row]?.key;
    if (key === undefined) return;
    if (key === this.#store.traits.layer.peek()) this.#store.set("view", "filters");
    else this.#store.say(`${key} has no filters`);
  }

  /** Makes both layers of a cell the chosen ones, here and in Python. */
  choose({ row, column }: Cell): void {
    const value = this.#store.comparing.value.peek();
    const [a, b] = [value?.rows[row]?.key, value?.columns[column]?.key];
    if (a === undefined || b === undefined) return;
    batch(() => {
      this.#store.select(a);
      this.#row.value = { key: a, layer: this.#store.traits.layer.peek() };
      this.#store.set("reference_layer", b);
    });
  }
}

const NOTHING = new Float32Array(0);

const names = (sides: readonly Side[] = []): string[] => sides.map(({ key, kind }) => key || kind);

const sameKeys = ({ rows, columns }: Matrix): boolean =>
  rows.length === columns.length && rows.every(({ key }, index) => key === columns[index]?.key);

/** Similarities span 0 to 1, distances 0 to the largest; fitted, what there is. */
export function rangeOf(values: Float32Array, fit: boolean, turned: boolean): Range {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return { low: 0, high: 1, turned };
  if (fit) return { low, high, turned };
  return { low: 0, high: turned ? Math.max(high, Number.MIN_VALUE) : 1, turned };
}

/** The diagonal of a square matrix. */
export function diagonalOf(values: Float32Array): Float32Array {
  const side = Math.round(Math.sqrt(values.length));
  return Float32Array.from({ length: side }, (_, index) => values[index * side + index] as number);
}
