// The Drift view on one canvas: the chart, and beside it the ridges.
import type { Picture } from "../draw/picture";
import { drawRidges } from "../draw/ridges";
import { wrap, write } from "../draw/text";
import { drawTracks, layoutTracks } from "../draw/tracks";
import type { Drift } from "../drifting";
import type { Store } from "../state";
import { tracksOf } from "./chart";
import { ridgesOf } from "./coefficients";

const WIDTH = 480;
const RIDGES = 320;
const HEIGHT = 400;
const GAP = 32;
const FOOT = 56;

export function driftPicture(store: Store, found: Drift): Picture {
  const width = WIDTH + GAP + RIDGES;
  return {
    width,
    height: HEIGHT + FOOT,
    draw(context) {
      const colors = store.colors.peek();
      if (!colors) return;
      const layout = layoutTracks(WIDTH, HEIGHT, found.layers.length);
      drawTracks(context, layout, tracksOf(store, found, -1), colors);
      const said = found.layers[store.drifting.place.value]?.sentences.join(" ") ?? "";
      const lines = wrap(context, `${said} Against ${found.about}`, width);
      lines.slice(0, 3).forEach((line, index) => {
        write(context, line, 0, HEIGHT + 18 + 15 * index, { color: colors.muted });
      });
      context.translate(WIDTH + GAP, 0);
      drawRidges(context, { width: RIDGES, height: HEIGHT }, ridgesOf(store, found, null), colors);
    },
  };
}
