// The wire between front end and kernel: mirrors convlens/widget/protocol.py, and both are held to
// tests/fixtures/protocol.json.
import {
  type After,
  COMPRESSION_KINDS,
  type CompressionHeaders,
  type CompressionOffer,
  type CompressionParams,
  type CompressionReplies,
  type RankedBy,
} from "./wire/compression";
import type {
  DriftAgainst,
  DriftHeaders,
  DriftParams,
  DriftReplies,
  DriftSource,
} from "./wire/drift";
import type { Beside, Excited, Extent, FeatureAsked, Fired, Synthesised } from "./wire/features";
import type { FilterHeaders, FilterParams, FilterReplies } from "./wire/filters";
import {
  HISTORY_KINDS,
  type HistoryArrays,
  type HistoryHeaders,
  type HistoryParams,
  type Past,
} from "./wire/history";
import type { InputHeaders, InputParams, InputReplies } from "./wire/inputs";
import type { Measure, Settings } from "./wire/parameters";
import type { Summary } from "./wire/quality";
import {
  type Paired,
  type PairedSummary,
  REFERENCE_KINDS,
  type ReferenceHeaders,
  type ReferenceParams,
  type ReferenceReplies,
} from "./wire/reference";
import {
  SALIENCY_KINDS,
  type SaliencyHeaders,
  type SaliencyOffer,
  type SaliencyParams,
  type SaliencyReplies,
} from "./wire/saliency";

export type { Measure, Parameter, Setting, Settings } from "./wire/parameters";
export type { Row, Summary, Tone } from "./wire/quality";

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
  code: {
    quality: string;
    history: string;
    filters: string;
    /** Of the reference's filters beside the model's, by what is shown. */
    reference_filters: Partial<Record<Paired | "theirs", string>>;
    features: string;
    saliency: { given: string | null; held: string };
    similarity: Partial<Record<Compared, string>>;
    drift: Partial<Record<DriftAgainst, string>>;
    /** By the model that is the compressed one. */
    compression: Partial<Record<Beside, string>>;
  };
  guides: { good: number; random: number; redundant: number };
  /** What can be compared; null where the Lens has no inputs. */
  similarity: {
    measures: Measure[];
    layer_sets: { name: LayerSet; title: string }[];
    comparisons: { name: Compared; row: string; column: string; title: string }[];
  } | null;
  /** What filters can be compared with. */
  drift: DriftSource[];
  features: {
    /** Sides that inputs often have, to choose from where nothing says it. */
    sizes: number[];
    /** Channels in a page. */
    page: number;
    /** There are inputs to look through for the ones that excite a channel. */
    searches: boolean;
  };
  /** What compression can be looked at by, or what is missing for that. */
  compression: CompressionOffer;
  /** What can explain a prediction; null where the Lens has no inputs. */
  saliency: SaliencyOffer | null;
  /** Names of the classes by index; empty where the Lens was not told. */
  classes: string[];
  /** The Lens was given the true class of each input. */
  labelled: boolean;
  offline: boolean;
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

export interface Params
  extends FilterParams,
    ReferenceParams,
    DriftParams,
    InputParams,
    SaliencyParams,
    HistoryParams,
    CompressionParams {
  hello: Record<string, never>;
  quality: { eps: number };
  similarity: { measure: string; comparison: Compared; layer_set: LayerSet; settings: string };
  features: FeatureAsked & { channel: number };
  feature_page: FeatureAsked & { side: Beside; start: number };
  top_inputs: { layer: string; channel: number };
  activations: { layer: string; channel: number; input: number };
  compared: Params["similarity"];
  refresh: Record<string, never>;
}

export interface Headers
  extends FilterHeaders,
    ReferenceHeaders,
    DriftHeaders,
    InputHeaders,
    SaliencyHeaders,
    HistoryHeaders,
    CompressionHeaders {
  hello: { concurrent: boolean; revision: number; version: number };
  quality: Summary;
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
  features: Params["features"] & {
    revision: number;
    done: number;
    total: number | null;
    /** Steps of one picture. */
    length: number;
    finished: boolean;
    /** What was guessed. */
    notes: string[];
    sides: Synthesised[];
  };
  feature_page: Params["feature_page"] & {
    revision: number;
    /** The next page starts at `stop`, of so many `channels`. */
    stop: number;
    channels: number;
    /** The channels that there are pictures of. */
    at: number[];
    extent: Extent;
    fires: (boolean | null)[];
  };
  top_inputs: Params["top_inputs"] & {
    revision: number;
    done: number;
    total: number | null;
    /** Inputs seen so far, and whether the loader has more than are looked at. */
    seen: number;
    more: boolean;
    finished: boolean;
    sides: Excited[];
  };
  activations: Params["activations"] & {
    revision: number;
    /** Of the input. */
    extent: Extent;
    sides: Fired[];
  };
  /** What was computed before for the same, where there is any. */
  compared: { found: boolean } & Partial<Headers["similarity"]>;
  refresh: { revision: number };
}

export interface Arrays
  extends FilterReplies,
    ReferenceReplies,
    DriftReplies,
    InputReplies,
    SaliencyReplies,
    HistoryArrays,
    CompressionReplies {
  hello: Record<string, never>;
  quality: Record<string, never>;
  /** (rows, columns), NaN where there is none; `reverse` of a directed measure: the other way. */
  similarity: { matrix: Float32Array; stderr: Float32Array; reverse?: Float32Array };
  /** Pictures, and the activation at each step so far. */
  features: ByBeside<{ picture: Uint8Array; curve: Float32Array }>;
  feature_page: { pictures: Uint8Array; values: Float32Array };
  top_inputs: ByBeside<{ pictures: Uint8Array }>;
  activations: ByBeside<{ map: Float32Array }> & { picture: Uint8Array };
  compared: Partial<Arrays["similarity"]>;
  refresh: Record<string, never>;
}

/** The arrays of each side, called "model_picture" and so on. */
export type ByBeside<T> = { [K in keyof T & string as `${Beside}_${K}`]?: T[K] };

export type Kind = keyof Params;
export const KINDS = [
  "hello",
  "quality",
  "distribution",
  "filters",
  "filters_exact",
  "cluster",
  "similarity",
  "features",
  "feature_page",
  "top_inputs",
  "activations",
  "compared",
  "drift",
  "inputs",
  "picture",
  "upload",
  ...SALIENCY_KINDS,
  ...COMPRESSION_KINDS,
  ...HISTORY_KINDS,
  ...REFERENCE_KINDS,
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

export type View =
  | "quality"
  | "filters"
  | "saliency"
  | "features"
  | "similarity"
  | "drift"
  | "compression";
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
  paired: Paired;
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
  /** What is explained: a class, the one predicted, the true one, the chosen channel. */
  target: number | "predicted" | "label" | "channel";
  /** The method that is looked at, and all whose maps are shown. */
  method: string;
  methods: string[];
  /** Of each method what differs from its defaults. */
  method_settings: Readonly<Record<string, Settings>>;
  /** What inputs are compared with, by the methods that compare. */
  baseline: string;
  /** How pixels became inputs, (pixel - mean) / std; null: what fits. */
  mean: number[] | null;
  std: number[] | null;
  /** null: as many as suit the size. */
  feature_steps: number | null;
  feature_seed: number;
  /** Side of a synthesised input; null: that of the inputs, or what the model takes. */
  feature_size: number | null;
  drift_against: DriftAgainst;
  drift_group: string;
  compression_by: RankedBy;
  compression_after: After;
  /** The moment that is looked at, by its step or its label; null: now. */
  step: number | string | null;
}

/** The traits that the kernel alone writes. */
export interface KernelTraits {
  stale: boolean;
  closed: boolean;
  revision: number;
  _structure: Structure;
  _summary: Summary | Record<string, never>;
  _paired: PairedSummary;
  /** Snapshots taken so far. */
  _taken: number;
  _past: Past;
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
