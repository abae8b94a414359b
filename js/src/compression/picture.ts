// The Compression view on one canvas: the whole in a line, every layer, the flipped inputs.
import type { Picture } from "../draw/picture";
import { canvasOf, imageOf } from "../draw/pixels";
import { fitMiddle, write } from "../draw/text";
import type { Store } from "../state";
import { facts, flipInWords, lengths, whyNot, written } from "./words";

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
  const ranking = compressing.ranking.peek();
  const layers = compressing.ranked.peek();
  const flips = compressing.flips.peek().slice(0, MOST);
  const across = Math.floor(WIDTH / TILE);
  const top = HEAD + layers.length * ROW + 28;
  return {
    width: WIDTH,
    height: top + Math.ceil(flips.length / across) * (TILE + 6),
    draw(context) {
      const colors = store.colors.peek();
      if (!colors || !report || !ranking) return;
      facts(report).forEach(({ name, before, after, more }, at) => {
        const x = at * (WIDTH / 5);
        write(context, name, x, 10, { color: colors.muted, size: 10 });
        const values = after ? `${before} → ${after}` : before;
        write(context, fitMiddle(context, values, WIDTH / 5 - 8, 11.5, 600), x, 26, {
          color: colors.fg,
          size: 11.5,
          weight: 600,
        });
        write(context, more, x, 40, { color: colors.muted, size: 10 });
      });
      write(context, ranking.title, 0, HEAD - 10, { color: colors.fg, weight: 600, size: 12 });
      const shares = lengths(layers, ranking);
      layers.forEach((change, at) => {
        const y = HEAD + at * ROW;
        const reason = whyNot(change, ranking.name, report.finished);
        const color = change.model === store.traits.layer.peek() ? colors.accent : colors.fg;
        write(context, fitMiddle(context, change.model, NAME - 10, 11), 0, y + 13, { color });
        const room = WIDTH - NAME - VALUE;
        if (reason === null) {
          context.fillStyle = colors.soft;
          context.fillRect(NAME, y + 5, room, 9);
          context.fillStyle = colors.sparse;
          context.fillRect(NAME, y + 5, room * (shares[at] as number), 9);
          const value = written(ranking.unit, change.figures[ranking.name]);
          write(context, value, WIDTH, y + 13, { color: colors.fg, align: "right" });
        } else {
          const fitted = fitMiddle(context, reason, room + VALUE);
          write(context, fitted, NAME, y + 13, { color: colors.muted });
        }
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
