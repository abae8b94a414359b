// What is said of attributions: which methods there are, their maps, and how these agree.
import type { Parameter } from "../protocol";
import type { Beside } from "../wire/features";

export interface SaliencyParams {
  /** Which methods can be had of the models, about this layer. */
  preflight: { layer: string };
  saliency: SaliencyAsked;
  /** `saliencies`: what each of the maps was asked with, a JSON list. */
  agreement: { saliencies: string };
  sanity: SaliencyAsked;
}

export interface SaliencyAsked {
  /** The input, by its place. */
  input: number;
  /** "predicted", "label", "channel" or the index of a class. */
  target: string;
  method: string;
  /** "" where the method is about no layer. */
  layer: string;
  /** Of the layer, where the target is one; else -1. */
  channel: number;
  side: Beside;
  /** "" where the method has none. */
  baseline: string;
  /** JSON of what differs from the method's defaults. */
  settings: string;
}

export interface SaliencyHeaders {
  /** Why a method cannot be had, by name; null: it can. */
  preflight: { layer: string } & Partial<Record<Beside, Record<string, string | null>>>;
  saliency: SaliencyAsked & {
    revision: number;
    done: number;
    total: number | null;
    /** Channels, height, width. */
    shape: number[];
    /** The class explained; null where it is none. */
    explained: number | null;
    predicted: number | null;
    probability: number | null;
    /** What the map misses of what it should add up to, as a share of it; null: says nothing. */
    missing: number | null;
    notes: string[];
  };
  agreement: { pairs: Pair[] };
  sanity: SaliencyAsked & {
    revision: number;
    done: number;
    total: number | null;
    /** Randomised so far, the last layer first; beside each what is left of the map. */
    layers: string[];
    rank_correlation: (number | null)[];
    /** In plain words; "" until it is through. */
    verdict: string;
    passes: boolean | null;
  };
}

export interface Pair {
  first: number;
  second: number;
  rank_correlation: number | null;
  ssim: number | null;
  cosine: number | null;
}

export interface SaliencyReplies {
  preflight: Record<string, never>;
  saliency: { values: Float32Array };
  agreement: Record<string, never>;
  sanity: Record<string, never>;
}

/** A way to attribute, declared in Python. */
export interface Method {
  name: string;
  title: string;
  help: string;
  family: "gradient" | "layer" | "perturbation";
  needs: string;
  source: string;
  /** Its values say for and against. */
  signed: boolean;
  takes_baseline: boolean;
  takes_layer: boolean;
  has_delta: boolean;
  parameters: Parameter[];
}

/** What the view offers; null where the Lens has no inputs. */
export interface SaliencyOffer {
  methods: Method[];
  baselines: string[];
  /** Conventions of how pixels become inputs. */
  scales: { name: string; mean: number[]; std: number[] }[];
}

export const SALIENCY_KINDS = ["preflight", "saliency", "agreement", "sanity"] as const;
