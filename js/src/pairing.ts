// The reference beside the model: which layer is which, and for each what is measured and loaded. The
// model's part comes first; nothing is asked for without a reference.
import { batch, computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import { LayerCache, type Loaded, type Problem, toProblem } from "./cache";
import { Cancelled, type Client } from "./client";
import { type Bar, sparsityAxis } from "./draw/bars";
import { toBar } from "./eps";
import type { History } from "./history";
import { type Distribution, type FilterSet, loadDistribution, loadFilters } from "./load";
import { byKey, type Measuring } from "./measuring";
import type { KernelTraits, LayerInfo, Row, Traits } from "./protocol";
import type { Signals } from "./state";
import type { Paired, Partner } from "./wire/reference";

/** What of the store it follows. */
interface Beside {
  layers: ReadonlySignal<readonly LayerInfo[]>;
  live: ReadonlySignal<boolean>;
  lost: ReadonlySignal<string>;
  eps: ReadonlySignal<number>;
  measuring: Measuring;
  history: History;
  distribution: ReadonlySignal<Loaded<Distribution>>;
  filters: ReadonlySignal<Loaded<FilterSet>>;
}

export class Pairing {
  /** Of the reference; "" without one. */
  readonly title: ReadonlySignal<string>;
  /** By key of the model's layer; null until they are matched. */
  readonly partners: ReadonlySignal<ReadonlyMap<string, Partner> | null>;
  /** Layers of the reference that the model has not. */
  readonly alone: ReadonlySignal<readonly string[]>;
  readonly rows: ReadonlySignal<ReadonlyMap<string, Row>>;
  /** In the order of the layers; null where there is nothing to draw. */
  readonly bars: ReadonlySignal<readonly (Bar | null)[]>;
  /** Its largest sparsity, and its largest weight. */
  readonly most: ReadonlySignal<number>;
  readonly largest: ReadonlySignal<number>;
  /** Where the scale of sparsity ends in the rail. */
  readonly sparsityMax: ReadonlySignal<number>;
  /** That of the chosen layer. */
  readonly partner: ReadonlySignal<Partner | undefined>;
  /** Why there is nothing of the reference for the chosen layer, as a sentence; "" where there is. */
  readonly why: ReadonlySignal<string>;
  /** Both layers have filters of the same number and size. */
  readonly alike: ReadonlySignal<boolean>;
  /** Whose filters can be shown, of what is chosen. */
  readonly shown: ReadonlySignal<Paired>;
  readonly distribution: ReadonlySignal<Loaded<Distribution>>;
  readonly filters: ReadonlySignal<Loaded<FilterSet>>;

  readonly #client: Client;
  readonly #traits: Signals<Traits>;
  readonly #kernel: Signals<KernelTraits>;
  readonly #store: Beside;
  readonly #report: (problem: Problem) => void;
  readonly #matched = signal<readonly Partner[] | null>(null);
  readonly #alone = signal<readonly string[]>([]);
  readonly #rows = signal<ReadonlyMap<string, Row>>(new Map());
  readonly #caches: { distribution: LayerCache<Distribution>; filters: LayerCache<FilterSet> };

  constructor(
    client: Client,
    traits: Signals<Traits>,
    kernel: Signals<KernelTraits>,
    store: Beside,
    report: (problem: Problem) => void,
  ) {
    this.#client = client;
    this.#traits = traits;
    this.#kernel = kernel;
    this.#store = store;
    this.#report = report;
    // what was saved with the widget
    const { pairs = null, alone = [], rows = [] } = kernel._paired.peek() ?? {};
    this.#matched.value = pairs;
    this.#alone.value = alone;
    this.#rows.value = byKey(rows);

    const { layers } = store;
    this.title = computed(() => kernel._structure.value.reference?.title ?? "");
    this.partners = computed(() => {
      const found = this.#matched.value;
      return found && new Map(found.map((partner) => [partner.layer, partner]));
    });
    this.alone = this.#alone;
    this.rows = this.#rows;
    this.bars = computed(() => {
      const grid = kernel._structure.value.eps_grid;
      const [eps, entropy] = [store.history.eps.value, traits.entropy.value];
      return layers.value.map((layer) => {
        const row = this.rows.value.get(layer.key);
        return row && row.reason === null ? toBar(layer, row, eps, entropy, grid) : null;
      });
    });
    this.most = computed(() => Math.max(0, ...this.bars.value.map((bar) => bar?.sparsity ?? 0)));
    this.sparsityMax = computed(() =>
      Math.max(store.measuring.sparsityMax.value, sparsityAxis([], this.most.value).max),
    );
    this.largest = computed(() => {
      let most = 0;
      for (const row of this.rows.value.values()) most = Math.max(most, row.max_abs ?? 0);
      return most;
    });
    this.partner = computed(() => this.partners.value?.get(traits.layer.value));
    this.why = computed(() => {
      if (this.partners.value === null) return "";
      const { partner, title } = this;
      if (!partner.value) return `No counterpart in ${title.value}.`;
      const { reason, reference } = partner.value;
      return reason === null ? "" : `${title.value} has no filters in ${reference}: ${reason}.`;
    });
    this.alike = computed(() => {
      const layer = layers.value.find(({ key }) => key === traits.layer.value);
      return String(layer?.shape) === String(this.partner.value?.shape);
    });
    this.shown = computed(() => {
      const chosen = traits.paired.value;
      if (this.title.value === "" || this.why.value) return "model";
      return chosen === "difference" && !this.alike.value ? "side by side" : chosen;
    });
    this.#caches = {
      distribution: new LayerCache(
        (layer) => loadDistribution(client, layer, "reference_distribution"),
        () => 1024,
        2 ** 20,
      ),
      filters: new LayerCache(
        (layer, show) => loadFilters(client, layer, show, "reference_filters"),
        (set) => set.weights.byteLength,
      ),
    };
    const { distribution, filters } = this.#caches;
    this.distribution = computed(() => distribution.of(traits.layer.value).value);
    this.filters = computed(() => filters.of(traits.layer.value).value);
  }

  /** The difference of a figure to the reference's; null where one of both has none. */
  change(key: string, figure: (row: Row) => number | null): number | null {
    if (this.title.value === "") return null;
    const [mine, theirs] = [this.#store.measuring.rows.value.get(key), this.rows.value.get(key)];
    const [now, before] = [mine && figure(mine), theirs && figure(theirs)];
    return now == null || before == null ? null : now - before;
  }

  /** Says of a layer that it has no counterpart, once that is known. */
  lacks(key: string): boolean {
    return this.partners.value?.has(key) === false;
  }

  /** Asks for what is not there, after what the model shows; gives what ends it. */
  follow(): () => void {
    if (this.title.peek() === "") return () => {};
    const stops = [
      effect(() => {
        this.#kernel.revision.value;
        const { live, measuring } = this.#store;
        // something of the model is drawn
        const begun = !measuring.running.value || measuring.now.value.size > 0;
        if (live.value && begun) untracked(() => this.#match(this.#kernel.revision.peek()));
      }),
      effect(() => {
        this.#store.eps.value;
        this.#kernel.revision.value;
        const { live, measuring } = this.#store;
        if (live.value && !measuring.running.value) untracked(() => this.#measure());
      }),
      effect(() => this.#load()),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  #asked = -1;

  #match(revision: number): void {
    if (this.#asked === revision) return;
    this.#asked = revision;
    this.#client.request("reference_pairs", {}).then(
      ({ header }) =>
        batch(() => {
          this.#matched.value = header.pairs;
          this.#alone.value = header.alone;
        }),
      (error) => this.#fail(error),
    );
  }

  #measure(): void {
    const eps = this.#store.eps.peek();
    this.#client
      .request("reference", { eps }, ({ rows }) => {
        if (rows?.length) this.#rows.value = new Map([...this.#rows.peek(), ...byKey(rows)]);
      })
      .then(
        ({ header }) => {
          this.#rows.value = byKey(header.rows);
        },
        (error) => this.#fail(error),
      );
  }

  /** Asks again for filters that failed. */
  retry(): void {
    this.#caches.filters.retry(this.#traits.layer.value, this.#kernel.revision.value);
  }

  #load(): void {
    const { view, layer } = this.#traits;
    const { distribution, filters, lost } = this.#store;
    const revision = this.#kernel.revision.value;
    if (!this.partner.value || this.why.value || lost.value) return;
    if (view.value === "quality" && distribution.value.value)
      this.#caches.distribution.ask(layer.value, revision);
    const set = view.value === "filters" ? filters.value.value : null;
    if (set && set.loaded === set.out) this.#caches.filters.ask(layer.value, revision);
  }

  #fail(error: unknown): void {
    const problem = toProblem(error);
    if (problem && !(error instanceof Cancelled)) this.#report(problem);
  }
}
