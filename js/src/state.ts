// The store: one for each view of the widget. Signals over the traits, what the kernel measured, and
// what was loaded for the chosen layer. Views read signals and call the few verbs; they never see a
// message, and nothing here outlives `dispose()`.
import { batch, computed, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { LayerCache, type Loaded, type Problem, toProblem } from "./cache";
import { Client } from "./client";
import { Comparing } from "./comparing";
import { Compressing } from "./compressing";
import type { Colors } from "./draw/colors";
import type { Picture } from "./draw/picture";
import { Drifting } from "./drifting";
import { Explaining } from "./explaining";
import { History } from "./history";
import { Inputs } from "./inputs";
import {
  type Distribution,
  type FilterSet,
  loadClusters,
  loadDistribution,
  loadFilters,
  shownOutputs,
} from "./load";
import { Maximising } from "./maximising";
import { Measuring } from "./measuring";
import { Pairing } from "./pairing";
import type { KernelTraits, LayerInfo, Traits } from "./protocol";
import type { Theme } from "./theme";
import type { Transport, WidgetModel } from "./transport";

export type Signals<T> = { readonly [K in keyof T]: ReadonlySignal<T[K]> };

const USER = [
  "layer",
  "channel",
  "view",
  "eps",
  "sort",
  "scale",
  "entropy",
  "paired",
  "measure",
  "measure_settings",
  "comparison",
  "layer_set",
  "reference_layer",
  "fit",
  "input_index",
  "target",
  "method",
  "methods",
  "method_settings",
  "baseline",
  "mean",
  "std",
  "feature_steps",
  "feature_seed",
  "feature_size",
  "drift_against",
  "drift_group",
  "compression_by",
  "compression_after",
  "step",
] as const;
const KERNEL = [
  "stale",
  "closed",
  "revision",
  "_structure",
  "_summary",
  "_paired",
  "_taken",
  "_past",
] as const;

/** Longest that Python waits for a click on a layer: what travels beside its answer makes that later. */
const SAVED_MS = 150;
/** Of a frame and what follows it. */
const PAINTED_MS = 30;

export class Store {
  readonly client: Client;

  /** The synced traits: `store.traits.sort.value`. Written with `set`, `preview` and `select`. */
  readonly traits: Signals<Traits>;
  /** What the kernel says: `stale`, `closed`, `revision`, `_structure`, `_summary`. Read only. */
  readonly kernel: Signals<KernelTraits>;

  /** Every layer, in call order. */
  readonly layers: ReadonlySignal<readonly LayerInfo[]>;
  /** The chosen layer; undefined only in a model without layers. */
  readonly layer: ReadonlySignal<LayerInfo | undefined>;
  /** Moments of training, and the one that is looked at. */
  readonly history: History;
  /** What is measured of each layer: bars and rows. */
  readonly measuring: Measuring;

  /** Histograms of the chosen layer; loaded while the Quality view is shown. */
  readonly distribution: ReadonlySignal<Loaded<Distribution>>;
  /** Weights of the chosen layer; loaded while the Filters view is shown, page by page. */
  readonly filters: ReadonlySignal<Loaded<FilterSet>>;
  /** Cluster of each filter of the chosen layer; loaded while the Filters view sorts by cluster. */
  readonly clusters: ReadonlySignal<Loaded<Uint8Array>>;
  /** The reference's layers beside the model's. */
  readonly pairing: Pairing;
  /** What the Similarity view shows: runs when asked to. */
  readonly comparing: Comparing;
  /** What the Compression view shows: measured when asked to. */
  readonly compressing: Compressing;
  /** What the Drift view shows. */
  readonly drifting: Drifting;
  /** The inputs, as the strip shows them. */
  readonly inputs: Inputs;
  /** What the Saliency view shows. */
  readonly explaining: Explaining;
  /** What the Features view shows. */
  readonly maximising: Maximising;

  /** False when a click cannot reach Python: the kernel is gone, the Lens closed, the page offline. */
  readonly live: ReadonlySignal<boolean>;
  /** Why the kernel cannot be asked any more, as a sentence; "" while it can. */
  readonly lost: ReadonlySignal<string>;
  readonly theme: Signal<Theme>;
  /** The theme's colours for canvases; null until the root is on the page. */
  readonly colors = signal<Colors | null>(null);
  /** Below 700 px: the rail is a drop-down. */
  readonly narrow = signal(false);
  /** A failed request that is not shown in its own place; dismissed by setting null. */
  readonly problem = signal<Problem | null>(null);
  /** What "PNG" saves: the view sets a function while it is mounted, and null when it goes. */
  readonly picture = signal<(() => Picture) | null>(null);
  /** One line that is shown and read out for a moment ("Copied"). */
  readonly toast: ReadonlySignal<string>;

  readonly #model: WidgetModel;
  readonly #toast = signal("");
  #toastTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #committedEps: Signal<number>;
  /** What the view shows of the chosen layer is on its way, and nothing of it is there. */
  readonly #awaited: ReadonlySignal<boolean>;
  #saving: ReturnType<typeof setTimeout> | undefined;
  readonly #caches: {
    distribution: LayerCache<Distribution>;
    filters: LayerCache<FilterSet>;
    clusters: LayerCache<Uint8Array>;
  };
  readonly #stops: (() => void)[] = [];

  constructor(model: WidgetModel, transport: Transport, theme: Signal<Theme>) {
    this.#model = model;
    this.theme = theme;
    this.client = new Client(transport, (error) => this.#report(error));
    this.traits = this.#follow(USER) as unknown as Signals<Traits>;
    this.kernel = this.#follow(KERNEL) as unknown as Signals<KernelTraits>;
    this.#committedEps = signal(this.traits.eps.value);
    this.#on("change:eps", () => {
      this.#committedEps.value = model.get("eps") as number;
    });

    this.layers = computed(() => this.kernel._structure.value.layers);
    this.layer = computed(() =>
      this.layers.value.find((layer) => layer.key === this.traits.layer.value),
    );
    this.toast = this.#toast;
    this.lost = computed(() => {
      if (this.kernel.closed.value) return "this Lens was closed in Python.";
      return this.client.gone.value ? "the kernel is gone." : "";
    });
    this.live = computed(() => !this.kernel._structure.value.offline && this.lost.value === "");
    this.history = new History(this.client, this.traits, this.kernel, this.lost);
    this.measuring = new Measuring(
      this.client,
      this.traits,
      this.kernel,
      this.layers,
      this.live,
      this.#committedEps,
      this.history,
      (problem) => {
        this.problem.value = problem;
      },
    );

    const client = this.client;
    const megabytes = 2 ** 20;
    this.#caches = {
      distribution: new LayerCache(
        (layer) => loadDistribution(client, layer),
        () => 1024,
        megabytes,
      ),
      filters: new LayerCache(
        (layer, show) =>
          loadFilters(client, layer, show, "filters", () => this.traits.layer.peek() === layer),
        (set) => set.weights.byteLength,
      ),
      clusters: new LayerCache(
        (layer) => loadClusters(client, layer, ...this.#sides(layer)),
        (labels) => labels.byteLength,
        32 * megabytes,
      ),
    };
    const { distribution, filters, clusters } = this.#caches;
    this.distribution = computed(() => distribution.of(this.traits.layer.value).value);
    this.filters = computed(() => filters.of(this.traits.layer.value).value);
    this.clusters = computed(() => clusters.of(this.traits.layer.value).value);
    this.#awaited = computed(() => {
      const shown = { quality: this.distribution, filters: this.filters } as const;
      const found = shown[this.traits.view.value as keyof typeof shown]?.value;
      return found?.pending === true && found.value === null;
    });
    const report = (problem: Problem) => {
      this.problem.value = problem;
    };
    const beside = { ...this, eps: this.#committedEps };
    this.pairing = new Pairing(client, this.traits, this.kernel, beside, report);
    const choose = (change: Partial<Traits>) => this.change(change);
    this.comparing = new Comparing(client, this.traits, this.kernel, this.lost, choose);
    this.compressing = new Compressing(client, this.traits, this.kernel, this.lost);
    this.drifting = new Drifting(client, this.traits, this.kernel, this.lost, this.layer);
    this.inputs = new Inputs(client, this.traits, this.kernel, this.lost);
    this.explaining = new Explaining(client, this.traits, this.kernel, this.lost, choose);
    this.maximising = new Maximising(client, this.traits, this.kernel, this.lost);
  }

  /** Asks the kernel for what is shown, and for what will be: call when the view is on the page. */
  start(): void {
    // First, so that the kernel can answer the rest while a cell runs.
    if (this.live.value) {
      this.client.request("hello", {}).catch((error) => this.#report(error));
      // Once more when JupyterLab has surely given this widget its own way into the kernel: from then
      // on the kernel answers through it, also while a cell runs.
      const again = setTimeout(() => this.client.request("hello", {}).catch(() => {}), 1000);
      this.#stops.push(() => clearTimeout(again));
    }
    this.#stops.push(
      this.measuring.follow(),
      this.history.follow(),
      this.pairing.follow(),
      effect(() => this.#load()),
      effect(() => {
        const painted = () => setTimeout(() => this.#saving && this.#save(), PAINTED_MS);
        if (!this.#awaited.value) requestAnimationFrame(painted);
      }),
      this.comparing.follow(),
      this.drifting.follow(),
      this.compressing.follow(),
      this.inputs.follow(),
      this.explaining.follow(),
      this.maximising.follow(),
    );
  }

  /** Sets a trait here at once and in Python. */
  set<K extends keyof Traits>(name: K, value: Traits[K]): void {
    this.change({ [name]: value });
  }

  /** Sets several traits at once. */
  change(change: Partial<Traits>): void {
    batch(() => {
      for (const [name, value] of Object.entries(change)) {
        (this.traits[name as keyof Traits] as Signal<unknown>).value = value;
        if (name === "eps") this.#committedEps.value = value as number;
        this.#model.set(name, value);
      }
    });
    if (!("layer" in change && this.#awaited.peek())) this.#save();
    else this.#saving ??= setTimeout(() => this.#save(), SAVED_MS);
  }

  /** Shows a value while a slider is dragged, without telling Python. */
  preview<K extends keyof Traits>(name: K, value: Traits[K]): void {
    (this.traits[name] as Signal<Traits[K]>).value = value;
  }

  /** Chooses a layer, and where given an output of it and a view. Unknown layers are ignored. */
  select(
    layer: string,
    { view, channel }: { view?: Traits["view"]; channel?: number | null } = {},
  ) {
    if (!this.layers.value.some((known) => known.key === layer)) return;
    const change: Partial<Traits> = {};
    if (layer !== this.traits.layer.value) Object.assign(change, { layer, channel: null });
    if (channel !== undefined) change.channel = channel;
    if (view !== undefined) change.view = view;
    this.change(change);
  }

  /** Has the kernel read the weights again; the new `revision` then makes everything be asked anew. */
  refresh(): void {
    this.client.request("refresh", {}).catch((error) => this.#report(error));
  }

  /** Asks again for what failed or was stopped. */
  retry(what: "quality" | "distribution" | "filters" | "clusters"): void {
    if (what === "quality") this.measuring.measure();
    else this.#caches[what].retry(this.traits.layer.value, this.kernel.revision.value);
  }

  /** Shows one line for a moment, and has it read out. */
  say(line: string): void {
    clearTimeout(this.#toastTimer);
    this.#toast.value = line;
    this.#toastTimer = setTimeout(() => {
      this.#toast.value = "";
    }, 2500);
  }

  dispose(): void {
    clearTimeout(this.#toastTimer);
    if (this.#saving) this.#save();
    for (const stop of this.#stops) stop();
    this.client.close();
  }

  /** Loads what the view shows and is not there; runs again when any of it changes. */
  #load(): void {
    const { view, sort } = this.traits;
    const revision = this.kernel.revision.value;
    const layer = this.layer.value;
    if (!layer || layer.reason !== null || this.lost.value) return;
    const { distribution, filters, clusters } = this.#caches;
    if (view.value === "quality") distribution.ask(layer.key, revision);
    if (view.value === "filters") filters.ask(layer.key, revision);
    if (view.value === "filters" && sort.value === "cluster") clusters.ask(layer.key, revision);
  }

  #sides(key: string): [number, number] {
    const shape = this.layers.peek().find((layer) => layer.key === key)?.shape ?? [];
    const [out = 0, inputs = 1, ...kernel] = shape;
    return [
      shownOutputs(
        out,
        kernel.reduce((product, side) => product * side, inputs),
      ),
      inputs,
    ];
  }

  #report(error: unknown): void {
    const problem = toProblem(error);
    if (problem) this.problem.value = problem;
  }

  #save(): void {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    try {
      this.#model.save_changes();
    } catch {
      // The kernel is gone; the next request finds out and says so. The choice holds here.
    }
  }

  #follow<K extends string>(names: readonly K[]): Record<K, Signal<unknown>> {
    const signals = {} as Record<K, Signal<unknown>>;
    for (const name of names) {
      const trait = signal(this.#model.get(name));
      signals[name] = trait;
      this.#on(`change:${name}`, () => {
        trait.value = this.#model.get(name);
      });
    }
    return signals;
  }

  #on(event: string, callback: () => void): void {
    this.#model.on(event, callback);
    this.#stops.push(() => this.#model.off(event, callback));
  }
}

/** What every view gets. */
export interface ViewProps {
  store: Store;
}
