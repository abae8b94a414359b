// Wheel, drag, pinch, click and keys on a picture that a camera looks at.
import type { Steering } from "./steering";

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Pointing {
  readonly element: HTMLElement;
  readonly steering: Steering;
  /** Left and top of what the camera sees in the element, in CSS pixels. */
  readonly origin: () => { left: number; top: number };
  /** The pointer is at a point of the element; null: it left. */
  readonly hover: (point: Point | null) => void;
  readonly click: (point: Point) => void;
  /** Whether a key meant something. */
  readonly key: (name: string, shift: boolean) => boolean;
}

/** Pixels that a press may move and still be a click. */
const STILL = 4;

/** Listens until the returned function is called. */
export function listenTo(pointing: Pointing): () => void {
  const { element, steering, origin } = pointing;
  const down = new Map<number, Point>();
  let travelled = 0;

  const at = (event: MouseEvent): Point => {
    const { left, top } = element.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  };
  const inPlot = ({ x, y }: Point): Point => {
    const { left, top } = origin();
    return { x: x - left, y: y - top };
  };

  const wheel = (event: WheelEvent) => {
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const [across, along] = [event.deltaX * unit, event.deltaY * unit];
    // all is on screen and one goes on zooming out: the page may scroll
    if (steering.fitted && along >= 0 && !event.ctrlKey) return;
    event.preventDefault();
    if (Math.abs(across) > Math.abs(along) && !event.ctrlKey) {
      const { x, y, zoom } = steering.target;
      steering.aim({ x: x + across / zoom, y, zoom }, false);
      return;
    }
    const { x, y } = inPlot(at(event));
    // a pinch on a trackpad comes as small steps of a wheel with ctrl
    const rate = event.ctrlKey ? 0.01 : 0.0018;
    steering.zoom(x, y, Math.exp(-Math.max(-240, Math.min(240, along)) * rate), !event.ctrlKey);
  };

  const press = (event: PointerEvent) => {
    if (event.button !== 0) return;
    if (down.size === 0) travelled = 0;
    down.set(event.pointerId, at(event));
    element.setPointerCapture(event.pointerId);
  };

  const move = (event: PointerEvent) => {
    const to = at(event);
    const from = down.get(event.pointerId);
    if (!from) {
      pointing.hover(to);
      return;
    }
    travelled += Math.hypot(to.x - from.x, to.y - from.y);
    const { x, y, zoom } = steering.target;
    if (down.size === 1 && travelled > STILL) {
      element.classList.add("cl-grabbing");
      steering.aim({ x: x - (to.x - from.x) / zoom, y: y - (to.y - from.y) / zoom, zoom }, false);
    } else if (down.size === 2) {
      const other = [...down].find(([id]) => id !== event.pointerId)?.[1] ?? to;
      const spread = (point: Point) =>
        Math.max(8, Math.hypot(point.x - other.x, point.y - other.y));
      const middle = inPlot({ x: (to.x + other.x) / 2, y: (to.y + other.y) / 2 });
      steering.zoom(middle.x, middle.y, spread(to) / spread(from), false);
    }
    down.set(event.pointerId, to);
  };

  const release = (event: PointerEvent) => {
    const from = down.get(event.pointerId);
    down.delete(event.pointerId);
    element.classList.remove("cl-grabbing");
    if (!from || event.type !== "pointerup" || travelled > STILL || down.size > 0) return;
    pointing.click(from);
  };

  const leave = () => pointing.hover(null);
  const twice = (event: MouseEvent) => {
    event.preventDefault();
    showAll(steering);
  };
  const key = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!pointing.key(event.key, event.shiftKey)) return;
    event.preventDefault();
    event.stopPropagation();
  };

  const events: [string, (event: never) => void][] = [
    ["wheel", wheel],
    ["pointerdown", press],
    ["pointermove", move],
    ["pointerup", release],
    ["pointercancel", release],
    ["pointerleave", leave],
    ["dblclick", twice],
    ["keydown", key],
  ];
  for (const [name, handle] of events) {
    element.addEventListener(name, handle as EventListener, { passive: false });
  }
  return () => {
    for (const [name, handle] of events) element.removeEventListener(name, handle as EventListener);
  };
}

/** All of the picture, smoothly. */
export const showAll = (steering: Steering): void => steering.aim({ x: 0, y: 0, zoom: 0 }, true);

/** What the arrow keys mean: across, down. */
export const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The keys that zoom: whether `name` was one. */
export function zoomKey(name: string, steering: Steering, zoom: (factor: number) => void): boolean {
  if (name === "+" || name === "=") zoom(1.5);
  else if (name === "-" || name === "_") zoom(1 / 1.5);
  else if (name === "Home" || name === "0") showAll(steering);
  else return false;
  return true;
}
