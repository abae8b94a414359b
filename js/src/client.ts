// Requests by id. A caller awaits a promise and never sees a message; progress, cancelling, newer
// requests replacing older ones, a busy kernel and a lost one are all dealt with here.
import { type ReadonlySignal, signal } from "@preact/signals";
import {
  type Arrays,
  type Headers,
  type Incoming,
  isIncoming,
  type Kind,
  type Params,
  type Progress,
} from "./protocol";
import type { Transport } from "./transport";
import { decodeArrays } from "./wire/arrays";

export interface Reply<K extends Kind> {
  header: Headers[K];
  arrays: Arrays[K];
}

/** Work that the kernel has said it is doing. */
export interface Job {
  id: string;
  kind: Kind;
  label: string;
  done: number;
  /** null while it is not known. */
  total: number | null;
}

/** A newer request of the same kind took this one's place: nothing to show. */
export class Superseded extends Error {}
/** The person pressed Stop. */
export class Cancelled extends Error {}
/** The kernel is not there any more. */
export class KernelGone extends Error {}
/** The kernel, or the decoding of its reply, says what went wrong. */
export class RequestError extends Error {
  constructor(
    message: string,
    readonly details: string,
  ) {
    super(message);
  }
}

interface Open {
  kind: Kind;
  heard: boolean;
  resolve(reply: never): void;
  reject(error: Error): void;
  progress: ((header: never, arrays: never) => void) | undefined;
}

type Advance = Pick<Job, "done" | "total" | "label">;

export const BUSY_AFTER_MS = 400;

export class Client {
  readonly name = randomName();
  readonly #busy = signal(false);
  readonly #gone = signal(false);
  readonly #jobs = signal<readonly Job[]>([]);
  readonly #open = new Map<string, Open>();
  readonly #transport: Transport;
  readonly #refused: (error: RequestError) => void;
  readonly #stops: (() => void)[];
  #count = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `refused` hears of what the kernel refused that was no request: a trait set to a wrong value. */
  constructor(transport: Transport, refused: (error: RequestError) => void = () => {}) {
    this.#transport = transport;
    this.#refused = refused;
    this.#stops = [
      transport.listen((message, buffers) => this.#receive(message, buffers)),
      transport.watch((closed) => (closed ? this.#lose() : this.#probe())),
    ];
  }

  /** A request is out and the kernel has said nothing for 400 ms. */
  get busy(): ReadonlySignal<boolean> {
    return this.#busy;
  }

  /** The kernel cannot be reached; every request fails with `KernelGone`. */
  get gone(): ReadonlySignal<boolean> {
    return this.#gone;
  }

  /** What the kernel is working on for this view. */
  get jobs(): ReadonlySignal<readonly Job[]> {
    return this.#jobs;
  }

  /** Asks the kernel; `progress` gets what there is so far. An open request of the same kind is given up: `Superseded`. */
  request<K extends Kind>(
    kind: K,
    params: Params[K],
    progress?: (header: Progress<K>, arrays: Partial<Arrays[K]>) => void,
  ): Promise<Reply<K>> {
    for (const [id, open] of this.#open) {
      if (open.kind === kind) this.#settle(id)?.reject(new Superseded());
    }
    const id = `${this.name}-${++this.#count}`;
    return new Promise<Reply<K>>((resolve, reject) => {
      this.#open.set(id, { kind, heard: false, resolve, reject, progress });
      try {
        this.#transport.send({ id, client: this.name, kind, params });
        this.#gone.value = false;
        this.#wait();
      } catch {
        this.#lose();
      }
    });
  }

  /** Asks the kernel to stop a job; its promise fails with `Cancelled` when the kernel has. */
  cancel(id: string): void {
    if (!this.#open.has(id)) return;
    try {
      this.#transport.send({ id, client: this.name, kind: "cancel", params: {} });
    } catch {
      this.#lose();
    }
  }

  /** Asks the kernel to stop what is open of a kind. */
  stop(kind: Kind): void {
    for (const [id, open] of this.#open) if (open.kind === kind) this.cancel(id);
  }

  /** Stops listening and gives up what is open. */
  close(): void {
    for (const stop of this.#stops) stop();
    for (const id of [...this.#open.keys()]) this.#settle(id)?.reject(new Superseded());
    clearTimeout(this.#timer);
  }

  #receive(message: unknown, buffers: readonly unknown[]): void {
    // Replies go to every view of the widget: an id that is not open here is another view's, or late.
    if (!isIncoming(message)) return;
    if (message.id === null) {
      this.#refused(errorOf(message));
      return;
    }
    const open = this.#open.get(message.id);
    if (!open) return;
    this.#gone.value = false;
    open.heard = true;
    if (message.status === "progress") {
      this.#advance(message.id, open, message.header as unknown as Advance, buffers);
    } else {
      this.#settle(message.id);
      this.#finish(open, message, buffers);
    }
    this.#wait();
  }

  #advance(id: string, open: Open, header: Advance, buffers: readonly unknown[]): void {
    const { done, total, label } = header;
    const job: Job = { id, kind: open.kind, label, done, total };
    const known = this.#jobs.value;
    // each keeps its place: of two that are under way the same one is shown all along
    this.#jobs.value = known.some((other) => other.id === id)
      ? known.map((other) => (other.id === id ? job : other))
      : [...known, job];
    if (!open.progress) return;
    try {
      open.progress(header as never, decodeArrays({ ...header }, buffers) as never);
    } catch (error) {
      this.#settle(id)?.reject(unreadable(error));
    }
  }

  #finish(open: Open, message: Incoming, buffers: readonly unknown[]): void {
    const { status, header } = message;
    if (status === "cancelled") {
      open.reject(new Cancelled());
    } else if (status === "error") {
      open.reject(errorOf(message));
    } else {
      try {
        open.resolve({ header, arrays: decodeArrays(header, buffers) } as never);
      } catch (error) {
        open.reject(unreadable(error));
      }
    }
  }

  #settle(id: string): Open | undefined {
    const open = this.#open.get(id);
    this.#open.delete(id);
    if (this.#jobs.value.some((job) => job.id === id)) {
      this.#jobs.value = this.#jobs.value.filter((job) => job.id !== id);
    }
    return open;
  }

  /** Restarts the clock: busy if what is still unanswered stays so. */
  #wait(): void {
    clearTimeout(this.#timer);
    this.#busy.value = false;
    if ([...this.#open.values()].every((open) => open.heard)) return;
    this.#timer = setTimeout(() => {
      this.#busy.value = true;
    }, BUSY_AFTER_MS);
  }

  /** Finds out whether the kernel is there by sending; a late reply to it is ignored. */
  #probe(): void {
    this.request("hello", {}).catch(() => {});
  }

  #lose(): void {
    clearTimeout(this.#timer);
    this.#busy.value = false;
    this.#gone.value = true;
    for (const id of [...this.#open.keys()]) this.#settle(id)?.reject(new KernelGone());
  }
}

function unreadable(error: unknown): RequestError {
  const message = "The kernel's reply cannot be read: restart it if convlens was updated.";
  return new RequestError(message, String(error));
}

function errorOf({ header }: Incoming): RequestError {
  return new RequestError(String(header.message), String(header.details ?? ""));
}

function randomName(): string {
  // Not crypto.randomUUID: it is missing where a notebook is served over plain http.
  // A letter first: the name is part of element ids, and selectors take none that begin with a digit.
  return `v${Math.random().toString(36).slice(2, 12).padEnd(10, "0")}`;
}
