// Moves the camera: at most once a frame, easing towards where it was sent.
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { type Camera, clampCamera, fitted, isFitted, type Limits } from "./draw/camera";

/** Milliseconds in which about two thirds of the way are made. */
const EASE = 45;

export class Steering {
  readonly camera: Signal<Camera>;
  /** Brings the camera to what is drawn now: whoever draws calls it first. */
  settle: () => void = () => {};
  readonly #limits: ReadonlySignal<Limits>;
  #target: Camera;
  #frame = 0;
  #last = 0;
  #smooth = false;

  constructor(limits: ReadonlySignal<Limits>) {
    this.#limits = limits;
    this.#target = fitted(limits.peek());
    this.camera = signal(this.#target);
  }

  /** Where the camera is, or is on its way to. */
  get target(): Camera {
    return this.#target;
  }

  get fitted(): boolean {
    return isFitted(this.#target, this.#limits.peek());
  }

  /** Be there at once: for another layer, order or size. */
  jump(camera: Camera): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#target = clampCamera(camera, this.#limits.peek());
    this.camera.value = this.#target;
  }

  /** Go there: by the next frame, or smoothly. */
  aim(camera: Camera, smooth: boolean): void {
    this.#target = clampCamera(camera, this.#limits.peek());
    this.#smooth = smooth && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (this.#frame) return;
    this.#last = performance.now();
    this.#frame = requestAnimationFrame((now) => this.#step(now));
  }

  /** Zoom so that what is seen under a screen point now stays there. */
  zoom(px: number, py: number, factor: number, smooth = true): void {
    const { least, most } = this.#limits.peek();
    const seen = this.camera.peek();
    const zoom = Math.min(most, Math.max(least, this.#target.zoom * factor));
    const x = seen.x + px / seen.zoom - px / zoom;
    const y = seen.y + py / seen.zoom - py / zoom;
    this.aim({ x, y, zoom }, smooth);
  }

  stop(): void {
    cancelAnimationFrame(this.#frame);
  }

  #step(now: number): void {
    const from = this.camera.peek();
    const to = this.#target;
    const part = this.#smooth ? 1 - Math.exp(-Math.max(4, now - this.#last) / EASE) : 1;
    const near =
      Math.abs(from.zoom / to.zoom - 1) < 0.002 &&
      Math.hypot(from.x - to.x, from.y - to.y) * to.zoom < 0.3;
    this.#last = now;
    if (part === 1 || near) {
      this.#frame = 0;
      this.camera.value = to;
      return;
    }
    const mix = (a: number, b: number) => a + (b - a) * part;
    // position and 1 / zoom on a straight line: the point that the zoom is about stays still
    this.camera.value = {
      x: mix(from.x, to.x),
      y: mix(from.y, to.y),
      zoom: 1 / mix(1 / from.zoom, 1 / to.zoom),
    };
    this.#frame = requestAnimationFrame((next) => this.#step(next));
  }
}
