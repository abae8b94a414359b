// Moments of training that the kernel keeps, and the one that is looked at in the Quality view.
import {
  computed,
  effect,
  type ReadonlySignal,
  type Signal,
  signal,
  untracked,
} from "@preact/signals";
import type { Client } from "./client";
import { count } from "./format";
import type { KernelTraits, Row, Traits } from "./protocol";
import type { Signals } from "./state";
import type { HistoryHeader, Moment } from "./wire/history";

type Rows = ReadonlyMap<string, Row>;

interface Known extends Pick<HistoryHeader, "moments" | "figures" | "layers" | "eps"> {
  /** By number of the moment: (layers, figures). */
  tables: ReadonlyMap<number, Float32Array>;
}

export class History {
  readonly moments: ReadonlySignal<readonly Moment[]>;
  /** The figures that there are. */
  readonly figures: ReadonlySignal<readonly string[]>;
  /**
   * Place of the moment that is looked at; -1: now. Where training goes on after the weights were
   * read, the last moment is what is known of now.
   */
  readonly place: ReadonlySignal<number>;
  /** What it is called, "" for now. Other views than Quality show weights: those of now. */
  readonly words: ReadonlySignal<string>;
  /** The eps that the figures shown are of. */
  readonly eps: ReadonlySignal<number>;
  /** Where the scale of sparsity ends at least: it stays while moments pass. */
  readonly most: ReadonlySignal<number>;
  /** The figure of the sparklines. */
  readonly trend = signal("variance_entropy");

  readonly #client: Client;
  readonly #traits: Signals<Traits>;
  readonly #kernel: Signals<KernelTraits>;
  readonly #lost: ReadonlySignal<string>;
  readonly #known = signal<Known>({
    moments: [],
    figures: [],
    layers: [],
    eps: 0,
    tables: new Map(),
  });
  /** CKA to the last moment, by number and then layer. */
  readonly #last = signal<ReadonlyMap<number, Float32Array>>(new Map());
  /** Number of the last moment when the weights were read. */
  readonly #seen: Signal<number>;
  #asking = false;
  #due = false;
  /** What is there came from a file, or is not all. */
  #whole = true;

  constructor(
    client: Client,
    traits: Signals<Traits>,
    kernel: Signals<KernelTraits>,
    lost: ReadonlySignal<string>,
  ) {
    this.#client = client;
    this.#traits = traits;
    this.#kernel = kernel;
    this.#lost = lost;
    this.#seen = signal(kernel._taken.peek() - 1);
    const { values, ...header } = kernel._past.peek() ?? {};
    if (values) {
      const bytes = Uint8Array.from(atob(values), (character) => character.charCodeAt(0));
      this.#take(header as HistoryHeader, new Float32Array(bytes.buffer));
    }
    this.moments = computed(() => this.#known.value.moments);
    this.figures = computed(() => this.#known.value.figures);
    this.place = computed(() => {
      const step = traits.step.value;
      if (traits.view.value !== "quality") return -1;
      const last = this.moments.value.length - 1;
      if (step === null)
        return (this.moments.value[last]?.[0] ?? -1) > this.#seen.value ? last : -1;
      const field = typeof step === "string" ? 2 : 1;
      return this.moments.value.findLastIndex((moment) => moment[field] === step);
    });
    this.words = computed(() => this.named(this.place.value));
    this.eps = computed(() => (this.place.value < 0 ? traits.eps.value : this.#known.value.eps));
    this.most = computed(() => {
      if (this.place.value < 0) return 0;
      const { figures, tables } = this.#known.value;
      let most = 0;
      for (const table of tables.values())
        for (let at = figures.indexOf("sparsity"); at < table.length; at += figures.length)
          most = Math.max(most, table[at] || 0);
      return most;
    });
  }

  /** "step 300 · epoch 3"; "" where there is none. */
  named(place: number): string {
    const moment = this.moments.value[place];
    return moment ? `step ${count(moment[1])}${moment[2] && ` · ${moment[2]}`}` : "";
  }

  /** By what Python finds a moment: its step, or its label where a later one has the same step. */
  stepOf(place: number): number | string | null {
    const moments = this.moments.peek();
    const moment = moments[place];
    if (!moment) return null;
    const [, step, label] = moment;
    return moments.findLastIndex((other) => other[1] === step) === place ? step : label || step;
  }

  /** A figure of a layer at a moment, NaN where there is none. */
  figure(layer: string, name: string, place = this.place.value): number {
    const { moments, figures, layers, tables } = this.#known.value;
    const number = moments[place]?.[0] ?? -1;
    const row = layers.indexOf(layer);
    const last = name === "cka_last";
    const column = last ? 0 : figures.indexOf(name);
    const table = (last ? this.#last.value : tables).get(number);
    if (row < 0 || column < 0 || !table) return Number.NaN;
    return table[last ? row : row * figures.length + column] as number;
  }

  /** The trend's figure of a layer over all moments; entropy as the bars show it. */
  series(layer: string, now: Row | undefined): number[] {
    const name = this.trend.value;
    const raw = name !== "variance_entropy" || this.#traits.entropy.value === "raw";
    return this.moments.value.map((_, place) => {
      const value = this.figure(layer, name, place);
      const share = raw ? value : this.figure(layer, `${name}_normalized`, place);
      return Number.isNaN(share) ? value / (now?.entropy_of_random || 1) : share;
    });
  }

  /** The rows of the moment that is looked at, of those of now. */
  recall(now: Rows): Rows {
    if (this.place.value < 0) return now;
    const { layers, eps } = this.#known.value;
    const rows = new Map<string, Row>();
    for (const key of layers) {
      const row = now.get(key);
      if (row) rows.set(key, this.#at(row, eps));
    }
    return rows;
  }

  #at(row: Row, eps: number): Row {
    const then: Row = {
      ...row,
      eps,
      curve: [],
      variance_entropy_clean_normalized: null,
      orthogonality: null,
      omitted: { ...row.omitted, variance_entropy_clean_normalized: "snapshots do not keep it" },
    };
    for (const name of this.#known.value.figures as "l2"[]) {
      const value = this.figure(row.key, name);
      then[name] = Number.isNaN(value) ? null : value;
    }
    return then;
  }

  /** Asks for what is new, and for a chosen moment that is not there; gives what ends it. */
  follow(): () => void {
    let revision = this.#kernel.revision.peek();
    const stops = [
      effect(() => {
        if (this.#kernel.revision.value === revision) return;
        revision = this.#kernel.revision.value;
        this.#seen.value = this.#kernel._taken.peek() - 1;
      }),
      effect(() => {
        const step = this.#traits.step.value;
        if (this.#kernel._taken.value === 0 || this.#lost.value) return;
        untracked(() => {
          if (step !== null && this.#traits.view.value === "quality" && this.place.value < 0)
            this.#whole = true;
          this.#ask();
        });
      }),
      effect(() => {
        if (this.place.value < 0 || !this.figures.value.includes("cka_first")) return;
        if (this.moments.value && !this.#lost.value) untracked(() => this.#askLast());
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** One request at a time: a training loop tells of snapshots faster than a busy kernel answers. */
  #ask(): void {
    this.#due = this.#asking;
    if (this.#asking) return;
    this.#asking = true;
    const since = this.#whole ? -1 : (this.moments.peek().at(-1)?.[0] ?? -1);
    this.#client
      .request("history", { since })
      .then(
        ({ header, arrays }) => {
          this.#whole = !this.#take(header, arrays.values);
          this.#due ||= this.#whole;
        },
        () => {}, // the next snapshot asks again
      )
      .then(() => {
        this.#asking = false;
        if (this.#due) this.#ask();
      });
  }

  #askLast(): void {
    this.#client.request("history_last", {}).then(
      ({ header, arrays }) => {
        const size = this.#known.peek().layers.length;
        const tables = header.numbers.map(
          (number, place) =>
            [number, arrays.values.subarray(place * size, (place + 1) * size)] as const,
        );
        this.#last.value = new Map(tables);
      },
      () => {},
    );
  }

  /** Puts what came to what is known; false where something is missing still. */
  #take({ moments, figures, layers, eps, since }: HistoryHeader, values: Float32Array): boolean {
    const before = this.#known.peek();
    const keys = layers.length ? layers : before.layers;
    const size = keys.length * figures.length;
    const tables = new Map<number, Float32Array>();
    let start = 0;
    for (const [number] of moments) {
      const fresh = number > since;
      const table = fresh ? values.subarray(start, start + size) : before.tables.get(number);
      if (fresh) start += size;
      if (table) tables.set(number, table);
    }
    this.#known.value = { moments, figures, layers: keys, eps, tables };
    return tables.size === moments.length;
  }
}
