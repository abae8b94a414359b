// How large the figures are: the input and its maps in one row where they are not too small there.

export interface Grid {
  readonly columns: number;
  /** Of one figure, in CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** Rows that the input stands beside: of a pair of models one for each. */
  readonly rows: number;
  /** Whether there is room for cards beside the figures. */
  readonly beside: boolean;
  /** Where a map stands, counted from 1; null: where it flows to. */
  readonly place: (index: number) => { row: number; column: number } | null;
}

export const GAP = 14;
/** What stands under a figure. */
export const CAPTION = 62;
const LEAST = 112;
/** Of two rows: rather scroll than look at less. */
const PAIR = 156;
const MOST = 260;
/** The least that cards beside the figures need. */
const CARDS = 216;

/** The grid of `maps` maps and the input; `paired`: they come as model, reference, model, ... */
export function gridFor(
  maps: number,
  paired: boolean,
  room: { readonly width: number; readonly height: number },
  aspect: number,
): Grid {
  const methods = maps / 2;
  const rows = paired && maps > 2 ? 2 : 1;
  const all = rows > 1 ? methods + 1 : maps + 1;
  const across = (columns: number, width: number) => (width - GAP * (columns - 1)) / columns;
  // as tall as the view has room for, so that a figure is never seen in part
  const low = rows > 1 ? PAIR : LEAST;
  const tall = Math.min(MOST, Math.max(low, room.height / rows - CAPTION));
  const most = tall * aspect;
  // beside the figures, where that makes these not much smaller
  const least = 0.85 * Math.min(most, across(all, room.width));
  const beside = across(all, room.width - CARDS - GAP) >= Math.max(least, LEAST);
  const width = Math.max(LEAST, beside ? room.width - CARDS - GAP : room.width);
  const size = (columns: number) => {
    // in several rows the view is scrolled anyway
    const limit = rows === 1 && columns < all ? MOST * Math.max(1, aspect) : most;
    const wide = Math.floor(Math.min(limit, across(columns, width)));
    return { width: wide, height: Math.round(wide / aspect) };
  };
  if (rows > 1 && across(all, width) >= 0.8 * LEAST) {
    return {
      columns: all,
      ...size(all),
      rows,
      beside,
      place: (index) => ({ row: 1 + (index % 2), column: 2 + Math.floor(index / 2) }),
    };
  }
  const flowing = maps + 1;
  let columns = flowing;
  while (columns > 1 && across(columns, width) < LEAST) columns--;
  // rows as even as can be
  columns = Math.ceil(flowing / Math.ceil(flowing / columns));
  return { columns, ...size(columns), rows: 1, beside, place: () => null };
}
