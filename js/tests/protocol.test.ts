import { describe, expect, it } from "vitest";
import fixture from "../../tests/fixtures/protocol.json";
import { isIncoming, KINDS } from "../src/protocol";
import { VIEWS } from "../src/views";
import { decodeArrays } from "../src/wire/arrays";

const bytes = (hex: string) =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

describe("the fixture that Python and TypeScript share", () => {
  it("names the kinds of request", () => {
    expect([...KINDS, "cancel"].sort()).toEqual(Object.keys(fixture.kinds).sort());
  });

  it("names the views", () => {
    expect(VIEWS.map(({ id }) => id)).toEqual(fixture.choices.view);
  });

  it("holds a reply that is read as it was meant", () => {
    expect(isIncoming(fixture.reply)).toBe(true);
    const arrays = decodeArrays(fixture.reply.header, fixture.buffers_hex.map(bytes));
    expect(arrays.weights).toEqual(new Float32Array([1.5, -2, Number.NaN]));
    expect(arrays.counts).toEqual(new Uint32Array([1, 2 ** 31]));
    expect(arrays.labels).toEqual(new Uint8Array([0, 255]));
  });

  it("names the statuses of a reply", () => {
    for (const status of fixture.statuses) {
      expect(isIncoming({ id: "1", status, header: {} })).toBe(true);
    }
    expect(isIncoming({ id: "1", status: "done", header: {} })).toBe(false);
  });
});
