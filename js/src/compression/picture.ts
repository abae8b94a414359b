// The Compression view on one canvas: the whole in a line, every layer, the flipped inputs.
import type { Picture } from "../draw/picture";
import { canvasOf, imageOf } from "../draw/pixels";
import { fitMiddle, write } from "../draw/text";
import type { Store } from "../state";
import type { Matched } from "../wire/compression";
import { flipInWords } from "./words";

const WIDTH = 720;
const HEAD = 74;
const ROW = 20;
const NAME = 190;
const VALUE = 90;
const TILE = 72;
const MOST = 40;

export function compressionPicture(store: Store): Picture {
  const { compressing } = store;
  const report = compressing.report.value.peek();
  const by = store.traits.compression_by.peek();
  const { order, shares } = report?.rankings[by] ?? { order: [], shares: [] };
  const flips = compressing.flips.peek().slice(0, MOST);
  const across = Math.floor(WIDTH / TILE);
  const top = HEAD + order.length * ROW + 28;
  return {
    width: WIDTH,
    height: top + Math.ceil(flips.length / across) * (TILE + 6),
    draw(context) {
      const colors = store.colors.peek();
      if (!colors || !report) return;
      report.facts.forEach(([name, value, more], at) => {
        const x = at * (WIDTH / 5);
        const room = WIDTH / 5 - 8;
        write(context, name, x, 10, { color: colors.muted, size: 10 });
        const fitted = fitMiddle(context, value, room, 11, 600);
        write(context, fitted, x, 26, { color: colors.fg, weight: 600 });
        write(context, more, x, 40, { color: colors.muted, size: 10 });
      });
      const { help } = store.kernel._structure
        .peek()
        .compression.rankings.find(({ name }) => name === by) ?? { help: "" };
      write(context, help, 0, HEAD - 10, { color: colors.muted });
      order.forEach((place, at) => {
        const { model, texts, missing } = report.layers[place] as Matched;
        const y = HEAD + at * ROW;
        const color = model === store.traits.layer.peek() ? colors.accent : colors.fg;
        write(context, fitMiddle(context, model, NAME - 10), 0, y + 13, { color });
        const room = WIDTH - NAME - VALUE;
        const reason = missing[by];
        if (reason !== undefined) {
          const fitted = fitMiddle(context, reason, room + VALUE);
          write(context, fitted, NAME, y + 13, { color: colors.muted });
          return;
        }
        context.fillStyle = colors.soft;
        context.fillRect(NAME, y + 5, room, 9);
        context.fillStyle = colors.sparse;
        context.fillRect(NAME, y + 5, room * (shares[place] as number), 9);
        write(context, texts[by], WIDTH, y + 13, { color: colors.fg, align: "right" });
      });
      flips.forEach((flip, at) => {
        const x = (at % across) * TILE;
        const y = top + Math.floor(at / across) * (TILE + 6);
        const picture = compressing.seen.peek().get(flip.index)?.picture;
        if (picture) {
          const image = imageOf(picture.bytes, [picture.height, picture.width, 3]);
          context.imageSmoothingEnabled = false;
          if (image) context.drawImage(canvasOf(image), x, y, TILE - 20, TILE - 20);
        }
        const words = fitMiddle(context, flipInWords(store, flip).short, TILE - 6, 10);
        write(context, words, x, y + TILE - 8, { color: colors.muted, size: 10 });
      });
    },
  };
}
