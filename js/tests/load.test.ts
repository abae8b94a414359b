import { expect, it } from "vitest";
import type { Client } from "../src/client";
import { type FilterSet, loadClusters, loadFilters, MOST_WEIGHTS, shownOutputs } from "../src/load";

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
