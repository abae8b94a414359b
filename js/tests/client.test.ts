import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  BUSY_AFTER_MS,
  Cancelled,
  Client,
  KernelGone,
  RequestError,
  Superseded,
} from "../src/client";
import { widgetTransport } from "../src/transport";
import { decodeArrays } from "../src/wire/arrays";
import { FakeModel, layer } from "./fake";

let model: FakeModel;
let client: Client;

beforeEach(() => {
  vi.useFakeTimers();
  model = new FakeModel([layer("a")]);
  client = new Client(widgetTransport(model));
});
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

describe("requests", () => {
  it("are answered by id, in any order", async () => {
    const first = client.request("distribution", { layer: "a" });
    const second = client.request("filters", { layer: "a", start: 0 });
    const [one, two] = model.sent;
    expect(one?.id).not.toBe(two?.id);
    expect(one?.client).toBe(client.name);
    model.reply(two?.id ?? "", { layer: "a", start: 0 });
    model.reply(one?.id ?? "", { layer: "a", n: 7 });
    expect((await first).header.n).toBe(7);
    expect((await second).header.start).toBe(0);
  });

  it("keep to the lengths that the kernel allows", () => {
    client.request("hello", {}).catch(() => {});
    expect(model.last("hello").id.length).toBeLessThanOrEqual(64);
    expect(client.name.length).toBeLessThanOrEqual(32);
    expect(client.name).not.toBe(new Client(widgetTransport(model)).name);
  });

  it("ignore replies of other views, late ones and what is no reply", async () => {
    const open = client.request("hello", {});
    const { id } = model.last("hello");
    model.reply("someone-else-1", { revision: 9 });
    model.emit("msg:custom", { type: "ping" }, []);
    model.emit("msg:custom", null, []);
    model.reply(id, { revision: 1 });
    model.reply(id, { revision: 2 });
    expect((await open).header.revision).toBe(1);
  });

  it("tell their progress, and list it as jobs until they end", async () => {
    const seen: number[] = [];
    const open = client.request("quality", { eps: 0.01 }, ({ done }) => seen.push(done));
    const { id } = model.last("quality");
    model.reply(id, { done: 0, total: 4, label: "" }, [], "progress");
    model.reply(id, { done: 2, total: 4, label: "conv1" }, [], "progress");
    expect(client.jobs.value).toEqual([{ id, kind: "quality", done: 2, total: 4, label: "conv1" }]);
    model.reply(id, { rows: [] });
    await open;
    expect(seen).toEqual([0, 2]);
    expect(client.jobs.value).toEqual([]);
  });

  it("bring arrays with their progress, and fail where these cannot be read", async () => {
    const params = {
      measure: "cka",
      comparison: "self",
      layer_set: "convs",
      settings: "{}",
    } as const;
    const seen: unknown[] = [];
    const open = client.request("similarity", params, (_, { matrix }) => seen.push(matrix));
    const { id } = model.last("similarity");
    const header = { done: 1, total: null, label: "CKA" };
    model.reply(id, header, [], "progress");
    const arrays = [{ name: "matrix", dtype: "float32", shape: [1, 2] }];
    model.reply(id, { ...header, arrays }, [Float32Array.of(1, 0.5)], "progress");
    expect(seen).toEqual([undefined, Float32Array.of(1, 0.5)]);
    expect(client.jobs.value[0]?.total).toBeNull();
    model.reply(id, { ...header, arrays }, [new Uint8Array(3)], "progress");
    await expect(open).rejects.toBeInstanceOf(RequestError);
    expect(client.jobs.value).toEqual([]);
  });

  it("fail with the kernel's sentence and details", async () => {
    const open = client.request("filters", { layer: "b", start: 0 });
    const header = { message: "There is no layer 'b'.", details: "Traceback" };
    model.reply(model.last("filters").id, header, [], "error");
    const error = await open.catch((caught) => caught);
    expect(error).toBeInstanceOf(RequestError);
    expect(error).toMatchObject(header);
  });

  it("fail with a sentence where the reply cannot be decoded", async () => {
    const open = client.request("cluster", { layer: "a", start: 0 });
    const arrays = [{ name: "labels", dtype: "uint8", shape: [4] }];
    model.reply(model.last("cluster").id, { arrays }, [new Uint8Array(3)]);
    const error = await open.catch((caught) => caught);
    expect(error).toBeInstanceOf(RequestError);
    expect(error.details).toContain('"labels" should take 4 bytes and brings 3');
  });
});

describe("giving up", () => {
  it("a newer request of a kind replaces the older, and its late reply is dropped", async () => {
    const older = client.request("quality", { eps: 0.01 });
    const { id } = model.last("quality");
    const newer = client.request("quality", { eps: 0.1 });
    await expect(older).rejects.toBeInstanceOf(Superseded);
    model.reply(id, { eps: 0.01, rows: [] });
    model.reply(model.last("quality").id, { eps: 0.1, rows: [] });
    expect((await newer).header.eps).toBe(0.1);
    expect(model.count("quality")).toBe(2);
  });

  it("cancel sends the id, and the request fails when the kernel has stopped", async () => {
    const open = client.request("quality", { eps: 0.01 });
    const { id } = model.last("quality");
    client.cancel(id);
    expect(model.last("cancel")).toEqual({ id, client: client.name, kind: "cancel", params: {} });
    model.reply(id, {}, [], "cancelled");
    await expect(open).rejects.toBeInstanceOf(Cancelled);
    client.cancel(id);
    expect(model.count("cancel")).toBe(1);
  });

  it("stop cancels what is open of a kind, and nothing else", () => {
    client.request("quality", { eps: 0.01 }).catch(() => {});
    client.request("hello", {}).catch(() => {});
    client.stop("quality");
    expect(model.count("cancel")).toBe(1);
    expect(model.last("cancel").id).toBe(model.last("quality").id);
  });

  it("close removes every listener", async () => {
    const open = client.request("hello", {}).catch((error) => error);
    expect(model.listeners).toBeGreaterThan(0);
    client.close();
    expect(model.listeners).toBe(0);
    expect(await open).toBeInstanceOf(Superseded);
  });
});

describe("a busy kernel", () => {
  it("is told after 400 ms of silence, and no longer when anything comes back", () => {
    client.request("distribution", { layer: "a" }).catch(() => {});
    vi.advanceTimersByTime(BUSY_AFTER_MS - 1);
    expect(client.busy.value).toBe(false);
    vi.advanceTimersByTime(1);
    expect(client.busy.value).toBe(true);
    model.reply(model.last("distribution").id, { done: 0, total: 0, label: "" }, [], "progress");
    expect(client.busy.value).toBe(false);
    vi.advanceTimersByTime(10 * BUSY_AFTER_MS);
    expect(client.busy.value).toBe(false);
  });

  it("is told again while another request stays unanswered", () => {
    client.request("distribution", { layer: "a" }).catch(() => {});
    client.request("hello", {}).catch(() => {});
    vi.advanceTimersByTime(BUSY_AFTER_MS);
    model.reply(model.last("hello").id, { concurrent: false });
    expect(client.busy.value).toBe(false);
    vi.advanceTimersByTime(BUSY_AFTER_MS);
    expect(client.busy.value).toBe(true);
  });

  it("is not told when the answer is quick", () => {
    client.request("hello", {}).catch(() => {});
    model.reply(model.last("hello").id, { concurrent: true });
    vi.advanceTimersByTime(BUSY_AFTER_MS);
    expect(client.busy.value).toBe(false);
  });
});

describe("a lost kernel", () => {
  it("shows when sending throws, and everything open fails", async () => {
    const open = client.request("quality", { eps: 0.01 });
    model.dead = true;
    const next = client.request("hello", {});
    await expect(open).rejects.toBeInstanceOf(KernelGone);
    await expect(next).rejects.toBeInstanceOf(KernelGone);
    expect(client.gone.value).toBe(true);
    vi.advanceTimersByTime(BUSY_AFTER_MS);
    expect(client.busy.value).toBe(false);
  });

  it("shows when the comm is closed, and when its state changes and nothing can be sent", () => {
    model.emit("comm:close");
    expect(client.gone.value).toBe(true);
    model.emit("comm_live_update");
    expect(client.gone.value).toBe(false);
    model.dead = true;
    model.emit("comm_live_update");
    expect(client.gone.value).toBe(true);
  });
});

describe("buffers", () => {
  const header = {
    arrays: [
      { name: "weights", dtype: "float32", shape: [2, 2] },
      { name: "labels", dtype: "uint8", shape: [3] },
    ],
  };
  const floats = new Float32Array([1.5, -2, 0.25, 8]);
  const bytes = new Uint8Array([7, 8, 9]);
  /** The same bytes inside a larger buffer, at an offset that is odd or not. */
  const inside = (part: ArrayBufferView, offset: number) => {
    const whole = new Uint8Array(part.byteLength + offset + 5).fill(255);
    whole.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), offset);
    return whole.buffer;
  };

  for (const offset of [0, 4, 3]) {
    for (const [kind, wrap] of [
      ["DataView", (b: ArrayBuffer, o: number, n: number) => new DataView(b, o, n)],
      ["Uint8Array", (b: ArrayBuffer, o: number, n: number) => new Uint8Array(b, o, n)],
      ["ArrayBuffer", (b: ArrayBuffer, o: number, n: number) => b.slice(o, o + n)],
    ] as const) {
      it(`come as ${kind} at offset ${offset}`, () => {
        const arrays = decodeArrays(header, [
          wrap(inside(floats, offset), offset, floats.byteLength),
          wrap(inside(bytes, offset), offset, bytes.byteLength),
        ]);
        expect(arrays.weights).toEqual(floats);
        expect(arrays.labels).toEqual(bytes);
      });
    }
  }

  it("are refused in words where they do not fit", () => {
    expect(() => decodeArrays(header, [floats])).toThrow("lists 2 arrays and brings 1 buffers");
    const odd = { arrays: [{ name: "x", dtype: "float64", shape: [1] }] };
    expect(() => decodeArrays(odd, [bytes])).toThrow('unknown dtype "float64"');
    const one = { arrays: [{ name: "x", dtype: "uint8", shape: [1] }] };
    expect(() => decodeArrays(one, ["text"])).toThrow("neither an ArrayBuffer nor a view");
  });
});
