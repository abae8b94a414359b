// The Similarity view on one canvas: what is seen now, under the estimator and over its colours.
import { css, likeness, STEPS } from "../colormap";
import { drawDiagonal } from "../draw/diagonal";
import { HeatmapPainter } from "../draw/heatmap";
import type { Picture } from "../draw/picture";
import { widthOf, write } from "../draw/text";
import { figure } from "../format";
import type { Store } from "../state";
import type { Steering } from "../steering";
import { lineOf } from "./diagonal";
import type { SimilarityModel } from "./model";

const HEAD = 22;
const LEGEND = 26;

export function similarityPicture(
  store: Store,
  model: SimilarityModel,
  steering: Steering,
): Picture {
  const size = model.size.peek();
  return {
    width: size.width,
    height: HEAD + size.height + LEGEND,
    draw(context) {
      const scene = model.scene.peek();
      const found = store.comparing.value.peek();
      if (!scene || !found) return;
      const { colors, range } = scene;
      write(context, found.estimator, 0, 11, { color: colors.muted });
      context.translate(0, HEAD);
      const line = lineOf(store, model);
      if (model.shape.peek() === "diagonal" && line) {
        drawDiagonal(context, size, { ...line, hover: -1 }, colors);
        return;
      }
      const choice = {
        camera: steering.camera.peek(),
        chosen: model.chosen.peek(),
        marked: model.row.peek(),
        hover: null,
      };
      const { plot, room, cell } = model;
      new HeatmapPainter().draw(context, scene, choice, plot.peek(), room.peek(), cell.peek());
      context.translate(plot.peek().left, size.height);
      const y = 17;
      const low = figure(range.low, 2);
      write(context, low, 0, y, { color: colors.muted });
      const x = widthOf(context, low) + 8;
      const table = likeness(scene.dark);
      for (let i = 0; i < 120; i++) {
        const step = Math.round((i / 119) * STEPS);
        context.fillStyle = css(table[range.turned ? STEPS - step : step] as number);
        context.fillRect(x + i, y - 8, 1.5, 8);
      }
      const same = range.turned ? "0 = same" : "1 = same";
      write(context, `${figure(range.high, 2)}   ${same}`, x + 128, y, { color: colors.muted });
    },
  };
}
