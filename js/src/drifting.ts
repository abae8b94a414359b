// Drift of the model's filters: measured when its view opens, and again for what else is chosen.
import { computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import { Asking, nameOf } from "./asking";
import type { Client } from "./client";
import { literal } from "./code";
import type { Arrays, Headers, KernelTraits, LayerInfo, Traits } from "./protocol";
import type { Signals, Store } from "./state";
import type { DriftAgainst, DriftAsked, Drifted, DriftSource } from "./wire/drift";

/** What was measured; where no layer can be compared there is nothing but `about` and `missing`. */
export interface Drift extends Omit<Headers["drift"], "rows"> {
  readonly layers: readonly Drifted[];
  readonly whole: Drifted;
  readonly arrays: Arrays["drift"];
}

export class Drifting {
  readonly asking: Asking<"drift", Drift>;
  readonly params: ReadonlySignal<DriftAsked>;
  readonly source: ReadonlySignal<DriftSource | undefined>;
  /** What is drawn is what is chosen, of the weights of now. */
  readonly current: ReadonlySignal<boolean>;
  /** The place of the chosen layer among those measured; -1 where it is none. */
  readonly place: ReadonlySignal<number>;

  readonly #traits: Signals<Traits>;
  readonly #kernel: Signals<KernelTraits>;
  readonly #lost: ReadonlySignal<string>;
  /** Databases that a person had read. */
  readonly #wanted = signal<ReadonlySet<string>>(new Set());

  constructor(
    client: Client,
    traits: Signals<Traits>,
    kernel: Signals<KernelTraits>,
    lost: ReadonlySignal<string>,
    layer: ReadonlySignal<LayerInfo | undefined>,
  ) {
    this.#traits = traits;
    this.#kernel = kernel;
    this.#lost = lost;
    this.asking = new Asking(client, "drift", (header, arrays) => {
      const layers = header.rows?.slice(0, -1);
      return layers ? { ...header, layers, whole: header.rows.at(-1) as Drifted, arrays } : null;
    });
    this.params = computed(() => ({
      against: traits.drift_against.value,
      group: traits.drift_group.value,
    }));
    this.source = computed(() =>
      kernel._structure.value.drift.find(({ name }) => name === traits.drift_against.value),
    );
    this.current = computed(() => {
      const found = this.asking.value.value;
      const { against, group } = this.params.value;
      if (found?.against !== against || found.group !== group) return false;
      return kernel._structure.value.offline || found.revision === kernel.revision.value;
    });
    this.place = computed(() => {
      const { key, name } = layer.value ?? {};
      const layers = this.asking.value.value?.layers ?? [];
      const place = layers.findIndex((row) => row.key === key);
      // of a module that is called twice either call is it
      return place < 0 ? layers.findIndex((row) => row.key === name) : place;
    });
  }

  /** Measures what is chosen, however long it takes. */
  run(): void {
    const { against } = this.params.peek();
    this.#ask(this.#name(this.#kernel.revision.peek()));
    this.#wanted.value = new Set([...this.#wanted.peek(), against]);
  }

  follow(): () => void {
    return effect(() => {
      const name = this.#name(this.#kernel.revision.value);
      const { offline } = this.#kernel._structure.value;
      const unasked = this.source.value?.asks && !this.#wanted.value.has(this.params.value.against);
      const shown = this.#traits.view.value === "drift" && !this.#lost.value;
      if (!shown || (unasked && !offline)) return;
      untracked(() => {
        if (name !== this.asking.asked.value) this.#ask(name);
      });
    });
  }

  #ask(name: string): void {
    void this.asking.ask(this.params.peek(), name);
  }

  #name(revision: number): string {
    return nameOf([this.params.value, revision]);
  }
}

/** The lines that give what is shown in Python, all filled in. */
export function driftInPython({ drifting, kernel }: Store): string | undefined {
  const { against, group } = drifting.params.value;
  const template = kernel._structure.value.code.drift[against as DriftAgainst];
  const row = drifting.asking.value.value?.layers[drifting.place.value];
  const filled = template?.replace("{group}", () => literal(group));
  return filled && (row ? `${filled}\ndrift[${literal(row.key)}]` : filled);
}
