// What pointing and keys do in a gallery.
import { revealed } from "../draw/camera";
import type { Scene } from "../draw/gallery";
import { xOf, yOf } from "../draw/layout";
import { ARROWS, listenTo, zoomKey } from "../pointing";
import type { Store } from "../state";
import type { Steering } from "../steering";
import type { GalleryModel } from "./model";

export interface Pointing {
  readonly element: HTMLElement;
  readonly store: Store;
  readonly model: GalleryModel;
  readonly steering: Steering;
  /** The filter under a point of the element, in CSS pixels. */
  readonly filterAt: (x: number, y: number) => number | null;
  /** Left and top of the plot in the element. */
  readonly origin: () => { left: number; top: number };
}

/** Listens until the returned function is called. */
export function listen(pointing: Pointing): () => void {
  const { element, store, model, steering, filterAt, origin } = pointing;
  const key = (name: string, shift: boolean): boolean => {
    const scene = model.scene.peek();
    if (!scene) return false;
    const arrow = ARROWS[name];
    if (arrow && shift) choose(pointing, scene, arrow);
    else if (arrow) {
      const { x, y, zoom } = steering.target;
      steering.aim({ x: x + (arrow[0] * 64) / zoom, y: y + (arrow[1] * 64) / zoom, zoom }, true);
    } else if (name === "Enter" || name === " ") model.pin(store, model.shown.peek(), true);
    else if (name === "Escape" && store.traits.channel.peek() !== null) store.set("channel", null);
    else return zoomKey(name, steering, (factor) => zoomIn(pointing, factor));
    return true;
  };
  return listenTo({
    element,
    steering,
    origin,
    key,
    hover(point) {
      model.hover.value = point && filterAt(point.x, point.y);
    },
    click({ x, y }) {
      const filter = filterAt(x, y);
      if (filter !== null) model.pin(store, filter, true);
    },
  });
}

/** Zoom about the pinned filter, or about the middle. */
export function zoomIn({ model, steering }: Pick<Pointing, "model" | "steering">, factor: number) {
  const { width, height } = model.limits.peek().screen;
  const pinned = model.pinned.peek();
  const scene = model.scene.peek();
  let [x, y] = [width / 2, height / 2];
  if (pinned !== null && scene) {
    const box = boxIn(scene, pinned);
    const camera = steering.camera.peek();
    const px = (box.x + box.width / 2 - camera.x) * camera.zoom;
    const py = (box.y + box.height / 2 - camera.y) * camera.zoom;
    if (px >= 0 && py >= 0 && px <= width && py <= height) [x, y] = [px, py];
  }
  steering.zoom(x, y, factor);
}

/** Where a filter lies in the world. */
export function boxIn({ layout, slots }: Scene, filter: number) {
  const slot = slots ? (slots[filter] as number) : filter;
  return {
    x: xOf(layout, slot % layout.cols),
    y: yOf(layout, Math.floor(slot / layout.cols)),
    width: layout.cellWidth,
    height: layout.cellHeight,
  };
}

/** The neighbour of the filter in the card becomes the chosen one. */
function choose(
  { model, store, steering }: Pointing,
  scene: Scene,
  [across, down]: [number, number],
): void {
  const { layout, slots, material } = scene;
  model.hover.value = null;
  const from = model.shown.peek();
  const slot = slots ? (slots[from] as number) : from;
  const col = Math.max(0, Math.min(layout.cols - 1, (slot % layout.cols) + across));
  const row = Math.max(0, Math.floor(slot / layout.cols) + down);
  const to = row * layout.cols + col;
  if (to >= layout.count) return;
  // the first press shows where one is
  const moved = model.pinned.peek() === null ? slot : to;
  const filter = material.order ? (material.order[moved] as number) : moved;
  model.pin(store, filter, false);
  steering.aim(revealed(steering.target, boxIn(scene, filter), model.limits.peek()), true);
}
