// A question to the kernel whose answer fills in while it is worked out. The last answer stays until
// the next one begins to come.
import { batch, signal } from "@preact/signals";
import { type Problem, toProblem } from "./cache";
import { Cancelled, type Client, type Reply, Superseded } from "./client";
import type { Arrays, Headers, Kind, Params } from "./protocol";

export class Asking<K extends Kind, V> {
  readonly value = signal<V | null>(null);
  readonly problem = signal<Problem | null>(null);
  readonly running = signal(false);
  /** Stopped by a person, before its end. */
  readonly stopped = signal(false);
  /** What was asked last, as text; "" before anything was. */
  readonly asked = signal("");

  readonly #client: Client;
  readonly #kind: K;
  readonly #read: (header: Headers[K], arrays: Arrays[K]) => V | null;

  /** `read` gives null for a message that only says that the kernel has heard. */
  constructor(client: Client, kind: K, read: (header: Headers[K], arrays: Arrays[K]) => V | null) {
    this.#client = client;
    this.#kind = kind;
    this.#read = read;
  }

  /** Asks, or asks again; resolves to the last header, or to null where there came none. */
  async ask(params: Params[K], name = nameOf(params)): Promise<Headers[K] | null> {
    batch(() => {
      this.asked.value = name;
      this.problem.value = null;
      this.stopped.value = false;
      this.running.value = true;
    });
    try {
      const { header, arrays }: Reply<K> = await this.#client.request(
        this.#kind,
        params,
        (part, some) => this.#show(part as unknown as Headers[K], some as Arrays[K]),
      );
      batch(() => {
        this.#show(header, arrays);
        this.running.value = false;
      });
      return header;
    } catch (error) {
      // the newer question says when it is through
      if (error instanceof Superseded) return null;
      batch(() => {
        this.running.value = false;
        if (error instanceof Cancelled) this.stopped.value = true;
        else this.problem.value = toProblem(error);
      });
      return null;
    }
  }

  stop(): void {
    this.#client.stop(this.#kind);
  }

  #show(header: Headers[K], arrays: Arrays[K]): void {
    const value = this.#read(header, arrays);
    if (value !== null) this.value.value = value;
  }
}

/** The same text for the same parameters. */
export const nameOf = (params: object): string => JSON.stringify(params);
