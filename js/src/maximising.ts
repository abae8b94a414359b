// What maximises a channel, as it is computed: the input synthesised for it, the inputs that excite it
// most, its map on the chosen input; and the pictures of all channels of its layer. The kernel keeps
// what it has, so that what is chosen again is there at once, and what was stopped goes on.
import {
  computed,
  effect,
  type ReadonlySignal,
  type Signal,
  signal,
  untracked,
} from "@preact/signals";
import { Asking, nameOf } from "./asking";
import type { Problem } from "./cache";
import type { Client } from "./client";
import type { Arrays, Headers, KernelTraits, Params, Traits } from "./protocol";
import type { Signals } from "./state";
import type { Beside, Excited, Extent, FeatureAsked, Fired, Synthesised } from "./wire/features";

export interface Feature extends Omit<Headers["features"], "sides"> {
  sides: (Synthesised & { picture: Uint8Array; curve: Float32Array })[];
}

export interface Excitement extends Omit<Headers["top_inputs"], "sides"> {
  sides: (Excited & { pictures: Uint8Array })[];
}

export interface Maps extends Omit<Headers["activations"], "sides"> {
  picture: Uint8Array;
  sides: (Fired & { map: Float32Array; low: number; high: number })[];
}

/** The picture of one channel among those of its layer. */
export interface Tile {
  picture: Uint8Array;
  extent: Extent;
  value: number;
  fires: boolean | null;
}

/** Layers whose pictures are kept here; the kernel has the others. */
const KEPT = 6;
const NO_TILES: ReadonlyMap<number, Tile> = new Map();

export class Maximising {
  readonly feature: Asking<"features", Feature>;
  readonly exciting: Asking<"top_inputs", Excitement>;
  readonly maps: Asking<"activations", Maps>;
  /** What is said of it in Python besides layer and channel. */
  readonly settings: ReadonlySignal<Readonly<Record<string, number | readonly number[]>>>;
  /** Of the chosen layer. */
  readonly tiles: ReadonlySignal<ReadonlyMap<number, Tile>>;
  /** The pictures of all channels are wanted, of whatever layer is chosen. */
  readonly all: Signal<boolean> = signal(false);
  readonly filling: ReadonlySignal<boolean>;
  readonly pageProblem: ReadonlySignal<Problem | null>;
  /** Whose channels the page shows. */
  readonly side = signal<Beside>("model");
  /** Outputs of the chosen layer. */
  readonly channels: ReadonlySignal<number>;
  /** What is drawn of each answer is what is chosen, of the weights of now. */
  readonly current: Record<"feature" | "exciting" | "maps", ReadonlySignal<boolean>>;

  readonly #traits: Signals<Traits>;
  readonly #kernel: Signals<KernelTraits>;
  readonly #lost: ReadonlySignal<string>;
  readonly #page: Asking<"feature_page", true>;
  readonly #pages = signal<ReadonlyMap<string, ReadonlyMap<number, Tile>>>(new Map());
  readonly #how: ReadonlySignal<FeatureAsked>;
  readonly #pageName: ReadonlySignal<string>;
  #stopping = false;
  /** The weights that all channels were asked to be drawn of. */
  #revision = -1;

  constructor(
    client: Client,
    traits: Signals<Traits>,
    kernel: Signals<KernelTraits>,
    lost: ReadonlySignal<string>,
  ) {
    this.#traits = traits;
    this.#kernel = kernel;
    this.#lost = lost;
    this.feature = new Asking(client, "features", readFeature);
    this.exciting = new Asking(client, "top_inputs", readExcitement);
    this.maps = new Asking(client, "activations", readMaps);
    this.#page = new Asking(client, "feature_page", (header, arrays) => {
      if (arrays.pictures) this.#keep(header, arrays);
      return true;
    });
    const { layer, feature_steps, feature_seed, feature_size } = traits;
    this.#how = computed(() => ({
      layer: layer.value,
      steps: feature_steps.value ?? 0,
      seed: feature_seed.value,
      size: feature_size.value ?? 0,
    }));
    this.settings = computed(() => {
      const [steps, seed, size] = [feature_steps.value, feature_seed.value, feature_size.value];
      return {
        ...(steps !== null && { steps }),
        ...(seed !== 0 && { seed }),
        ...(size !== null && { size }),
        ...(traits.mean.value && { mean: traits.mean.value }),
        ...(traits.std.value && { std: traits.std.value }),
      };
    });
    this.channels = computed(() => {
      const found = kernel._structure.value.layers.find(({ key }) => key === layer.value);
      return found?.shape[0] ?? 0;
    });
    this.#pageName = computed(() => pageName(this.#pageAsked(0), kernel.revision.value));
    this.tiles = computed(() => this.#pages.value.get(this.#pageName.value) ?? NO_TILES);
    this.filling = this.#page.running;
    this.pageProblem = computed(() => (this.all.value ? this.#page.problem.value : null));
    const current = <V extends { revision: number }>(
      value: Signal<V | null>,
      wanted: () => object | null,
    ) =>
      computed(() => {
        const found = value.value;
        const params = wanted();
        if (!found || !params) return false;
        if (!same(found, params)) return false;
        return kernel._structure.value.offline || found.revision === kernel.revision.value;
      });
    this.current = {
      feature: current(this.feature.value, () => this.#wanted()),
      exciting: current(this.exciting.value, () => this.#sought()),
      maps: current(this.maps.value, () => this.#mapped()),
    };
  }

  /** The tile of a channel: from the page, or from what was synthesised for it alone. */
  tile(channel: number): Tile | undefined {
    const known = this.tiles.value.get(channel);
    if (known) return known;
    const feature = this.feature.value.value;
    if (feature?.channel !== channel || !this.current.feature.value) return undefined;
    const side = feature.sides.find(({ side }) => side === this.side.value);
    if (!side?.picture.length) return undefined;
    return { ...side, value: side.value ?? Number.NaN };
  }

  /** Synthesises, goes on, or does it again where the weights have changed. */
  synthesise(): void {
    const params = this.#wanted();
    if (params) void this.feature.ask(params);
  }

  /** Looks through the inputs for those that excite the channel most. */
  search(): void {
    const params = this.#sought();
    if (params) void this.exciting.ask(params);
  }

  /** Draws all channels of the layer, and from now on of each layer that is chosen. */
  drawAll(): void {
    this.#stopping = false;
    this.#revision = this.#kernel.revision.peek();
    this.all.value = true;
    void this.#fill();
  }

  /** Stops what this view has under way. */
  stop(): void {
    this.feature.stop();
    this.exciting.stop();
    this.stopPage();
  }

  stopPage(): void {
    this.#stopping = true;
    this.all.value = false;
    this.#page.stop();
  }

  /** Asks for what is chosen while the view is open. */
  follow(): () => void {
    const stops = [
      effect(() => this.#ask(this.feature, this.#wanted())),
      effect(() => this.#ask(this.exciting, this.#sought())),
      effect(() => this.#ask(this.maps, this.#mapped())),
      effect(() => {
        const name = this.#pageName.value;
        // of weights that have been read again nothing is drawn unasked
        const asked = this.all.value && this.#revision === this.#kernel.revision.value;
        if (name && this.#open() && (asked || this.#offline())) untracked(() => void this.#fill());
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  #offline = () => this.#kernel._structure.value.offline;
  #open = () => this.#traits.view.value === "features" && this.#lost.value === "";

  /** Asks where it was not asked before; reading the weights again asks nothing anew. */
  #ask<K extends "features" | "top_inputs" | "activations">(
    asking: Asking<K, unknown & object>,
    params: Params[K] | null,
  ): void {
    if (!params || !this.#open()) return;
    if (asking.asked.value !== nameOf(params)) untracked(() => void asking.ask(params));
  }

  #wanted(): Params["features"] | null {
    const channel = this.#traits.channel.value;
    if (channel === null) return null;
    return { ...this.#how.value, channel };
  }

  #sought(): Params["top_inputs"] | null {
    const channel = this.#traits.channel.value;
    if (channel === null || !this.#kernel._structure.value.features.searches) return null;
    return { layer: this.#traits.layer.value, channel };
  }

  #mapped(): Params["activations"] | null {
    const sought = this.#sought();
    return sought && { ...sought, input: this.#traits.input_index.value };
  }

  #pageAsked = (start: number): Params["feature_page"] => ({
    ...this.#how.value,
    side: this.side.value,
    start,
  });

  /** One page after the other, from the first that is not there, until all are or it is stopped. */
  async #fill(): Promise<void> {
    const name = this.#pageName.peek();
    const channels = this.channels.peek();
    let start = 0;
    while (start < channels && !this.#stopping && name === this.#pageName.peek()) {
      const header = await this.#page.ask(this.#pageAsked(start));
      // of a saved page not all may have been drawn
      if (!header && !this.#offline()) return;
      start += this.#kernel._structure.peek().features.page;
    }
  }

  #keep(header: Headers["feature_page"], arrays: Arrays["feature_page"]): void {
    const { at, extent, fires } = header;
    const size = extent[0] * extent[1] * extent[2];
    const name = pageName(header, header.revision);
    const tiles = new Map(this.#pages.peek().get(name));
    arrays.values.forEach((value, index) => {
      const picture = arrays.pictures.subarray(index * size, (index + 1) * size);
      tiles.set(at[index] as number, { picture, extent, value, fires: fires[index] ?? null });
    });
    const pages = new Map(this.#pages.peek());
    pages.delete(name);
    pages.set(name, tiles);
    for (const oldest of pages.keys()) {
      if (pages.size <= KEPT) break;
      pages.delete(oldest);
    }
    this.#pages.value = pages;
  }
}

const pageName = (
  { layer, steps, seed, size, side }: Omit<Params["feature_page"], "start">,
  revision: number,
): string => nameOf([layer, steps, seed, size, side, revision]);

const same = (found: object, wanted: object): boolean =>
  Object.entries(wanted).every(([key, value]) => (found as Record<string, unknown>)[key] === value);

/** What a message brings of one side, or nothing yet. */
function part<T>(arrays: object, side: Beside, key: string, none: T): T {
  return ((arrays as Record<string, unknown>)[`${side}_${key}`] as T | undefined) ?? none;
}

const NO_BYTES = new Uint8Array(0);
const NO_FLOATS = new Float32Array(0);

function readFeature(header: Headers["features"], arrays: Arrays["features"]): Feature | null {
  // the first message only says that the kernel has heard
  if (!header.sides) return null;
  const sides = header.sides.map((shown) => ({
    ...shown,
    picture: part(arrays, shown.side, "picture", NO_BYTES),
    curve: part(arrays, shown.side, "curve", NO_FLOATS),
  }));
  return { ...header, sides };
}

function readExcitement(
  header: Headers["top_inputs"],
  arrays: Arrays["top_inputs"],
): Excitement | null {
  if (!header.sides) return null;
  const sides = header.sides.map((shown) => ({
    ...shown,
    pictures: part(arrays, shown.side, "pictures", NO_BYTES),
  }));
  return { ...header, sides };
}

function readMaps(header: Headers["activations"], arrays: Arrays["activations"]): Maps | null {
  if (!header.sides) return null;
  const sides = header.sides.map((shown) => {
    const map = part(arrays, shown.side, "map", NO_FLOATS);
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const value of map) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low > high ? { ...shown, map, low: 0, high: 0 } : { ...shown, map, low, high };
  });
  return { ...header, picture: arrays.picture, sides };
}
