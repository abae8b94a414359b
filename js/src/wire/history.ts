// The wire of the history: moments of training, and the figures of every layer there.

/** How many were taken before it, its step, what it was called or "". */
export type Moment = readonly [number: number, step: number, label: string];

export interface HistoryHeader {
  moments: Moment[];
  figures: string[];
  /** Keys of the layers; [] where the front end knows them: `since` is not -1. */
  layers: string[];
  /** Of the sparsity. */
  eps: number;
  since: number;
}

/** What a saved notebook keeps: `values` as base64 of float32. */
export type Past = Partial<HistoryHeader & { values: string; taken: number }>;

export interface HistoryParams {
  history: { since: number };
  history_last: Record<string, never>;
}

export interface HistoryHeaders {
  history: HistoryHeader;
  history_last: { numbers: number[] };
}

export interface HistoryArrays {
  /** (moments after `since`, layers, figures), NaN where there is none. */
  history: { values: Float32Array };
  /** CKA to the last moment: (moments, layers). */
  history_last: { values: Float32Array };
}

export const HISTORY_KINDS = ["history", "history_last"] as const;
