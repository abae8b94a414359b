// What is looked at in the Features view, and how; it lasts as long as the view is open.
import { signal } from "@preact/signals";
import type { Beside } from "../wire/features";

export class FeaturesModel {
  /** The inputs that excite it are shown whole, not what the channel sees of them. */
  readonly whole = signal(false);
  /** Maps lie over the input. */
  readonly over = signal(true);
  /** Of the inputs that excite it most the one that is pointed at. */
  readonly pointed = signal<{ side: Beside; at: number } | null>(null);
  /** The cell of a map that is pointed at. */
  readonly cell = signal<{ row: number; column: number } | null>(null);
}
