// What was loaded for a layer, by layer key: shown at once when the layer is chosen again.
import { type ReadonlySignal, type Signal, signal, untracked } from "@preact/signals";
import { Cancelled, KernelGone, RequestError } from "./client";

/** One sentence, and what a bug report needs. */
export interface Problem {
  message: string;
  details: string;
}

export interface Loaded<T> {
  /** The last good value; after a refresh the old one until the new one is there. */
  readonly value: T | null;
  readonly problem: Problem | null;
  /** A request for it is out. */
  readonly pending: boolean;
}

interface Entry<T> {
  state: Signal<Loaded<T>>;
  /** Revision of the weights that `state` was asked for. */
  revision: number;
  bytes: number;
}

export class LayerCache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #load: (layer: string, show: (value: T) => void) => Promise<T>;
  readonly #bytes: (value: T) => number;
  readonly #limit: number;

  /** `load` may `show` parts of the value on its way. The least recently asked go over `limit` bytes. */
  constructor(
    load: (layer: string, show: (value: T) => void) => Promise<T>,
    bytes: (value: T) => number,
    limit = 256 * 2 ** 20,
  ) {
    this.#load = load;
    this.#bytes = bytes;
    this.#limit = limit;
  }

  of(layer: string): ReadonlySignal<Loaded<T>> {
    return this.#entry(layer).state;
  }

  /**
   * Loads unless it is there for this revision, on its way, or known to fail. An effect that asks
   * runs again when the answer is given up for another layer's, and then asks anew.
   */
  ask(layer: string, revision: number): void {
    const entry = this.#entry(layer);
    this.#entries.delete(layer);
    this.#entries.set(layer, entry);
    const { value, problem, pending } = entry.state.value;
    const settled = value !== null || problem !== null;
    if (entry.revision === revision && (pending || settled)) return;
    untracked(() => this.#start(layer, entry, revision));
  }

  #start(layer: string, entry: Entry<T>, revision: number): void {
    const { value } = entry.state.value;
    entry.revision = revision;
    entry.state.value = { value, problem: null, pending: true };
    const show = (shown: T) => {
      if (entry.revision !== revision) return;
      entry.bytes = this.#bytes(shown);
      entry.state.value = { value: shown, problem: null, pending: true };
    };
    this.#load(layer, show).then(
      (loaded) => {
        if (entry.revision !== revision) return;
        entry.bytes = this.#bytes(loaded);
        entry.state.value = { value: loaded, problem: null, pending: false };
        this.#trim(layer);
      },
      (error) => {
        if (entry.revision !== revision) return;
        const problem = toProblem(error);
        // Given up for another layer: forget the revision, so that it is asked for anew.
        if (!problem) entry.revision = -1;
        entry.state.value = { value: entry.state.value.value, problem, pending: false };
      },
    );
  }

  /** Asks again for what failed. */
  retry(layer: string, revision: number): void {
    this.#entry(layer).revision = -1;
    this.ask(layer, revision);
  }

  #entry(layer: string): Entry<T> {
    let entry = this.#entries.get(layer);
    if (!entry) {
      const state = signal<Loaded<T>>({ value: null, problem: null, pending: false });
      entry = { state, revision: -1, bytes: 0 };
      this.#entries.set(layer, entry);
    }
    return entry;
  }

  #trim(keep: string): void {
    let total = 0;
    for (const entry of this.#entries.values()) total += entry.bytes;
    for (const [layer, entry] of this.#entries) {
      if (total <= this.#limit) return;
      if (layer === keep) continue;
      total -= entry.bytes;
      this.#entries.delete(layer);
    }
  }
}

/** What to say of a failed request; null where there is nothing to say. */
export function toProblem(error: unknown): Problem | null {
  if (error instanceof RequestError) return { message: error.message, details: error.details };
  if (error instanceof Cancelled) return { message: "Stopped.", details: "" };
  if (error instanceof KernelGone) return null;
  if (error instanceof Error && error.message) return { message: error.message, details: "" };
  return null;
}
