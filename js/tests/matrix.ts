// A similarity matrix as the kernel sends it.
import type { Measure, Side } from "../src/protocol";
import { type FakeModel, layer, structure } from "./fake";

export const KEYS = ["conv1", "layer1.0.conv1", "layer1.0.conv2"];
export const LAYERS = KEYS.map((key) => layer(key));

const measure = (name: string, more: Partial<Measure> = {}): Measure => ({
  name,
  title: name.toUpperCase(),
  equation: "HSIC1(K, L)",
  source: "Nguyen 2021",
  needs: "at least 4 samples",
  invariant: ["rotation"],
  identical: 1,
  parameters: [],
  ...more,
});

export const OFFERED = {
  ...structure(LAYERS),
  similarity: {
    measures: [
      measure("cka"),
      measure("cka_rbf", {
        parameters: [
          { name: "t", kind: "float", default: 1, help: "width", low: 0, high: 100, choices: [] },
          {
            name: "debiased",
            kind: "bool",
            default: false,
            help: "",
            low: null,
            high: null,
            choices: [],
          },
        ],
      }),
      measure("pwcca"),
      measure("procrustes", { identical: 0 }),
    ],
    layer_sets: [
      { name: "convs", title: "convolutions" },
      { name: "all", title: "all modules" },
    ],
    comparisons: [
      { name: "self", row: "Net", column: "Net", title: "with itself" },
      { name: "inputs", row: "Net", column: "Net", title: "on other inputs" },
    ],
  },
} as const;

export const side = (key: string, more: Partial<Side> = {}): Side => ({
  key,
  kind: "Conv2d",
  shape: [16, 8, 8],
  same_as: null,
  reason: null,
  ...more,
});

export const VALUES = Float32Array.of(1, 0.5, 0.25, 0.5, 1, 0.75, 0.25, 0.75, 1);

interface Answer {
  values?: Float32Array;
  reverse?: Float32Array;
  status?: string;
  header?: object;
  kind?: "similarity" | "compared";
}

/** Answers the newest request of the kind; `header` and what is not said are as usual. */
export function answer(
  model: FakeModel,
  { values = VALUES, reverse, status, header, kind = "similarity" }: Answer = {},
) {
  const { id, params } = model.last(kind);
  const all = {
    matrix: values,
    stderr: values.map((value) => value / 10),
    ...(reverse && { reverse }),
  };
  const shape = [3, 3];
  const whole = {
    ...params,
    revision: 0,
    row_title: "Net",
    column_title: "Net",
    rows: KEYS.map((key) => side(key)),
    columns: KEYS.map((key) => side(key)),
    done: 2,
    total: 8,
    n: 64,
    batches: 2,
    batch_size: 32,
    estimator: "CKA, n = 64 in 2 batches of 32",
    finished: status !== "progress",
    notes: [],
    mismatch: "different numbers of positions",
    directed: reverse !== undefined,
    label: "CKA",
    arrays: Object.keys(all).map((name) => ({ name, dtype: "float32", shape })),
    ...header,
  };
  model.reply(
    id,
    whole,
    Object.values(all).map((array) => array.slice().buffer),
    status,
  );
}
