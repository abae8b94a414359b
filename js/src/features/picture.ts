// The Features view on one canvas: the three answers of the chosen channel, over those of all.

import type { Colors } from "../draw/colors";
import { drawCurve, spanOf } from "../draw/curve";
import type { Picture } from "../draw/picture";
import { type Box, CRISP, canvasOf, fitIn, imageOf, partOf } from "../draw/pixels";
import { fitMiddle, write } from "../draw/text";
import type { Store } from "../state";
import type { Extent } from "../wire/features";
import { paintMap } from "./maps";
import type { FeaturesModel } from "./model";
import { level, outputName } from "./words";

const SQUARE = 180;
const CURVE = 48;
const GAP = 24;
const TILE = 52;
const WIDTH = 3 * SQUARE + 2 * GAP;

export function featuresPicture(store: Store, model: FeaturesModel): Picture {
  const { maximising } = store;
  const { feature, exciting, maps, current } = maximising;
  const synthesised = current.feature.value ? feature.value.peek() : null;
  const excited = current.exciting.value ? exciting.value.peek() : null;
  const mapped = current.maps.value ? maps.value.peek() : null;
  const sides = synthesised?.sides ?? excited?.sides ?? mapped?.sides ?? [];
  const tiles = maximising.tiles.peek();
  const across = Math.floor((WIDTH + 4) / (TILE + 4));
  const rows = tiles.size ? Math.ceil(maximising.channels.peek() / across) : 0;
  const side = SQUARE + 22 + CURVE;
  const top = sides.length * (side + GAP);
  return {
    width: WIDTH,
    height: Math.max(1, top + (rows ? 8 + rows * (TILE + 16) : 0)),
    draw(context) {
      const colors = store.colors.peek();
      if (!colors) return;
      const name = outputName(store.layer.peek());
      const dark = store.theme.peek() === "dark";
      sides.forEach(({ side: which, title }, index) => {
        context.save();
        context.translate(0, index * (side + GAP));
        const one = synthesised?.sides.find((other) => other.side === which);
        const most = excited?.sides.find((other) => other.side === which);
        const map = mapped?.sides.find((other) => other.side === which);
        const own = sides.length > 1 ? `${title}: ` : "";
        if (synthesised && one) {
          caption(context, `${own}${name} ${synthesised.channel}, ${level(one.value)}`, colors);
          put(context, one.picture, one.extent, 0, { x: 0, y: 18, side: SQUARE });
          context.translate(0, SQUARE + 22);
          const span = spanOf(synthesised.sides.map(({ curve }) => curve));
          const line = { values: one.curve, steps: synthesised.length, ...span };
          drawCurve(context, line, { width: SQUARE, height: CURVE }, colors);
          context.translate(0, -SQUARE - 22);
        }
        context.translate(SQUARE + GAP, 0);
        if (most) {
          const whole = model.whole.peek();
          caption(context, `excited most: ${level(most.items[0]?.value)}`, colors);
          const thumb = (SQUARE - 8) / 3;
          most.items.forEach(({ box }, place) => {
            const x = (place % 3) * (thumb + 4);
            const y = 18 + Math.floor(place / 3) * (thumb + 4);
            const seen = whole ? undefined : box;
            put(context, most.pictures, most.extent, place, { x, y, side: thumb }, seen);
          });
        }
        context.translate(SQUARE + GAP, 0);
        if (mapped && map) {
          const most = map.reason ?? `at most ${level(map.high)}`;
          caption(context, `input ${mapped.input}: ${most}`, colors);
          context.translate(0, 18);
          const size = { width: SQUARE, height: SQUARE };
          if (map.reason === null) paintMap(context, size, mapped, map, model.over.peek(), dark);
        }
        context.restore();
      });
      context.translate(0, top);
      for (const [channel, tile] of tiles) {
        const x = (channel % across) * (TILE + 4);
        const y = 8 + Math.floor(channel / across) * (TILE + 16);
        put(context, tile.picture, tile.extent, 0, { x, y, side: TILE });
        write(context, String(channel), x + TILE / 2, y + TILE + 11, {
          color: colors.muted,
          size: 10,
          align: "center",
        });
      }
    },
  };
}

function caption(context: CanvasRenderingContext2D, text: string, colors: Colors): void {
  write(context, fitMiddle(context, text, SQUARE, 12), 0, 11, { color: colors.fg, size: 12 });
}

function put(
  context: CanvasRenderingContext2D,
  bytes: Uint8Array,
  extent: Extent,
  index: number,
  { x, y, side }: { x: number; y: number; side: number },
  seen?: Box,
): void {
  const image = imageOf(bytes, extent, index);
  if (!image) return;
  const { x: left, y: top, width, height } = partOf(extent, seen);
  const box = fitIn(width / height, side, side);
  const [toX, toY] = [x + box.x, y + box.y];
  context.imageSmoothingEnabled = Math.max(width, height) >= CRISP;
  const drawn = canvasOf(image);
  context.drawImage(drawn, left, top, width, height, toX, toY, box.width, box.height);
}
