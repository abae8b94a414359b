// The Filters view on one canvas: what is seen now, its colour legend, and the basis below.

import { css, diverging, STEPS } from "../colormap";
import { GalleryPainter } from "../draw/gallery";
import { paintKernel } from "../draw/kernel";
import { kernelOf } from "../draw/layout";
import type { Picture } from "../draw/picture";
import { fitMiddle, widthOf, write } from "../draw/text";
import type { Store } from "../state";
import { endOf, type Pane } from "./gallery";
import type { GalleryModel } from "./model";
import { rangeWords } from "./words";

const LEGEND = 34;
const BASIS = 64;
const TITLE = 20;
const GAP = 16;

export function filtersPicture(store: Store, panes: readonly Pane[]): Picture {
  const { model } = panes[0] as Pane;
  const lead = model.follower?.alike ? model.follower.lead : model;
  const size = lead.size.peek();
  const title = panes.some((pane) => pane.title) ? TITLE : 0;
  const { taps, explained } = model.set.peek();
  const basis = taps > 1 && explained.length > 0 ? BASIS : 0;
  const each = size.width + GAP;
  const width = Math.max(360, each * panes.length - GAP);
  return {
    width,
    height: title + size.height + LEGEND + basis,
    draw(context) {
      panes.forEach((pane, index) => {
        const scene = pane.model.scene.peek();
        if (!scene) return;
        const choice = {
          camera: pane.steering.camera.peek(),
          channel: store.traits.channel.peek(),
          pinned: pane.model.pinned.peek(),
          hover: null,
        };
        context.save();
        context.translate(index * each, 0);
        if (title) {
          const words = fitMiddle(context, pane.title, size.width, 12, 600);
          write(context, words, 0, 12, { color: scene.colors.fg, size: 12, weight: 600 });
        }
        context.translate(0, title);
        new GalleryPainter().draw(context, scene, choice, size);
        context.restore();
      });
      context.translate(0, title + size.height);
      drawLegend(context, store, model);
      context.translate(0, LEGEND);
      if (basis) drawBasis(context, store, model, width);
    },
  };
}

function drawLegend(context: CanvasRenderingContext2D, store: Store, model: GalleryModel): void {
  const colors = store.colors.peek();
  if (!colors) return;
  const reach = model.reach.peek();
  const table = diverging(store.theme.peek() === "dark");
  const ends = endOf(reach?.range);
  const y = 21;
  write(context, `−${ends}`, 0, y, { color: colors.muted });
  let x = widthOf(context, `−${ends}`) + 8;
  for (let i = 0; i < 120; i++) {
    context.fillStyle = css(table[Math.round((i / 119) * 2 * STEPS)] as number);
    context.fillRect(x + i, y - 8, 1.5, 8);
  }
  x += 128;
  write(context, ends, x, y, { color: colors.muted });
  x += widthOf(context, ends) + 14;
  const [words] = rangeWords(store.traits.scale.peek(), reach, model.largest.peek());
  write(context, words, x, y, { color: colors.muted });
}

function drawBasis(
  context: CanvasRenderingContext2D,
  store: Store,
  model: GalleryModel,
  width: number,
): void {
  const colors = store.colors.peek();
  if (!colors) return;
  const { kernel, taps, eigenimages, explained } = model.set.peek();
  const canvas = document.createElement("canvas");
  const pitch = 46;
  const shown = Math.min(9, explained.length, Math.floor(width / pitch));
  context.imageSmoothingEnabled = false;
  for (let index = 0; index < shown; index++) {
    const values = eigenimages.subarray(index * taps, (index + 1) * taps);
    const range = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    paintKernel(canvas, kernelOf(kernel), values, range, store.theme.peek() === "dark");
    const unit = 34 / Math.max(canvas.width, canvas.height);
    const [across, down] = [canvas.width * unit, canvas.height * unit];
    context.drawImage(canvas, index * pitch, (34 - down) / 2, across, down);
    const share = `${Math.round(100 * (explained[index] as number))} %`;
    write(context, share, index * pitch + 17, 50, { color: colors.muted, align: "center" });
  }
}
