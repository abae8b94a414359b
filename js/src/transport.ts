// How messages travel. The front end knows only `Transport`, so it runs in a notebook, in a test with
// a fake one, and in an offline page over recorded replies.
import type { Incoming, Kind, Outgoing } from "./protocol";

export interface Transport {
  /** Hands a message to the kernel; throws when there is no kernel to take it. */
  send(message: Outgoing): void;
  /** Calls `receive` for each message of the kernel until the returned function is called. */
  listen(receive: (message: unknown, buffers: readonly unknown[]) => void): () => void;
  /** Calls `check` when the connection may have changed: the kernel died, restarted, came back. */
  watch(check: (closed: boolean) => void): () => void;
}

/** The part of anywidget's model that is used; every host has it. */
export interface WidgetModel {
  get(name: string): unknown;
  set(name: string, value: unknown): unknown;
  save_changes(): void;
  // biome-ignore lint/suspicious/noExplicitAny: events of a host carry what they like
  on(event: string, callback: (...values: any[]) => void): void;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  off(event: string, callback: (...values: any[]) => void): void;
  send(content: unknown): void;
}

export function widgetTransport(model: WidgetModel): Transport {
  return {
    send(message) {
      // A model that was restored from a file has no comm, and drops what it is given in silence.
      // Backbone's `set` returns the host's own model, also through anywidget's proxy.
      const host = model.set("layer", model.get("layer")) as { comm_live?: boolean } | undefined;
      if (host?.comm_live === false) throw new Error("no comm");
      model.send(message);
    },
    listen(receive) {
      const heard = (message: unknown, buffers?: readonly unknown[]) =>
        receive(message, buffers ?? []);
      model.on("msg:custom", heard);
      return () => model.off("msg:custom", heard);
    },
    watch(check) {
      // Events of Jupyter's widget manager. The comm's state cannot be read through anywidget's
      // proxy, so a change of it only says that it is time to try; hosts without them never call.
      const changed = () => check(false);
      const closed = () => check(true);
      model.on("comm_live_update", changed);
      model.on("comm:close", closed);
      return () => {
        model.off("comm_live_update", changed);
        model.off("comm:close", closed);
      };
    },
  };
}

/** A reply of an offline page: its header, and each array as base64 of gzip. */
export interface RecordedReply {
  header: Record<string, unknown>;
  buffers: string[];
}

/** What `Lens.to_html` writes into its page: the traits, and the replies by `recordKey`. */
export interface Recording {
  traits: Record<string, unknown>;
  replies: Record<string, RecordedReply>;
}

/** `kind` and the canonical JSON of `params`: sorted keys, no spaces. */
export function recordKey(kind: Kind, params: object): string {
  const sorted = Object.entries(params).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${kind} ${JSON.stringify(Object.fromEntries(sorted))}`;
}

/** Answers from a recording; what was not recorded gets an error reply. */
export function recordedTransport(recording: Recording): Transport {
  const receivers = new Set<(message: unknown, buffers: readonly unknown[]) => void>();
  const answer = async ({ id, kind, params }: Outgoing) => {
    const reply = (message: Incoming, buffers: readonly unknown[] = []) => {
      for (const receive of receivers) receive(message, buffers);
    };
    const key = recordKey(kind as Kind, params);
    const recorded = Object.hasOwn(recording.replies, key) ? recording.replies[key] : undefined;
    if (!recorded) {
      const message = "This was not recorded in this page: open the Lens in a notebook to see it.";
      return reply({ id, status: "error", header: { message, details: key } });
    }
    try {
      const buffers = await Promise.all(recorded.buffers.map(inflate));
      reply({ id, status: "ok", header: recorded.header }, buffers);
    } catch (error) {
      const message = "The data of this page cannot be read: it may be cut off or damaged.";
      reply({ id, status: "error", header: { message, details: String(error) } });
    }
  };
  return {
    send(message) {
      // Never answer inside send: in a notebook no reply comes before it returns either.
      if (message.kind !== "cancel") queueMicrotask(() => void answer(message));
    },
    listen(receive) {
      receivers.add(receive);
      return () => receivers.delete(receive);
    },
    watch: () => () => {},
  };
}

async function inflate(base64: string): Promise<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  // What fails here fails the reading side too, where it is caught.
  writer.write(bytes).catch(() => {});
  writer.close().catch(() => {});
  return new Response(stream.readable).arrayBuffer();
}

/** The model of an offline page: traits live in the page and nothing is saved. */
export function recordedModel(recording: Recording): WidgetModel {
  const traits = new Map(Object.entries(recording.traits));
  const listeners = new Map<string, Set<() => void>>();
  return {
    get: (name) => traits.get(name),
    set(name, value) {
      if (Object.is(traits.get(name), value)) return;
      traits.set(name, value);
      for (const callback of listeners.get(`change:${name}`) ?? []) callback();
    },
    save_changes() {},
    on(event, callback) {
      if (!listeners.has(event)) listeners.set(event, new Set());
      listeners.get(event)?.add(callback);
    },
    off: (event, callback) => void listeners.get(event)?.delete(callback),
    send() {},
  };
}
