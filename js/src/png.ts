// The current view as one PNG: what is on the screen, under the model's name and over the layer's.
import type { Colors } from "./draw/colors";
import type { Picture } from "./draw/picture";
import { fitMiddle, widthOf, write } from "./draw/text";
import type { Store } from "./state";
import { statusFigures } from "./status";

const MARGIN = 16;
const HEAD = 44;
const FOOT = 36;

export interface Caption {
  title: string;
  facts: string;
  layer: string;
  figures: string;
}

/** The view's picture with its caption, on the theme's ground. */
export function compose(picture: Picture, caption: Caption, colors: Colors): Picture {
  const width = Math.max(520, picture.width + 2 * MARGIN);
  const height = picture.height + HEAD + FOOT;
  return {
    width,
    height,
    draw(context) {
      context.fillStyle = colors.bg;
      context.fillRect(0, 0, width, height);
      line(context, caption.title, caption.facts, 27, width, colors, 14);
      context.save();
      context.translate(MARGIN, HEAD);
      picture.draw(context);
      context.restore();
      line(context, caption.layer, caption.figures, height - 13, width, colors, 12);
    },
  };
}

function line(
  context: CanvasRenderingContext2D,
  strong: string,
  rest: string,
  y: number,
  width: number,
  colors: Colors,
  size: number,
): void {
  const room = width - 2 * MARGIN;
  const name = fitMiddle(context, strong, room, size, 650);
  write(context, name, MARGIN, y, { color: colors.fg, size, weight: 650 });
  const used = widthOf(context, name, size, 650) + 12;
  if (room - used < 80) return;
  const fitted = fitMiddle(context, rest, room - used, 12);
  write(context, fitted, MARGIN + used, y, { color: colors.muted, size: 12 });
}

export async function savePicture(store: Store): Promise<void> {
  const view = store.picture.value?.();
  const colors = store.colors.value;
  if (!view || !colors) return;
  const { model } = store.kernel._structure.value;
  const picture = compose(
    view,
    {
      title: model.title,
      facts: `${store.traits.view.value} · convlens`,
      layer: store.traits.layer.value,
      figures: statusFigures(store).join(" · "),
    },
    colors,
  );
  const blob = await toPng(picture);
  if (!blob) {
    store.say("The browser could not make the PNG");
    return;
  }
  const name = fileName([model.title, store.traits.view.value, store.traits.layer.value]);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The download reads the blob after the click has returned.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  store.say(`Saved ${name}`);
}

function toPng({ width, height, draw }: Picture): Promise<Blob | null> {
  // Never coarser than a sharp screen: a picture is looked at elsewhere.
  const ratio = Math.max(2, devicePixelRatio || 1);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  if (!context) return Promise.resolve(null);
  context.scale(ratio, ratio);
  draw(context);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** A name every file system takes. */
export function fileName(parts: readonly string[]): string {
  const safe = parts.map((part) => part.replaceAll(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 60));
  return `${safe.filter(Boolean).join("_")}.png`;
}
