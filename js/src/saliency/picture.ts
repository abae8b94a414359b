// The Saliency view on one canvas: the input and its maps, each with its title and its range.
import { css, diverging, STEPS, sequential } from "../colormap";
import type { Picture } from "../draw/picture";
import { place } from "../draw/saliency";
import { fitMiddle, wrap, write } from "../draw/text";
import { percent } from "../format";
import type { Store } from "../state";
import { nameOfInput } from "../strip/words";
import { CAPTION, GAP, gridFor } from "./layout";
import { modelOf } from "./model";
import { rangeInWords, sumInWords, targetInWords, titleOf, value } from "./words";

const HEAD = 24;

export function saliencyPicture(store: Store, view: HTMLElement): Picture {
  const model = modelOf(store);
  const figures = model.figures.value.filter(({ map }) => map);
  const paired = store.explaining.sides.value.length > 1 && figures.length % 2 === 0;
  const width = Math.max(480, view.clientWidth);
  const grid = gridFor(figures.length, paired, { width, height: 400 }, model.aspect.value);
  const lines = Math.ceil((figures.length + 1) / grid.columns);
  const rows = Math.max(grid.rows, grid.rows > 1 ? 2 : lines);
  const dark = store.theme.value === "dark";
  const colors = store.colors.value;
  const input = store.inputs.chosen.value;
  const { model: first, reference } = store.kernel._structure.value;
  return {
    width,
    height: HEAD + rows * (grid.height + CAPTION),
    draw(context) {
      if (!colors) return;
      const target = targetInWords(store, String(store.traits.target.value));
      write(context, `target ${target}`, 0, 12, { color: colors.muted });
      const spot = (row: number, column: number) => ({
        x: column * (grid.width + GAP),
        y: HEAD + row * (grid.height + CAPTION),
        width: grid.width,
        height: grid.height,
      });
      const under = (frame: ReturnType<typeof spot>, title: string, lines: readonly string[]) => {
        const y = frame.y + frame.height;
        const fitted = fitMiddle(context, title, frame.width, 12, 600);
        write(context, fitted, frame.x, y + 16, { color: colors.fg, size: 12, weight: 600 });
        lines
          .flatMap((line) => wrap(context, line, frame.width, 10.5))
          .slice(0, 2)
          .forEach((line, index) => {
            const at = y + 31 + 13 * index;
            write(context, line, frame.x, at, { color: colors.muted, size: 10.5 });
          });
      };
      const sheet = model.sheet.value;
      const own = spot(0, 0);
      if (sheet) place(context, sheet, own);
      const called = (index: number | null | undefined) => store.inputs.className(index ?? null);
      const truth = input?.label ?? null;
      under(own, `input ${input ? nameOfInput(input) : ""}`, [
        truth === null ? "" : `truly ${called(truth)}`,
        input?.predicted == null
          ? ""
          : `predicted ${called(input.predicted)}, ${percent(input.probability)}`,
      ]);
      figures.forEach((figure, index) => {
        const { map } = figure;
        if (!map) return;
        const at = index + 1;
        const place_ = grid.place(index) ?? {
          row: 1 + Math.floor(at / grid.columns),
          column: 1 + (at % grid.columns),
        };
        const frame = spot(place_.row - 1, place_.column - 1);
        const drawn = model.drawn(map);
        place(context, model.sheetOf(drawn), frame);
        const side = figure.asked.side === "model" ? first.title : (reference?.title ?? "");
        const { signed, range } = drawn.coloring;
        const ends = `colours ${signed ? value(-range) : "0"} to ${value(range)}`;
        under(frame, titleOf(figure), [
          [paired && side, rangeInWords(drawn), sumInWords(figure)].filter(Boolean).join(" · "),
          ends,
        ]);
        const table = signed ? diverging(dark) : sequential(dark);
        for (let x = 0; x < 60; x++) {
          const step = Math.round((x / 59) * (signed ? 2 * STEPS : STEPS));
          context.fillStyle = css(table[step] as number);
          context.fillRect(frame.x + x, frame.y + frame.height + CAPTION - 10, 1.5, 5);
        }
      });
    },
  };
}
