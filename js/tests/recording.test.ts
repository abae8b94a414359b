import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { Client, RequestError } from "../src/client";
import { recordedModel, recordedTransport, recordKey } from "../src/transport";

const packed = (bytes: Uint8Array) => gzipSync(bytes).toString("base64");
const arrays = [{ name: "labels", dtype: "uint8", shape: [3] }];
const recording = {
  traits: { layer: "a", eps: 0.01 },
  replies: {
    'cluster {"layer":"a","start":0}': {
      header: { layer: "a", start: 0, k: 2, arrays },
      buffers: [packed(new Uint8Array([0, 1, 1]))],
    },
    'cluster {"layer":"broken","start":0}': { header: { arrays }, buffers: ["AAAA"] },
  },
};

describe("a saved page", () => {
  it("names a request by its kind and sorted parameters", () => {
    expect(recordKey("filters", { start: 0, layer: 'a"<é' })).toBe(
      'filters {"layer":"a\\"<é","start":0}',
    );
    expect(recordKey("hello", {})).toBe("hello {}");
  });

  it("answers what was recorded", async () => {
    const client = new Client(recordedTransport(recording));
    const { header, arrays: found } = await client.request("cluster", { layer: "a", start: 0 });
    expect(header.k).toBe(2);
    expect(found.labels).toEqual(new Uint8Array([0, 1, 1]));
    client.close();
  });

  it("says in words what was not recorded, and what is damaged", async () => {
    const client = new Client(recordedTransport(recording));
    const missing = await client.request("distribution", { layer: "a" }).catch((error) => error);
    expect(missing).toBeInstanceOf(RequestError);
    expect(missing.message).toContain("not recorded in this page");
    const broken = await client.request("cluster", { layer: "broken", start: 0 }).catch((e) => e);
    expect(broken.message).toContain("damaged");
    client.close();
  });

  it("keeps traits in the page and tells of their changes", () => {
    const model = recordedModel(recording);
    const seen: unknown[] = [];
    const changed = () => seen.push(model.get("layer"));
    model.on("change:layer", changed);
    model.set("layer", "b");
    model.set("layer", "b");
    model.off("change:layer", changed);
    model.set("layer", "c");
    expect(seen).toEqual(["b"]);
  });
});
