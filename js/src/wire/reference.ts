// The wire of the reference: which layer is which, and for it what there is for the model.
import type { FilterHeaders, FilterParams, FilterReplies } from "./filters";
import type { Row } from "./quality";

/** Whose filters are shown. */
export type Paired = "model" | "reference" | "side by side" | "difference";

/** The layer of the reference that stands in the place of one of the model. */
export interface Partner {
  /** Key in the model. */
  layer: string;
  /** Key in the reference. */
  reference: string;
  how: "name" | "renamed" | "order";
  /** What was done about a batch norm that only one of the two has folded in; "" for nothing. */
  folded: string;
  shape: number[];
  /** Why it has no filters, or null. */
  reason: string | null;
}

export interface Matched {
  pairs: Partner[];
  /** Layers of the reference that the model has not. */
  alone: string[];
}

/** What a saved notebook keeps. */
export type PairedSummary = Partial<Matched & { rows: Row[]; eps: number; revision: number }>;

/** Layers in requests and replies, and keys of rows, are those of the model. */
export interface ReferenceParams {
  reference: { eps: number };
  reference_pairs: Record<string, never>;
  reference_distribution: FilterParams["distribution"];
  reference_filters: FilterParams["filters"];
}

export interface ReferenceHeaders {
  reference: { eps: number; revision: number; rows: Row[] };
  reference_pairs: Matched;
  reference_distribution: FilterHeaders["distribution"];
  reference_filters: FilterHeaders["filters"];
}

export interface ReferenceReplies {
  reference: Record<string, never>;
  reference_pairs: Record<string, never>;
  reference_distribution: FilterReplies["distribution"];
  reference_filters: FilterReplies["filters"];
}

export const REFERENCE_KINDS = [
  "reference",
  "reference_pairs",
  "reference_distribution",
  "reference_filters",
] as const;
