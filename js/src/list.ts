// What the rail lists: pure, so that the order on screen and the order of the keys are one.
import { entropyOf, sparsityAt } from "./eps";
import { leaf, nameOf, prefix } from "./format";
import { fuzzy } from "./fuzzy";
import type { LayerInfo, Row } from "./protocol";

export type Order = "depth" | "sparsity" | "entropy";

export interface Item {
  layer: LayerInfo;
  /** What is written: the leaf within its group, else the whole key. */
  label: string;
  /** Letters of `label` that the search found. */
  marks: readonly number[] | undefined;
}

export interface Group {
  /** "" where the items stand alone. */
  title: string;
  items: Item[];
}

export interface ListInput {
  layers: readonly LayerInfo[];
  rows: ReadonlyMap<string, Row>;
  query: string;
  order: Order;
  eps: number;
  grid: readonly number[];
}

/** Layers in their groups: by prefix in call order; in one group when sorted by a figure. */
export function railGroups({ layers, rows, query, order, eps, grid }: ListInput): Group[] {
  const found: { layer: LayerInfo; places: number[] }[] = [];
  for (const layer of layers) {
    const places = query.trim() ? fuzzy(query, layer.key) : [];
    if (places) found.push({ layer, places });
  }
  if (order !== "depth") {
    const value = ({ key }: LayerInfo): number => {
      const row = rows.get(key);
      if (!row) return Number.POSITIVE_INFINITY;
      // What deserves a look first: the sparsest, and the least diverse.
      const figure =
        order === "sparsity" ? sparsityAt(row, eps, grid) : entropyOf(row, "normalized").value;
      if (figure === null) return Number.POSITIVE_INFINITY;
      return order === "sparsity" ? -figure : figure;
    };
    found.sort((a, b) => value(a.layer) - value(b.layer) || 0);
    const items = found.map(({ layer, places }) => ({
      layer,
      label: nameOf(layer),
      marks: places,
    }));
    return items.length ? [{ title: "", items }] : [];
  }
  const groups: Group[] = [];
  for (const { layer, places } of found) {
    const title = prefix(layer.key);
    let group = groups.at(-1);
    if (!group || group.title !== title) {
      group = { title, items: [] };
      groups.push(group);
    }
    const start = title ? Array.from(title).length + 1 : 0;
    const marks = places.map((place) => place - start).filter((place) => place >= 0);
    group.items.push({ layer, label: leaf(layer.key) || nameOf(layer), marks });
  }
  return groups;
}

/** The layer a key of the list moves to; null for other keys. */
export function moveIn(keys: readonly string[], current: string, key: string): string | null {
  const at = keys.indexOf(current);
  const last = keys.length - 1;
  const to: Record<string, number> = {
    ArrowDown: at + 1,
    ArrowUp: at === -1 ? last : at - 1,
    PageDown: at + 10,
    PageUp: at - 10,
    Home: 0,
    End: last,
  };
  const index = to[key];
  if (index === undefined || last < 0) return null;
  return keys[Math.min(last, Math.max(0, index))] as string;
}
