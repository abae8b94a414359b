// The wire between front end and kernel: mirrors convlens/widget/protocol.py, and both are held to
// tests/fixtures/protocol.json.

export type Scalar = Float32Array | Uint8Array | Uint16Array | Uint32Array | Int32Array;
export type Dtype = "float32" | "uint8" | "uint16" | "uint32" | "int32";

export interface ArraySpec {
  name: string;
  dtype: Dtype;
  shape: number[];
}

/** One layer as `_structure` lists it: known before anything is measured. */
export interface LayerInfo {
  key: string;
  name: string;
  call: number;
  kind: string;
  /** (out, in / groups, *kernel); [] where it is not known (lazy). */
  shape: number[];
  groups: number;
  transposed: boolean;
  parameters: number;
  dtype: string;
  device: string;
  notes: string[];
  /** Why the layer has no score, or null. */
  reason: string | null;
}

export interface Structure {
  model: {
    title: string;
    parameters: number;
    dtype: string;
    device: string;
    inputs: number | null;
    notes: string[];
  };
  reference: { title: string; parameters: number } | null;
  layers: LayerInfo[];
  /** Log-spaced, ascending; `Row.curve` counts sparse filters at each. */
  eps_grid: number[];
  /** Templates of Python; of similarity one for each comparison. */
  code: { quality: string; filters: string; similarity: Partial<Record<Compared, string>> };
  guides: { good: number; random: number; redundant: number };
  /** What can be compared; null where the Lens has no inputs. */
  similarity: {
    measures: Measure[];
    layer_sets: { name: LayerSet; title: string }[];
    comparisons: { name: Compared; row: string; column: string; title: string }[];
  } | null;
  /** Names of the classes by index; empty where the Lens was not told. */
  classes: string[];
  /** The Lens was given the true class of each input. */
  labelled: boolean;
  offline: boolean;
}

/** A parameter of a measure or method, declared in Python. */
export interface Parameter {
  name: string;
  kind: "float" | "int" | "bool" | "choice";
  default: Setting;
  help: string;
  /** A float lies above `low`, an int may be `low`; both are `high` at most. */
  low: number | null;
  high: number | null;
  choices: string[];
}

export type Setting = number | boolean | string;
/** Parameters by name, those that differ from their defaults. */
export type Settings = Readonly<Record<string, Setting>>;

export interface Measure {
  name: string;
  title: string;
  equation: string;
  source: string;
  needs: string;
  /** What may be done to features without changing the value. */
  invariant: string[];
  /** Of a layer with itself: 1 of a similarity, 0 of a distance. */
  identical: number;
  parameters: Parameter[];
}

/** A row or column of a similarity matrix: a call of a module. */
export interface Side {
  key: string;
  kind: string;
  /** Of one sample's output. */
  shape: number[];
  /** An earlier one that emits the very same tensor. */
  same_as: string | null;
  /** Why it has no values, or null. */
  reason: string | null;
}

export type Tone = "good" | "warn" | "bad" | "none";

/** One layer's quality: `LayerQuality.to_json()` with its curve and verdict. */
export interface Row {
  key: string;
  n: number;
  kernel: number[];
  eps: number;
  sparsity: number | null;
  variance_entropy: number | null;
  variance_entropy_normalized: number | null;
  variance_entropy_clean: number | null;
  variance_entropy_clean_normalized: number | null;
  entropy_of_random: number | null;
  random_threshold: number | null;
  p_random: number | null;
  orthogonality: number | null;
  orthogonality_excluded: number | null;
  l1: number | null;
  l2: number | null;
  max_abs: number | null;
  exact_zeros: number | null;
  dead_outputs: number | null;
  dead_inputs: number | null;
  out: number;
  inputs: number;
  explained_variance: number[];
  reason: string | null;
  /** Field -> why it is null. */
  omitted: Record<string, string>;
  /** Sparse filters at each value of `Structure.eps_grid`. */
  curve: number[];
  verdict: { title: string; text: string; tone: Tone };
}

export interface Summary {
  eps: number;
  revision: number;
  rows: Row[];
}

export interface Params {
  hello: Record<string, never>;
  quality: { eps: number };
  distribution: { layer: string };
  filters: { layer: string; start: number };
  cluster: { layer: string; start: number };
  similarity: { measure: string; comparison: Compared; layer_set: LayerSet; settings: string };
  compared: Params["similarity"];
  inputs: { start: number };
  picture: { index: number };
  upload: { name: string; data: string };
  refresh: Record<string, never>;
}

/** How inputs become pixels from 0 to 1: input * std + mean, one value or one per channel. */
export interface PixelScale {
  mean: number[];
  std: number[];
  /** Given by the user, found to fit exactly, guessed since it fits, or stretched over the values. */
  how: "given" | "found" | "guessed" | "stretched";
  /** Of a convention ("ImageNet"), or "". */
  scale: string;
}

/** Inputs start to stop: of the given ones, then of the files that were dropped. */
export interface InputRows extends PixelScale {
  revision: number;
  start: number;
  stop: number;
  /** null until all were read. */
  total: number | null;
  /** Read so far of what the Lens was given. */
  given: number;
  /** There were more than there is room for. */
  more: boolean;
  /** Channels, height, width. */
  shape: number[];
  /** 0 where the model gives no score per class. */
  classes: number;
  /** Of files, by place. */
  names: Record<string, string>;
}

/** Of each input: its picture, its true class (-1: not known), what the models say. */
export interface InputArrays {
  /** (n, height, width, 3). */
  thumbnails: Uint8Array;
  labels: Int32Array;
  predicted?: Int32Array;
  probability?: Float32Array;
  reference_predicted?: Int32Array;
  reference_probability?: Float32Array;
}

export interface Headers {
  hello: { concurrent: boolean; revision: number; version: number };
  quality: Summary;
  distribution: {
    layer: string;
    low: number;
    high: number;
    peak_low: number;
    peak_high: number;
    n: number;
  };
  filters: {
    layer: string;
    start: number;
    stop: number;
    out: number;
    inputs: number;
    kernel: number[];
    max_abs: number | null;
    /** Outputs in a full page: the next page starts at `start + page`. */
    page: number;
  };
  cluster: { layer: string; start: number; k: number };
  similarity: Params["similarity"] & {
    revision: number;
    row_title: string;
    column_title: string;
    rows: Side[];
    columns: Side[];
    /** Batches so far, and in all; null or 0 where that is not known. */
    done: number;
    total: number | null;
    n: number;
    batches: number;
    batch_size: number;
    /** Estimator, n and batch size in one line. */
    estimator: string;
    finished: boolean;
    notes: string[];
    /** Why a cell has no value though its row and its column have. */
    mismatch: string;
    directed: boolean;
  };
  /** What was computed before for the same, where there is any. */
  compared: { found: boolean } & Partial<Headers["similarity"]>;
  inputs: InputRows;
  picture: PixelScale & { revision: number; index: number; label: number | null; name: string };
  upload: InputRows;
  refresh: { revision: number };
}

export interface Arrays {
  hello: Record<string, never>;
  quality: Record<string, never>;
  distribution: { weights: Uint32Array; peaks: Uint32Array };
  filters: {
    weights: Float32Array;
    eigenimages: Float32Array;
    explained: Float32Array;
    mean: Float32Array;
  };
  cluster: { labels: Uint8Array };
  /** (rows, columns), NaN where there is none; `reverse` of a directed measure: the other way. */
  similarity: { matrix: Float32Array; stderr: Float32Array; reverse?: Float32Array };
  compared: Partial<Arrays["similarity"]>;
  inputs: InputArrays;
  /** The input (channels, height, width) as the model takes it; the probability of each class. */
  picture: { image: Float32Array; scores?: Float32Array; reference_scores?: Float32Array };
  upload: InputArrays;
  refresh: Record<string, never>;
}

export type Kind = keyof Params;
export const KINDS = [
  "hello",
  "quality",
  "distribution",
  "filters",
  "cluster",
  "similarity",
  "compared",
  "inputs",
  "picture",
  "upload",
  "refresh",
] as const;

export interface Outgoing {
  id: string;
  client: string;
  kind: Kind | "cancel";
  params: object;
}

export type Status = "progress" | "ok" | "error" | "cancelled";

export interface Incoming {
  id: string | null;
  status: Status;
  header: Record<string, unknown>;
}

/** How far a request is, and what there is of its reply so far. */
export type Progress<K extends Kind> = { done: number; total: number | null; label: string } & {
  [F in Exclude<keyof Headers[K], "done" | "total">]?: Headers[K][F];
};

export type View = "quality" | "filters" | "similarity";
export type Sort = "position" | "norm" | "entropy" | "cluster";
export type Scale = "filter" | "layer" | "model";
export type Entropy = "normalized" | "raw" | "clean";
export type Compared = "self" | "inputs" | "reference";
export type LayerSet = "convs" | "all";

/** The traits a person (or a cell) sets. */
export interface Traits {
  layer: string;
  channel: number | null;
  view: View;
  eps: number;
  sort: Sort;
  scale: Scale;
  entropy: Entropy;
  measure: string;
  measure_settings: Settings;
  comparison: Compared;
  layer_set: LayerSet;
  /** The column of the chosen cell; its row is `layer`. */
  reference_layer: string | null;
  /** Colours span the values there are, not all that there can be. */
  fit: boolean;
  /** The chosen input, by its place. */
  input_index: number;
  /** How pixels became inputs, (pixel - mean) / std; null: what fits. */
  mean: number[] | null;
  std: number[] | null;
}

/** The traits that the kernel alone writes. */
export interface KernelTraits {
  stale: boolean;
  closed: boolean;
  revision: number;
  _structure: Structure;
  _summary: Summary | Record<string, never>;
}

/** True for a message that has the shape of a reply; anything else is left alone. */
export function isIncoming(message: unknown): message is Incoming {
  if (typeof message !== "object" || message === null) return false;
  const { id, status, header } = message as Record<string, unknown>;
  return (
    (id === null || typeof id === "string") &&
    (status === "progress" || status === "ok" || status === "error" || status === "cancelled") &&
    typeof header === "object" &&
    header !== null
  );
}

const CONSTRUCTORS = {
  float32: Float32Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  int32: Int32Array,
} as const;

/**
 * Typed arrays from the buffers of a reply. A host hands over a DataView, an ArrayBuffer or a
 * Uint8Array, often a window into something larger at an odd offset, so the window is honoured and
 * bytes are copied only where the offset is not a multiple of the element size.
 */
export function decodeArrays(header: Record<string, unknown>, buffers: readonly unknown[]) {
  const specs = (header.arrays ?? []) as ArraySpec[];
  if (specs.length !== buffers.length) {
    throw new Error(`the reply lists ${specs.length} arrays and brings ${buffers.length} buffers`);
  }
  const arrays: Record<string, Scalar> = {};
  specs.forEach(({ name, dtype, shape }, index) => {
    const Type = CONSTRUCTORS[dtype];
    if (!Type) throw new Error(`array "${name}" has the unknown dtype "${dtype}"`);
    const { buffer, offset, bytes } = span(buffers[index]);
    const count = shape.reduce((product, side) => product * side, 1);
    if (bytes !== count * Type.BYTES_PER_ELEMENT) {
      const expected = count * Type.BYTES_PER_ELEMENT;
      throw new Error(`array "${name}" should take ${expected} bytes and brings ${bytes}`);
    }
    arrays[name] =
      offset % Type.BYTES_PER_ELEMENT === 0
        ? new Type(buffer, offset, count)
        : new Type(buffer.slice(offset, offset + bytes));
  });
  return arrays;
}

function span(part: unknown): { buffer: ArrayBuffer; offset: number; bytes: number } {
  if (ArrayBuffer.isView(part)) {
    const buffer = part.buffer as ArrayBuffer;
    return { buffer, offset: part.byteOffset, bytes: part.byteLength };
  }
  // Not instanceof: a buffer may come from another frame (Colab, VS Code), with its own ArrayBuffer.
  if (Object.prototype.toString.call(part) === "[object ArrayBuffer]") {
    const buffer = part as ArrayBuffer;
    return { buffer, offset: 0, bytes: buffer.byteLength };
  }
  throw new Error("a buffer of the reply is neither an ArrayBuffer nor a view of one");
}
