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

/** A layer in both models, in words. */
export type Matched = Record<Beside, string> & {
  /** How the two were matched. */
  how: string;
  /** By what it can be ranked by: its value, "" where it is missing, and why. */
  texts: Record<RankedBy, string>;
  missing: Partial<Record<RankedBy, string>>;
  /** As `CompressionOffer.figures` names them; "": none. */
  figures: string[];
  notes: string[];
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
    /** Inputs so far. */
    n: number;
    /** Of the whole: name, value, what to add, and what it means. */
    facts: [name: string, value: string, more: string, help: string][];
    layers: Matched[];
    /** The worst layer first, and of each layer how long its bar is, of the longest. */
    rankings: Record<RankedBy, { order: number[]; shares: number[] }>;
    /** Of the class before: flips, lost, won, and the class that most went to. */
    classes: [before: number, flips: number, lost: number, won: number, most: number][];
    /** Both tell the same classes apart. */
    classified: boolean;
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
  compression: { flips: Int32Array };
  compression_known: Partial<CompressionReplies["compression"]>;
  compression_flips: { thumbnails?: Uint8Array };
  /** Of each channel: scale, zero point, least and largest integer. */
  compression_scales: {
    [K in Beside as `${K}_scales`]?: Float32Array;
  } & { [K in Beside as `${K}_zeros` | `${K}_span`]?: Int32Array };
}

/** What layers can be ranked by, and what is told of each: names, and what they mean. */
export interface CompressionOffer {
  /** What there is no report without; null: nothing is missing. */
  missing: { title: string; text: string; code: string[] } | null;
  rankings: { name: RankedBy; title: string; help: string }[];
  figures: [name: string, help: string][];
}

export const COMPRESSION_KINDS = [
  "compression",
  "compression_known",
  "compression_flips",
  "compression_scales",
] as const;
