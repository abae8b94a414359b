// What a kernel says of the drift of three layers.
import type { Drifted } from "../src/wire/drift";
import type { FakeModel } from "./fake";
import { layer } from "./fake";

export const KEYS = ["conv1", "layer1.conv1", "layer1.conv2"];
export const LAYERS = [
  ...KEYS.map((key) => layer(key)),
  layer("fc", { kind: "Linear", shape: [10, 64] }),
];
const POINTS = 5;

export const drifted = (key: string, more: Partial<Drifted> = {}): Drifted => ({
  key,
  drift: 0.4,
  floor: 0.1,
  floor_high: 0.2,
  noise: false,
  sparsity: 0.1,
  entropy: 0.9,
  beside: 0,
  legend: "summary",
  said: ["drift 0.400, noise up to 0.200", "2.0 times what noise makes"],
  sentences: [`Your ${key} is less diverse than 93% of layers at this depth.`, "Its drift is."],
  ...more,
});

export const ROWS = [
  drifted("conv1", { noise: true, drift: 0.15 }),
  drifted("layer1.conv1"),
  drifted("layer1.conv2", { drift: null, floor: null, floor_high: null, entropy: null }),
  drifted("all layers", { drift: 0.05 }),
];

/** Answers the newest request; `header` and what is not said are as usual. */
export function answer(model: FakeModel, header: object = {}, status = "ok") {
  const { id, params } = model.last("drift");
  const rows = ROWS.length;
  const curves = new Float32Array(rows * 9 * POINTS).fill(0.25);
  // the layer without a value has no filters
  curves.fill(Number.NaN, 2 * 9 * POINTS, 3 * 9 * POINTS);
  const arrays: [string, Float32Array, number[]][] = [
    ["curves", curves, [rows, 9, POINTS]],
    ["others", new Float32Array(9 * POINTS).fill(0.5), [1, 9, POINTS]],
    ["parts", new Float32Array(rows * 9).fill(0.04), [rows, 9]],
    ["bands", new Float32Array(18).fill(0.5), [2, 3, 3]],
    ["components", new Float32Array(162).fill(0.3), [2, 9, 9]],
    ["explained", new Float32Array(18).fill(1 / 9), [2, 9]],
  ];
  const whole = {
    ...params,
    revision: 0,
    done: 3,
    total: 3,
    other: "summary",
    made: "made by the project from 24 small nets of its own",
    groups: [
      ["all", "all layers"],
      ["depth", "layers at the same depth"],
      ["memorising", "memorising"],
    ],
    titles: [["Drift from all layers", "Drift"], ["Entropy"], ["Sparsity"]],
    signs: ["what noise makes", "90 % of the summary"],
    rows: ROWS,
    span: [-2, 2],
    about: "small networks, not a sample of the world",
    how: ["D = Σ", "depth by the graph"],
    missing: [["fc", "Linear: no filters"]],
    arrays: arrays.map(([name, , shape]) => ({
      name,
      dtype: "float32",
      shape,
    })),
    ...header,
  };
  const buffers = arrays.map(([, array]) => array.slice().buffer);
  model.reply(id, whole, buffers, status);
}
