// What is said of the inputs of the Lens, and what a person may send as one.

export interface InputParams {
  inputs: { start: number };
  picture: { index: number };
  /** `data`: the file in base64. */
  upload: { name: string; data: string };
}

export interface InputHeaders {
  inputs: InputRows;
  picture: PixelScale & { revision: number; index: number; label: number | null; name: string };
  upload: InputRows;
}

export interface InputReplies {
  inputs: InputArrays;
  /** The input (channels, height, width) as the model takes it; the probability of each class. */
  picture: { image: Float32Array; scores?: Float32Array; reference_scores?: Float32Array };
  upload: InputArrays;
}

/** How inputs become pixels from 0 to 1: input * std + mean, one value or one per channel. */
export interface PixelScale {
  mean: number[];
  std: number[];
  /** Given by the user, found to fit exactly, guessed since it fits, or stretched over the values. */
  how: "given" | "found" | "guessed" | "stretched";
  /** Of a convention ("ImageNet"), or "". */
  scale: string;
  /** Channels, height, width. */
  shape: number[];
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
  /** Height and width of a thumbnail. */
  thumbnail: [height: number, width: number];
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
