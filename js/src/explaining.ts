// Attributions as they are computed: one map for each chosen method and model, the chosen method's
// first. What was computed is kept, so that what is chosen again is there at once.
import { batch, computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import { Asking } from "./asking";
import { LayerCache, type Problem, toProblem } from "./cache";
import { Cancelled, type Client, Superseded } from "./client";
import type {
  Headers,
  KernelTraits,
  Parameter,
  Params,
  Setting,
  Settings,
  Traits,
} from "./protocol";
import type { Signals } from "./state";
import type { Beside } from "./wire/features";
import type { Method } from "./wire/saliency";

export type Asked = Params["saliency"];

/** A map over the input: (channels, height, width). */
export interface Attribution extends Omit<Headers["saliency"], "done" | "total"> {
  values: Float32Array;
  bytes: number;
}

/** How far the map that is computed now is. */
export interface Underway {
  key: string;
  done: number;
  total: number | null;
}

export type Picture = Headers["picture"] & {
  image: Float32Array;
  scores: Float32Array | null;
  otherScores: Float32Array | null;
};

const MOST_BYTES = 128 * 2 ** 20;
const MOST_PICTURES = 64;

export class Explaining {
  /** By what they were asked with; the newest last. */
  readonly maps = signal<ReadonlyMap<string, Attribution>>(new Map());
  readonly problems = signal<ReadonlyMap<string, Problem>>(new Map());
  readonly underway = signal<Underway | null>(null);
  /** Stopped by a person: nothing more is computed until asked for. */
  readonly stopped = signal(false);
  /** What is to be shown, the chosen method's first. */
  readonly wanted: ReadonlySignal<readonly Asked[]>;
  /** The chosen input; while it is on its way, the one before. */
  readonly picture = signal<Picture | null>(null);
  readonly pictureProblem = signal<Problem | null>(null);
  /** Of each chosen map with each other; and whether the chosen one speaks of the weights. */
  readonly agreement: Asking<"agreement", Headers["agreement"]>;
  readonly sanity: Asking<"sanity", Headers["sanity"]>;
  /** Why methods cannot be had, by side and name; null while that is not known. */
  readonly refusals: ReadonlySignal<Headers["preflight"] | null>;

  readonly #client: Client;
  readonly #traits: Signals<Traits>;
  readonly #kernel: Signals<KernelTraits>;
  readonly #lost: ReadonlySignal<string>;
  readonly #choose: (change: Partial<Traits>) => void;
  readonly #preflights: LayerCache<Headers["preflight"]>;
  /** Inputs that were looked at, the last ones last. */
  readonly #pictures = new Map<number, Picture>();
  /** The colours that they are in. */
  #scale = "";
  /** The weights that `maps` are of. */
  #revision = -1;

  constructor(
    client: Client,
    traits: Signals<Traits>,
    kernel: Signals<KernelTraits>,
    lost: ReadonlySignal<string>,
    choose: (change: Partial<Traits>) => void,
  ) {
    this.#choose = choose;
    this.#client = client;
    this.#traits = traits;
    this.#kernel = kernel;
    this.#lost = lost;
    this.agreement = new Asking(client, "agreement", (header) => (header.pairs ? header : null));
    this.sanity = new Asking(client, "sanity", (header) => (header.layers ? header : null));
    this.#preflights = new LayerCache(
      async (layer) => (await client.request("preflight", { layer })).header,
      () => 4096,
      2 ** 20,
    );
    this.refusals = computed(() => this.#preflights.of(traits.layer.value).value.value);
    this.wanted = computed(() => {
      const { method, methods } = traits;
      const sides = this.sides.value;
      const names = [method.value, ...methods.value.filter((name) => name !== method.value)];
      return names.flatMap((name) => sides.map((side) => this.asked(name, side)));
    });
  }

  readonly sides: ReadonlySignal<readonly Beside[]> = computed(() =>
    this.#kernel._structure.value.reference ? ["model", "reference"] : ["model"],
  );

  get methods(): readonly Method[] {
    return this.#kernel._structure.value.saliency?.methods ?? [];
  }

  declared(name: string): Method | undefined {
    return this.methods.find((method) => method.name === name);
  }

  /** Why a method cannot be had of a model, or null. */
  refusal(method: string, side: Beside = "model"): string | null {
    return this.refusals.value?.[side]?.[method] ?? null;
  }

  /** What the kernel is asked for a map with: of what does not matter, nothing. */
  asked(name: string, side: Beside): Asked {
    const { input_index, target, layer, channel } = this.#traits;
    const method = this.declared(name);
    const ofChannel = target.value === "channel" && channel.value !== null;
    return {
      input: input_index.value,
      target: String(
        ofChannel ? "channel" : target.value === "channel" ? "predicted" : target.value,
      ),
      method: name,
      layer: method?.takes_layer || ofChannel ? layer.value : "",
      channel: ofChannel ? (channel.value as number) : -1,
      side,
      baseline: method?.takes_baseline ? this.#traits.baseline.value : "",
      settings: JSON.stringify(this.settings(name)),
    };
  }

  map(asked: Asked): Attribution | undefined {
    return this.maps.value.get(keyOf(asked));
  }

  problem(asked: Asked): Problem | undefined {
    return this.problems.value.get(keyOf(asked));
  }

  /** What differs from the method's defaults. */
  settings(method: string): Settings {
    return this.#traits.method_settings.value[method] ?? {};
  }

  value(method: string, parameter: Parameter): Setting {
    return this.settings(method)[parameter.name] ?? parameter.default;
  }

  set(method: string, name: string, value: Setting): void {
    const declared = this.declared(method);
    if (!declared) return;
    const known: Settings = { ...this.settings(method), [name]: value };
    const changed = declared.parameters.flatMap(({ name: each, default: usual }) => {
      const chosen = known[each];
      return chosen === undefined || chosen === usual ? [] : [[each, chosen] as const];
    });
    changed.sort(([a], [b]) => (a < b ? -1 : 1));
    const { [method]: _, ...others } = this.#traits.method_settings.peek();
    const own = changed.length ? { [method]: Object.fromEntries(changed) } : {};
    this.#choose({ method_settings: { ...others, ...own } });
  }

  /** Shows these methods, and looks at one of them. */
  use(method: string, methods: readonly string[]): void {
    this.#choose({ method, methods: [...methods] });
  }

  /** Goes on with what was stopped, and asks again for what failed. */
  go(): void {
    batch(() => {
      this.stopped.value = false;
      this.problems.value = new Map();
    });
    this.#next();
  }

  stop(): void {
    this.stopped.value = true;
    this.#client.stop("saliency");
  }

  /** Asks for what is chosen while the view is open. */
  follow(): () => void {
    const { view, layer } = this.#traits;
    const { revision, _structure } = this.#kernel;
    const open = computed(
      () => view.value === "saliency" && _structure.value.saliency !== null && !this.#lost.value,
    );
    const stops = [
      effect(() => {
        if (open.value) this.#preflights.ask(layer.value, revision.value);
      }),
      effect(() => {
        const index = this.#traits.input_index.value;
        const scale = JSON.stringify([this.#traits.mean.value, this.#traits.std.value]);
        if (scale !== this.#scale) this.#pictures.clear();
        this.#scale = scale;
        const known = this.#pictures.get(index);
        if (known && (this.#lost.value || known.revision === revision.value)) {
          this.picture.value = known;
        } else if (open.value) untracked(() => void this.#look(index));
      }),
      effect(() => {
        this.wanted.value;
        const now = _structure.value.offline ? 0 : revision.value;
        if (!open.value) return;
        untracked(() => {
          if (now !== this.#revision) {
            this.#revision = now;
            this.maps.value = new Map();
          }
          // what is chosen anew is asked for, whatever was stopped or failed before
          this.stopped.value = false;
          this.problems.value = new Map();
          this.#next();
        });
      }),
      effect(() => {
        const done = this.wanted.value.filter((asked) => this.map(asked));
        const whole = done.length === this.wanted.value.length || this.underway.value === null;
        if (open.value && whole && done.length > 1) untracked(() => this.#compare(done));
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** Whether an input can be looked at: any while there is a kernel, then those that were. */
  reaches(index: number): boolean {
    return !this.#lost.value || this.#pictures.has(index);
  }

  /** Says whether the map changes when the weights are random. */
  check(asked: Asked): void {
    void this.sanity.ask(asked);
  }

  async #look(index: number): Promise<void> {
    try {
      const { header, arrays } = await this.#client.request("picture", { index });
      batch(() => {
        this.pictureProblem.value = null;
        const found = {
          ...header,
          image: arrays.image,
          scores: arrays.scores ?? null,
          otherScores: arrays.reference_scores ?? null,
        };
        this.#pictures.set(index, found);
        for (const oldest of this.#pictures.keys()) {
          if (this.#pictures.size <= MOST_PICTURES) break;
          this.#pictures.delete(oldest);
        }
        if (index === this.#traits.input_index.peek()) this.picture.value = found;
      });
    } catch (error) {
      if (!(error instanceof Superseded)) this.pictureProblem.value = toProblem(error);
    }
  }

  #compare(done: readonly Asked[]): void {
    const saliencies = JSON.stringify(done.map(sorted));
    const name = `${this.#revision} ${saliencies}`;
    if (this.agreement.asked.peek() === name) return;
    void this.agreement.ask({ saliencies }, name);
  }

  /** Computes the first map that is wanted and not there. */
  #next(): void {
    if (this.stopped.peek() || this.#lost.peek()) return;
    const next = this.wanted
      .peek()
      .find(
        (asked) =>
          !this.maps.peek().has(keyOf(asked)) &&
          !this.problems.peek().has(keyOf(asked)) &&
          this.refusal(asked.method, asked.side) === null,
      );
    const running = this.underway.peek()?.key;
    if (!next) return;
    // what is computed now may still be wanted: it comes first
    if (running && this.wanted.peek().some((asked) => keyOf(asked) === running)) return;
    void this.#compute(next);
  }

  async #compute(asked: Asked): Promise<void> {
    const key = keyOf(asked);
    const revision = this.#kernel.revision.peek();
    this.underway.value = { key, done: 0, total: null };
    try {
      const { header, arrays } = await this.#client.request("saliency", asked, (so) => {
        this.underway.value = { key, done: so.done, total: so.total };
      });
      const bytes = arrays.values.byteLength;
      batch(() => {
        this.underway.value = null;
        this.maps.value = trimmed(this.maps.peek(), key, {
          ...header,
          values: arrays.values,
          bytes,
        });
      });
    } catch (error) {
      // a newer one took its place, and says so itself
      if (error instanceof Superseded) return;
      batch(() => {
        this.underway.value = null;
        const problem = error instanceof Cancelled ? null : toProblem(error);
        // the kernel gives up what is of weights that were read again: that is asked for anew
        if (error instanceof Cancelled) {
          this.stopped.value = revision === this.#kernel.revision.peek();
        }
        if (problem) this.problems.value = new Map(this.problems.peek()).set(key, problem);
      });
    }
    this.#next();
  }
}

/** With one more, without the oldest where there are too many. */
function trimmed(maps: ReadonlyMap<string, Attribution>, key: string, found: Attribution) {
  const kept = new Map(maps);
  kept.delete(key);
  kept.set(key, found);
  let bytes = 0;
  for (const map of kept.values()) bytes += map.bytes;
  for (const [oldest, map] of kept) {
    if (bytes <= MOST_BYTES || oldest === key) break;
    bytes -= map.bytes;
    kept.delete(oldest);
  }
  return kept;
}

/** As Python writes it: sorted keys. */
const sorted = (asked: Asked): Asked =>
  Object.fromEntries(Object.entries(asked).sort(([a], [b]) => (a < b ? -1 : 1))) as never;

export const keyOf = (asked: Asked): string => JSON.stringify(sorted(asked));
