// What the Features view asks for, and what comes back.

/** How features are synthesised; 0 steps, or a size of 0: what suits. */
export interface FeatureAsked {
  layer: string;
  steps: number;
  seed: number;
  size: number;
}

/** The model, or what stands beside it. */
export type Beside = "model" | "reference";

/** Height, width and colours (1 or 3) of pictures. */
export type Extent = [height: number, width: number, colors: number];

/** What one of the models has to show; `reason`: why it has nothing, or null. */
export interface Shown {
  side: Beside;
  title: string;
  reason: string | null;
}

export interface Synthesised extends Shown {
  /** Of the picture. */
  extent: Extent;
  /** What the channel makes of it. */
  value: number | null;
  /** False where nothing makes it fire; null while that is not known. */
  fires: boolean | null;
  /** Why it shows nothing: "never fires: ...". */
  why: string | null;
}

export interface Excited extends Shown {
  /** The strongest first. */
  items: Exciting[];
  /** Of the pictures. */
  extent: Extent;
}

export interface Exciting {
  index: number;
  value: number;
  /** What the channel sees, as shares of the picture: top, left, bottom, right. */
  box: [number, number, number, number];
}

export interface Fired extends Shown {
  /** Height and width of the map. */
  extent: [height: number, width: number];
}
