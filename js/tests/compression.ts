// A report as the kernel sends it, for tests.
import { act } from "preact/test-utils";
import type { Headers, Structure } from "../src/protocol";
import type { Matched, RankedBy } from "../src/wire/compression";
import { type FakeModel, layer, settle, structure } from "./fake";

export const KEYS = ["conv1", "conv2", "fc"];
export const LAYERS = KEYS.map((key) => layer(key));
export const OFFERED: Structure = {
  ...structure(LAYERS),
  reference: { title: "int8", parameters: 269722 },
  saliency: { methods: [], baselines: [], scales: [] },
  classes: ["cat", "dog", "owl"],
  code: {
    ...structure(LAYERS).code,
    compression: { model: "report(a, b)\n{by} {layer}", reference: "report(b, a)" },
  },
  compression: {
    missing: null,
    rankings: [
      { name: "cost", title: "cost, alone", help: "What is lost." },
      { name: "cka", title: "representation", help: "How alike." },
    ],
    figures: [
      ["cost", "Of the output"],
      ["CKA", "How alike"],
    ],
  },
};

const matched = (key: string, cost: string, cka: string, why = ""): Matched => ({
  model: key,
  reference: key,
  how: "name",
  texts: { cost, cka } as Matched["texts"],
  missing: why ? { cost: why } : {},
  figures: [cost, cka],
  notes: [],
});

/** Index, class before, class after, true class. */
export const FLIPS = [4, 0, 1, 0, 7, 1, 0, 0, 9, 0, 2, 1];

export const REPORT = {
  after: "auto",
  side: "model",
  title: "Net",
  before: "int8",
  done: 9,
  total: 9,
  label: "fc alone",
  finished: true,
  n: 64,
  facts: [["accuracy", "91.0 % → 72.3 %", "−18.8 points", "Right of 64"]],
  layers: [
    matched("conv1", "0.1 %", "0.900"),
    matched("conv2", "5.4 %", "0.800"),
    matched("fc", "", "0.990", "it cannot stand alone"),
  ],
  rankings: {
    cost: { order: [1, 0, 2], shares: [0.02, 1, 0] },
    cka: { order: [1, 0, 2], shares: [0.5, 1, 0.05] },
  } as Record<RankedBy, { order: number[]; shares: number[] }>,
  classes: [
    [0, 2, 1, 0, 1],
    [1, 1, 0, 1, 0],
  ],
  classified: true,
  alone: { model: ["extra"], reference: [] },
  notes: ["Costs are measured on 64 inputs."],
} as unknown as Headers["compression"];

/** Answers the newest request for a report. */
export async function answer(
  model: FakeModel,
  { header = {}, status = "ok", kind = "compression", flips = FLIPS } = {},
): Promise<void> {
  const { id, params } = model.last(kind);
  const whole = { ...REPORT, ...params, revision: model.get("revision"), ...header };
  await act(async () => {
    const spec = { name: "flips", dtype: "int32", shape: [flips.length / 4, 4] };
    model.reply(id, { ...whole, arrays: [spec] }, [new Int32Array(flips).buffer], status);
    await settle();
  });
}

/** Answers the newest request for pictures: one grey pixel each; the strip holds `held`. */
export async function picture(
  model: FakeModel,
  held: readonly number[],
  stop = FLIPS.length / 4,
): Promise<void> {
  const { id, params } = model.last("compression_flips");
  const at = Array.from({ length: stop }, (_, place) => place);
  const header = { ...params, stop, reason: null, at, held, thumbnail: [1, 1] };
  const spec = { name: "thumbnails", dtype: "uint8", shape: [stop, 1, 1, 3] };
  await act(async () => {
    model.reply(id, { ...header, arrays: [spec] }, [new Uint8Array(3 * stop).fill(128).buffer]);
    await settle();
  });
}
