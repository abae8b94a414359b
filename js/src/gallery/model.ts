// What a gallery shows, derived step by step from the store: each step runs again only when what it
// reads has changed, so that a click, another order or a moved slider costs no more than it must.
import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { parse } from "../colormap";
import { type Plot, plotOf } from "../draw/axes";
import { fitZoom, type Limits, limitsOf, type Size } from "../draw/camera";
import { crispZoom } from "../draw/frame";
import type { Scene } from "../draw/gallery";
import { byPosition, inFlow, kernelOf, type Layout, slotsOf } from "../draw/layout";
import { MARKED, tableOf } from "../draw/raster";
import { Overview, Texture } from "../draw/texture";
import {
  type Dead,
  deadOf,
  entropiesOf,
  normsOf,
  orderBy,
  orderByLabel,
  peaksOf,
  type Reach,
  reachOf,
  sparseOf,
  startsOf,
  strongestOf,
} from "../filters";
import type { FilterSet } from "../load";
import type { Store } from "../state";
import { differenceOf, loadedOf } from "./difference";

const FLOW = {
  norm: "largest norm first, row by row",
  entropy: "lowest entropy first, row by row",
  cluster: "clusters of alike filters, row by row",
} as const;

const NOTHING: FilterSet = {
  layer: "",
  out: 0,
  outputs: 0,
  inputs: 0,
  kernel: [],
  taps: 1,
  loaded: 0,
  weights: new Float32Array(0),
  maxAbs: 0,
  eigenimages: new Float32Array(0),
  explained: new Float32Array(0),
  mean: new Float32Array(0),
};

/** Who is drawn beside a model, or in its place. */
export interface Follower {
  readonly lead: GalleryModel;
  readonly of: "reference" | "difference";
  /** Its filters are as many and as large: they lie as the lead's do, and are chosen together. */
  readonly alike: boolean;
}

export class GalleryModel {
  /** CSS pixels of the canvas, and device pixels of one. */
  readonly size = signal<Size>({ width: 0, height: 0 });
  readonly dpr = signal(1);
  /** Its own gallery is on the page, and not only those of its followers. */
  drawn = false;
  /** Filter pointed at, and the one that stays in the card. */
  readonly hover: Signal<number | null>;
  readonly pinned: Signal<number | null>;
  /** What it is, by which it differs from the model's own gallery. */
  readonly follower: Follower | null;

  /** The layer's filters; while the next layer is on its way those of the last. */
  readonly set: ReadonlySignal<FilterSet>;
  /** What is drawn is what is chosen. */
  readonly current: ReadonlySignal<boolean>;
  /** The weights that have come. */
  readonly weights: ReadonlySignal<Float32Array>;
  readonly peaks: ReadonlySignal<ReturnType<typeof peaksOf>>;
  readonly sparse: ReadonlySignal<ReturnType<typeof sparseOf>>;
  /** null while pages are on their way. */
  readonly dead: ReadonlySignal<Dead | null>;
  /** null where each filter has a range of its own. */
  readonly reach: ReadonlySignal<Reach | null>;
  readonly scene: ReadonlySignal<Scene | null>;
  readonly limits: ReadonlySignal<Limits>;
  /** CSS pixels that the gallery can use across: a square at least, more for wide ones. */
  readonly useful: ReadonlySignal<number>;
  /** Marks can be seen while all of the layer is. */
  readonly outlined: ReadonlySignal<boolean>;
  readonly strongest: ReadonlySignal<number>;
  /** The filter of the card: pointed at, else pinned, else the one with the largest weight. */
  readonly shown: ReadonlySignal<number>;

  /** |w| of the last colour of each filter, where each has its own. */
  readonly ranges: ReadonlySignal<Float32Array>;
  /** Largest |weight| of what shares these colours. */
  readonly largest: ReadonlySignal<number>;

  readonly #labels: ReadonlySignal<Uint8Array | null>;
  readonly #sorted: ReadonlySignal<{ sort: keyof typeof FLOW; order: Uint32Array } | null>;
  readonly #plot: ReadonlySignal<Plot>;
  readonly #layout: ReadonlySignal<Layout>;

  constructor(store: Store, follower: Follower | null = null) {
    const { traits, pairing } = store;
    this.follower = follower;
    const lead = follower?.lead;
    const like = follower?.alike ? lead : undefined;
    this.hover = like?.hover ?? signal(null);
    this.pinned = like?.pinned ?? signal(null);
    /** The reference's filters of the layer that is drawn. */
    const theirs = computed(() => {
      const { value } = pairing.filters.value;
      return value?.layer === (lead ?? this).set.value.layer ? value : null;
    });
    let last = NOTHING;
    this.set = computed(() => {
      if (follower?.of === "reference") return theirs.value ?? NOTHING;
      if (lead) return (theirs.value && differenceOf(lead.set.value, theirs.value)) || NOTHING;
      last = store.filters.value.value ?? last;
      return last;
    });
    this.current = computed(() => this.set.value.layer === traits.layer.value);
    this.weights = computed(() => loadedOf(this.set.value));
    this.peaks = computed(() => peaksOf(this.weights.value, this.set.value.taps));
    this.sparse = computed(() =>
      // of a difference small is good: nothing to mark
      follower?.of === "difference"
        ? { mask: new Uint8Array(this.peaks.value.peaks.length), count: 0 }
        : sparseOf(this.peaks.value, this.set.value.maxAbs, traits.eps.value),
    );
    const groups = computed(
      () => store.layers.value.find(({ key }) => key === this.set.value.layer)?.groups ?? 1,
    );
    const complete = computed(() => this.set.value.loaded === this.set.value.out);
    this.dead = computed(() => {
      if (!complete.value || this.set.value.out === 0) return null;
      const dead = deadOf(this.sparse.value.mask, this.set.value.inputs);
      // in a grouped layer a column is another input for each group
      return groups.value === 1 ? dead : { ...dead, inputs: [] };
    });
    this.strongest = computed(() => strongestOf(this.peaks.value));
    this.shown = computed(() => {
      const strongest = (like ?? this).strongest.value;
      const shown = this.hover.value ?? this.pinned.value ?? strongest;
      return shown < this.peaks.value.peaks.length ? shown : this.strongest.value;
    });

    // the colours of both mean the same; a difference has colours of its own
    const partner = lead ? computed(() => null) : theirs;
    const ownReach = computed(() => reachOf(this.weights.value, this.set.value.maxAbs));
    const theirReach = computed(
      () => partner.value && reachOf(loadedOf(partner.value), partner.value.maxAbs),
    );
    const theirPeaks = computed(
      () => partner.value && peaksOf(loadedOf(partner.value), taps()).peaks,
    );
    const taps = () => this.set.value.taps;
    this.largest =
      follower?.of === "reference"
        ? follower.lead.largest
        : computed(() => Math.max(this.set.value.maxAbs, partner.value?.maxAbs ?? 0));
    const modelReach = computed(() =>
      Math.max(store.measuring.modelMax.value, pairing.largest.value, (lead ?? this).largest.value),
    );
    this.reach =
      follower?.of === "reference"
        ? follower.lead.reach
        : computed(() => {
            if (traits.scale.value === "filter") return null;
            if (traits.scale.value === "model") return { range: modelReach.value, beyond: 0 };
            const other = theirReach.value;
            return other && other.range > ownReach.value.range ? other : ownReach.value;
          });
    this.ranges =
      follower?.of === "reference" && like
        ? like.ranges
        : computed(() => {
            const { peaks } = this.peaks.value;
            const others = theirPeaks.value;
            if (others?.length !== peaks.length) return peaks;
            return peaks.map((peak, filter) => Math.max(peak, others[filter] as number));
          });
    const kernel = computed(() => kernelOf(this.set.value.kernel));
    const texture = computed(
      () =>
        new Texture(this.weights.value, kernel.value, this.reach.value?.range ?? this.ranges.value),
    );

    const norms = computed(() => normsOf(this.weights.value, kernel.value.taps));
    const entropies = computed(() => entropiesOf(this.weights.value, kernel.value.taps));
    const labels = computed(() => {
      const wanted = this.current.value && traits.sort.value === "cluster";
      const found = wanted ? store.clusters.value.value : null;
      return found?.length === this.set.value.out * this.set.value.inputs ? found : null;
    });
    this.#labels = labels;
    const own = computed(() => {
      const sort = traits.sort.value;
      // by position until all is there to be sorted
      if (sort === "position" || !complete.value) return null;
      if (sort === "norm") return { sort, order: orderBy(norms.value, true) };
      if (sort === "entropy") {
        return kernel.value.taps > 1 ? { sort, order: orderBy(entropies.value, false) } : null;
      }
      return labels.value ? { sort, order: orderByLabel(labels.value) } : null;
    });

    // the order of the model's filters is that of both
    const sorted = like ? like.#sorted : own;
    this.#sorted = sorted;
    const plot = computed(() =>
      plotOf(
        { outs: this.set.value.out, outsPerRow: sorted.value ? 0 : 1 },
        this.size.value,
        this.dpr.value,
      ),
    );
    this.#plot = like ? like.#plot : plot;
    const place = computed(() => {
      const { out, inputs, loaded } = this.set.value;
      const make = sorted.value ? inFlow : byPosition;
      const aspect = plot.value.width / plot.value.height;
      return { ...make(kernel.value, out, inputs, aspect), count: loaded * inputs };
    });
    const layout = like
      ? computed(() => {
          const { inputs, loaded } = this.set.value;
          return { ...like.#layout.value, count: loaded * inputs };
        })
      : place;
    this.#layout = layout;
    const limits = computed(() => {
      const screen = { width: plot.value.width, height: plot.value.height };
      const fit = fitZoom(layout.value, screen);
      return limitsOf(layout.value, screen, crispZoom(layout.value, fit, this.dpr.value));
    });
    this.limits = like ? like.limits : limits;
    this.useful = computed(() => {
      const { out, inputs } = this.set.value;
      const { left, height } = this.#plot.value;
      const square = byPosition(kernel.value, out, inputs, 1);
      const adapts = sorted.value || kernel.value.taps === 1 || square.outsPerRow > 1;
      if (adapts) return Math.ceil(height * 1.6);
      return Math.ceil(left + height * Math.max(1, square.width / square.height)) + 30;
    });
    this.outlined = computed(() => {
      const { cellWidth, cellHeight } = layout.value;
      return Math.min(cellWidth, cellHeight) * this.limits.value.least >= MARKED;
    });
    const overview = computed(() => {
      const { cols, rows, count } = layout.value;
      return new Overview(texture.value, cols, rows, count, sorted.value?.order ?? null);
    });
    const slots = computed(() => (sorted.value ? slotsOf(sorted.value.order) : null));
    const table = computed(() => {
      const ground = store.colors.value?.bg ?? "#fff";
      const context = document.createElement("canvas").getContext("2d");
      return tableOf(store.theme.value === "dark", context ? parse(ground, context) : 0xffffffff);
    });
    this.scene = computed(() => {
      const colors = store.colors.value;
      if (!colors || this.set.value.out === 0) return null;
      return {
        layout: layout.value,
        material: {
          texture: texture.value,
          overview: overview.value,
          order: sorted.value?.order ?? null,
          table: table.value,
        },
        slots: slots.value,
        weights: this.weights.value,
        sparse: this.sparse.value.count > 0 ? this.sparse.value.mask : null,
        mostlySparse: this.sparse.value.count > this.sparse.value.mask.length / 2,
        bad: this.peaks.value.badCount > 0 ? this.peaks.value.bad : null,
        dead: follower?.of === "difference" ? null : this.dead.value,
        flow: sorted.value ? FLOW[sorted.value.sort] : "",
        starts: labels.value && slots.value ? startsOf(labels.value) : [],
        colors,
      };
    });
  }

  /** The cluster of a filter, from 1; null while none are shown. */
  clusterOf(filter: number): number | null {
    const like = this.follower?.alike ? this.follower.lead : this;
    const label = like.#labels.value?.[filter];
    return label === undefined ? null : label + 1;
  }

  /** Choose a filter and its output; choosing it again lets go of both. */
  pin(store: Store, filter: number, toggle: boolean): void {
    const { inputs } = this.set.value;
    const release = toggle && this.pinned.value === filter;
    batch(() => {
      this.pinned.value = release ? null : filter;
      // an output of a layer of another shape is none of the model's
      if (this.follower && !this.follower.alike) return;
      store.set("channel", release ? null : Math.floor(filter / inputs));
    });
  }
}
