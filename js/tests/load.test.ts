import { expect, it, vi } from "vitest";
import { type Client, Superseded } from "../src/client";
import {
  type FilterSet,
  joined,
  loadClusters,
  loadFilters,
  MOST_WEIGHTS,
  shownOutputs,
} from "../src/load";

/** A layer of `out` outputs with one weight each per input, in pages; each weight is its output. */
function pages(out: number, inputs: number, page: number) {
  const asked: number[] = [];
  const request = async (kind: string, { start }: { start: number }) => {
    asked.push(start);
    const stop = Math.min(out, start + page);
    const weights = new Float32Array((stop - start) * inputs);
    for (let row = start; row < stop; row++) {
      weights.fill(row, (row - start) * inputs, (row - start + 1) * inputs);
    }
    const header = { start, stop, page, out, inputs, kernel: [], max_abs: 1 };
    const empty = new Float32Array(0);
    const rest = { eigenimages: empty, explained: empty, mean: empty };
    return kind === "filters"
      ? { header, arrays: { weights, ...rest } }
      : { header, arrays: { labels: new Uint8Array(weights) } };
  };
  return { client: { request } as unknown as Client, asked };
}

it("puts the pages of a layer together", async () => {
  const { client, asked } = pages(7, 2, 3);
  const shown: FilterSet[] = [];
  const set = await loadFilters(client, "fc", (part) => shown.push(part));
  expect(asked).toEqual([0, 3, 6]);
  expect(shown.map(({ loaded }) => loaded)).toEqual([3, 6]);
  expect([...set.weights]).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]);
  expect([set.out, set.outputs, set.loaded]).toEqual([7, 7, 7]);
  expect([...(await loadClusters(client, "fc", 7, 2))]).toEqual([...set.weights]);
});

it("shows the first outputs of a layer that is too large, and fetches no more", async () => {
  const inputs = MOST_WEIGHTS / 4;
  const { client, asked } = pages(9, inputs, 3);
  const set = await loadFilters(client, "fc", () => {});
  expect(asked).toEqual([0, 3]);
  expect([set.out, set.outputs]).toEqual([4, 9]);
  expect(set.weights.length).toBe(MOST_WEIGHTS);
  expect(set.weights[MOST_WEIGHTS - 1]).toBe(3);
  const labels = await loadClusters(client, "fc", shownOutputs(9, inputs), inputs);
  expect(labels.length).toBe(MOST_WEIGHTS);
  expect(labels[MOST_WEIGHTS - 1]).toBe(3);
});

it("shows one output of a layer however large that is", () => {
  expect(shownOutputs(3, 10 * MOST_WEIGHTS)).toBe(1);
  expect(shownOutputs(5, 0)).toBe(5);
});

/** A layer of these weights that comes in halves; `changed` is what the weights are by then. */
function halves(weights: Float32Array, changed: Float32Array | null = null) {
  const asked: [string, object][] = [];
  const bits = new Uint32Array(weights.buffer);
  const request = async (kind: string, params: object) => {
    asked.push([kind, params]);
    if (kind === "filters_exact") {
      return {
        header: {},
        arrays: changed ? { weights: changed } : { lower: Uint16Array.from(bits) },
      };
    }
    const out = weights.length;
    const header = { start: 0, stop: out, page: out, out, inputs: 1, kernel: [], reading: 7 };
    return { header, arrays: { upper: Uint16Array.from(bits, (word) => word >>> 16) } };
  };
  return { client: { request } as unknown as Client, asked };
}

const MIXED = Float32Array.of(0.1, -2.71, 0, -0, 1e-40, 3.4e38, Infinity, -Infinity, Number.NaN);

it("shows a large layer after half of its bits, and then every one of them", async () => {
  const { client, asked } = halves(MIXED);
  const shown: FilterSet[] = [];
  const set = await loadFilters(client, "c", (part) => shown.push(part));
  expect(asked).toEqual([
    ["filters", { layer: "c", start: 0 }],
    ["filters_exact", { layer: "c", reading: 7 }],
  ]);
  expect(set.weights).toEqual(MIXED);
  const [first] = shown;
  expect([first?.loaded, first?.out]).toEqual([9, 9]);
  MIXED.forEach((weight, at) => {
    const coarse = first?.weights[at] as number;
    if (!Number.isFinite(weight) || weight === 0) expect(coarse).toBe(weight);
    else expect(Math.abs(coarse - weight)).toBeLessThanOrEqual(Math.abs(weight) / 256 + 1e-40);
  });
});

it("asks for the rest once there was a frame to paint the first half in", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  const frames: FrameRequestCallback[] = [];
  vi.stubGlobal("requestAnimationFrame", (run: FrameRequestCallback) => frames.push(run));
  try {
    const { client, asked } = halves(MIXED);
    const shown: FilterSet[] = [];
    const whole = loadFilters(client, "c", (part) => shown.push(part));
    await vi.advanceTimersByTimeAsync(1000);
    expect([shown.length, asked.length]).toEqual([1, 1]);
    for (const frame of frames) frame(0);
    expect(asked.length).toBe(1);
    await vi.advanceTimersByTimeAsync(250);
    expect(asked.length).toBe(2);
    expect((await whole).weights).toEqual(MIXED);
  } finally {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  }
});

it("leaves the rest of a layer that one has gone on from, and says so", async () => {
  const { client, asked } = halves(MIXED);
  const shown: FilterSet[] = [];
  const whole = loadFilters(
    client,
    "c",
    (part) => shown.push(part),
    "filters",
    () => false,
  );
  await expect(whole).rejects.toThrow(Superseded);
  expect([shown.length, asked.length]).toEqual([1, 1]);
});

it("takes weights as they are by then where they have changed meanwhile", async () => {
  const changed = Float32Array.of(5, 6);
  const { client } = halves(Float32Array.of(1, 2), changed);
  expect((await loadFilters(client, "c", () => {})).weights).toEqual(changed);
});

it("takes the middle where half the bits are missing, and leaves what has none", () => {
  const upper = Uint16Array.of(0, 0x8000, 1, 0xbf80, 0x7f7f, 0x7f80, 0xff80, 0x7fc0, 0xffff);
  const found = new Uint32Array(joined(upper).buffer);
  const middle = [false, false, true, true, true, false, false, false, false];
  expect(Array.from(found)).toEqual(
    Array.from(upper, (high, at) => high * 0x10000 + (middle[at] ? 0x8000 : 0)),
  );
});

it("puts the bits of a weight together", () => {
  expect(joined(Uint16Array.of(0xbf80, 0x3f80), Uint16Array.of(0, 1))).toEqual(
    Float32Array.of(-1, 1 + 2 ** -23),
  );
});
