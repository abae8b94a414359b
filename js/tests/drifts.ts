// What a kernel says of the drift of three layers.
import type { FakeModel } from "./fake";
import { layer } from "./fake";

export const KEYS = ["conv1", "layer1.conv1", "layer1.conv2"];
export const LAYERS = [
  ...KEYS.map((key) => layer(key)),
  layer("fc", { kind: "Linear", shape: [10, 64] }),
];
export const BINS = 70;

export const drifted = (key: string, more: object = {}) => ({
  key,
  depth_norm: 0.5,
  n: 256,
  left_out: 0,
  drift: 0.4,
  floor: 0.1,
  floor_high: 0.2,
  p: 0,
  noise: false,
  sparsity: 0.1,
  entropy: 0.9,
  sparsity_rank: 0.25,
  entropy_rank: 0.07,
  group: "all",
  text: `${key} is less diverse than 93% of layers at this depth`,
  ...more,
});

export const ROWS = [
  drifted("conv1", { noise: true, drift: 0.15, p: 0.3 }),
  drifted("layer1.conv1"),
  drifted("layer1.conv2", { drift: null, entropy_rank: null, left_out: 4 }),
  drifted("all layers", { drift: 0.05, floor_high: 0.001, entropy_rank: null }),
];

/** Answers the newest request; `header` and what is not said are as usual. */
export function answer(model: FakeModel, header: object = {}, status = "ok") {
  const { id, params } = model.last("drift");
  const rows = ROWS.length;
  const counts = new Uint32Array(rows * 9 * BINS).fill(3);
  const arrays: [string, Uint32Array | Float32Array, number[]][] = [
    ["counts", counts, [rows, 9, BINS]],
    ["others", new Uint32Array(9 * BINS).fill(5), [1, 9, BINS]],
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
    title: "small networks, not a sample of the world",
    models: 24,
    filters: 131346,
    groups: ["all", "depth", "depth 0.0", "memorising"],
    shown: ["all"],
    rows: ROWS,
    beside: [24, 48, 48],
    span: [-2, 2],
    missing: [["fc", "Linear: no filters"]],
    notes: ["depth by the graph"],
    arrays: arrays.map(([name, array, shape]) => ({
      name,
      dtype: array instanceof Uint32Array ? "uint32" : "float32",
      shape,
    })),
    ...header,
  };
  const buffers = arrays.map(([, array]) => array.slice().buffer);
  model.reply(id, whole, buffers, status);
}
