// What is said of a network before and after it was compressed.
import type { Beside } from "./features";

/** Which of the two is the compressed one; "auto": the one that takes fewer bytes. */
export type After = "auto" | Beside;
export type RankedBy =
  | "cost"
  | "output_sqnr"
  | "isolated_sqnr"
  | "weight_sqnr"
  | "output_cosine"
  | "cka"
  | "exact_zeros";

export interface CompressionParams {
  compression: { after: After };
  compression_known: { after: After };
  compression_flips: { after: After; start: number };
  /** Keys of a layer and of its counterpart; "": none. */
  compression_scales: Record<Beside, string>;
}

/** A layer in both models, and why figures of it are missing. */
export type Matched = Record<Beside, string> & {
  how: string;
  notes: string[];
  reasons: Record<string, string>;
};

export interface CompressionHeaders {
  compression: CompressionParams["compression"] & {
    revision: number;
    /** The compressed one, and what both are called. */
    side: Beside;
    title: string;
    before: string;
    done: number;
    total: number | null;
    label: string;
    finished: boolean;
    /** Of the figures. */
    columns: string[];
    layers: Matched[];
    overall: {
      n: number;
      accuracy: number | null;
      reference_accuracy: number | null;
      agreement: number | null;
      output_sqnr: number | null;
      size: number | null;
      reference_size: number | null;
      packed: number;
      reference_packed: number;
    };
    /** Share of all weights that are 0, before and after. */
    zeros: [number | null, number | null];
    /** Inputs on which each layer was compressed alone. */
    isolated: number;
    /** Layers without a counterpart. */
    alone: Record<Beside, string[]>;
    notes: string[];
  };
  compression_known: { found: boolean; side: Beside } & Partial<CompressionHeaders["compression"]>;
  compression_flips: CompressionParams["compression_flips"] & {
    revision: number;
    stop: number;
    /** Why there are no pictures. */
    reason: string | null;
    /** Which of the page have a picture, counted from its start. */
    at: number[];
    /** Inputs that the strip holds too, at their place. */
    held: number[];
    thumbnail: [height: number, width: number];
  };
  compression_scales: CompressionParams["compression_scales"] &
    Partial<Record<`${Beside}_grid`, Grid>>;
}

/** How a layer's weight is quantised; only `reason` where it is not. */
export interface Grid {
  reason: string | null;
  key?: string;
  bits?: number;
  per_channel?: boolean;
  /** Scale, zero point and bits by which the layer's input is rounded. */
  input?: [number, number, number] | null;
}

export interface CompressionReplies {
  /** `flips`: index, class before, class after, true class (-1: not known) of each. */
  compression: { figures: Float32Array; flips: Int32Array };
  compression_known: Partial<CompressionReplies["compression"]>;
  compression_flips: { thumbnails?: Uint8Array };
  /** Of each channel: scale, zero point, least and largest integer. */
  compression_scales: {
    [K in Beside as `${K}_scales`]?: Float32Array;
  } & { [K in Beside as `${K}_zeros` | `${K}_span`]?: Int32Array };
}

/** What layers can be ranked by; null where there is no report. */
export interface CompressionOffer {
  rankings: Ranking[];
}

export interface Ranking {
  name: RankedBy;
  title: string;
  unit: "share" | "dB" | "likeness";
  help: string;
  /** The largest comes first. */
  falling: boolean;
}

export const COMPRESSION_KINDS = [
  "compression",
  "compression_known",
  "compression_flips",
  "compression_scales",
] as const;
