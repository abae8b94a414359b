// The Quality view on one canvas: the same drawing functions, laid out for a page.
import { computed } from "@preact/signals";
import { drawBars, layoutBars } from "../draw/bars";
import type { Picture } from "../draw/picture";
import { wrap, write } from "../draw/text";
import type { Store } from "../state";
import { distributionPainters } from "./distribution";
import { barsData } from "./quality";

const CHART = 260;
const FOOT = 140;
const GAP = 24;

export function qualityPicture(store: Store, view: HTMLElement): Picture {
  const width = Math.max(480, view.clientWidth);
  const colors = store.colors.value;
  const data = barsData(store, -1);
  const painters = distributionPainters(
    store,
    computed(() => store.distribution.value.value),
  );
  const row = store.measuring.row.value;
  // what stands below the chart is of now
  const foot = store.history.words.value === "";
  return {
    width,
    height: CHART + (foot ? GAP + FOOT : 0),
    draw(context) {
      if (!colors) return;
      drawBars(context, layoutBars(width, CHART, data.bars.length), data, colors);
      if (!foot) return;
      const panel = Math.floor((width - 2 * GAP) / 3);
      context.translate(0, CHART + GAP);
      painters.weights(context, { width: panel, height: FOOT }, colors);
      context.translate(panel + GAP, 0);
      painters.peaks(context, { width: panel, height: FOOT }, colors);
      if (!row) return;
      context.translate(panel + GAP, 0);
      write(context, row.verdict.title, 0, 11, { color: colors.fg, weight: 600, size: 12 });
      wrap(context, row.verdict.text, panel, 11).forEach((line, index) => {
        write(context, line, 0, 32 + 16 * index, { color: colors.muted });
      });
    },
  };
}
