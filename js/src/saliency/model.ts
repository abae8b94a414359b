// How the maps are shown: alone or over the picture, signed or not, over which range of colours. It
// lasts as long as the widget, so that another view may be looked at in between.
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import type { Problem } from "../cache";
import {
  type Coloring,
  clipAt,
  type Extremes,
  extremesOf,
  isTwoSided,
  laidOver,
  NEXT_TO_NOTHING,
  type Plane,
  pixelsOf,
  planeOf,
  shadeOf,
  sheetOf,
  withAlpha,
} from "../draw/saliency";
import { type Asked, type Attribution, type Explaining, keyOf } from "../explaining";
import type { Store } from "../state";
import type { Method } from "../wire/saliency";

export type Way = "map" | "overlay";
export type Span = "input" | "seen";

export interface Cursor {
  readonly row: number;
  readonly column: number;
}

/** One map of the grid, or why there is none. */
export interface Figure {
  readonly asked: Asked;
  readonly method: Method | undefined;
  readonly state: "ready" | "computing" | "waiting" | "stopped" | "refused" | "failed";
  /** Why it is refused or has failed. */
  readonly problem: Problem | null;
  readonly map: Attribution | undefined;
}

/** What is drawn of a map that is there. */
export interface Drawn {
  readonly plane: Plane;
  readonly extremes: Extremes;
  readonly coloring: Coloring;
  /** The map explains nothing: all of it is about zero. */
  readonly nothing: boolean;
}

export class SaliencyModel {
  readonly way: Signal<Way> = signal("map");
  readonly opacity = signal(0.9);
  readonly signed = signal(true);
  /** Percent of the values whose colours are held at the ends. */
  readonly clip = signal(1);
  readonly span: Signal<Span> = signal("input");
  readonly cursor: Signal<Cursor | null> = signal(null);
  readonly figures: ReadonlySignal<readonly Figure[]>;
  /** The input as a person sees it. */
  readonly pixels: ReadonlySignal<Uint8ClampedArray<ArrayBuffer> | null>;
  readonly sheet: ReadonlySignal<HTMLCanvasElement | null>;
  /** Width over height of the input. */
  readonly aspect: ReadonlySignal<number>;

  readonly #store: Store;
  readonly #explaining: Explaining;
  /** By map and by whether it is signed: worked out once. */
  readonly #sided = new WeakMap<Float32Array, boolean>();
  readonly #planes = new WeakMap<Float32Array, Map<boolean, Plane>>();

  constructor(store: Store) {
    this.#store = store;
    const explaining = store.explaining;
    this.#explaining = explaining;
    const picture = explaining.picture;
    this.pixels = computed(() => {
      const found = picture.value;
      return found && pixelsOf(found.image, found.shape, found);
    });
    this.sheet = computed(() => {
      const found = picture.value;
      const chosen = store.inputs.chosen.value;
      if (found && this.pixels.value && (!chosen || found.index === chosen.index)) {
        const [, height = 1, width = 1] = found.shape;
        return sheetOf(this.pixels.value, height, width);
      }
      // small, but there at once, and where the kernel cannot be asked
      if (!chosen) return null;
      const { bytes, height, width } = chosen.picture;
      return sheetOf(withAlpha(bytes), height, width);
    });
    this.aspect = computed(() => {
      const shape = picture.value?.shape ?? store.inputs.rows.value?.shape ?? [];
      const [, height = 1, width = 1] = shape;
      return width / height;
    });
    this.figures = computed(() => {
      const { methods, method } = store.traits;
      const chosen = methods.value.includes(method.value)
        ? methods.value
        : [method.value, ...methods.value];
      return chosen.flatMap((name) =>
        explaining.sides.value.map((side) => this.#figure(name, side)),
      );
    });
  }

  #figure(name: string, side: Asked["side"]): Figure {
    const explaining = this.#explaining;
    const asked = explaining.asked(name, side);
    const map = explaining.map(asked);
    const refusal = explaining.refusal(name, side);
    const failure = explaining.problem(asked) ?? null;
    const problem = refusal === null ? failure : { message: refusal, details: "" };
    const computing = explaining.underway.value?.key === keyOf(asked);
    const state = map
      ? "ready"
      : refusal !== null
        ? "refused"
        : failure
          ? "failed"
          : computing
            ? "computing"
            : explaining.stopped.value
              ? "stopped"
              : "waiting";
    return { asked, method: explaining.declared(name), state, problem, map };
  }

  /** What is drawn of a map: the channels summed up, and the colours. */
  drawn(map: Attribution): Drawn {
    const signed = this.signed.value && this.#twoSided(map);
    const plane = this.#plane(map, signed);
    const extremes = extremesOf(plane);
    const range = this.#range(map, signed);
    const dark = this.#store.theme.value === "dark";
    const nothing = Math.max(-extremes.low, extremes.high) < NEXT_TO_NOTHING;
    return { plane, extremes, coloring: { range, signed, dark }, nothing };
  }

  /** The picture of a map, of the way chosen. */
  sheetOf({ plane, coloring }: Drawn): HTMLCanvasElement {
    const pixels = this.pixels.value;
    const fits = pixels?.length === 4 * plane.values.length;
    const shades =
      this.way.value === "overlay" && pixels && fits
        ? laidOver(plane, coloring, pixels, this.opacity.value)
        : shadeOf(plane, coloring);
    return sheetOf(shades, plane.height, plane.width);
  }

  /** Whether any map that is shown speaks for and against. */
  get twoSided(): boolean {
    return this.figures.value.some(({ map }) => map !== undefined && this.#twoSided(map));
  }

  /** The size that takes the last colour: the same for the maps that are compared. */
  #range(map: Attribution, signed: boolean): number {
    const seen = this.span.value === "seen";
    let range = 0;
    for (const other of this.#explaining.maps.value.values()) {
      const alike =
        other.method === map.method &&
        other.settings === map.settings &&
        other.baseline === map.baseline &&
        other.layer === map.layer &&
        other.channel === map.channel &&
        (seen || (other.input === map.input && other.target === map.target));
      if (alike) range = Math.max(range, clipAt(this.#plane(other, signed), this.clip.value));
    }
    return range || clipAt(this.#plane(map, signed), this.clip.value) || 1;
  }

  #twoSided({ values }: Attribution): boolean {
    const known = this.#sided.get(values) ?? isTwoSided(values);
    this.#sided.set(values, known);
    return known;
  }

  #plane(map: Attribution, signed: boolean): Plane {
    let known = this.#planes.get(map.values);
    if (!known) {
      known = new Map();
      this.#planes.set(map.values, known);
    }
    let plane = known.get(signed);
    if (!plane) {
      const how = signed ? "sum" : this.#twoSided(map) ? "abs" : "max";
      plane = planeOf(map.values, map.shape, how);
      known.set(signed, plane);
    }
    return plane;
  }
}

const models = new WeakMap<Store, SaliencyModel>();

export function modelOf(store: Store): SaliencyModel {
  let model = models.get(store);
  if (!model) {
    model = new SaliencyModel(store);
    models.set(store, model);
  }
  return model;
}
