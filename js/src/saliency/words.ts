// Maps in words: titles, ranges, what was explained.
import { percent, weight } from "../format";
import type { Store } from "../state";
import type { Drawn, Figure } from "./model";

/** "Grad-CAM, layer3.2.conv2"; of the chosen channel: "Saliency of channel 5". */
export function titleOf({ asked, method }: Pick<Figure, "asked" | "method">): string {
  const title = method?.title ?? asked.method;
  if (asked.channel >= 0) return `${title} of channel ${asked.channel}`;
  return asked.layer ? `${title}, ${asked.layer}` : title;
}

/** A number with three digits that count: "0.00123", "1.2e-7". */
export function value(number: number | null | undefined): string {
  if (number === null || number === undefined) return "n/a";
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "NaN" : number > 0 ? "∞" : "−∞";
  const size = Math.abs(number);
  if (size === 0) return "0";
  if (size < 0.001 || size >= 10000) return weight(number);
  return String(Number(number.toPrecision(3))).replace("-", "−");
}

/** "−0.12 to 0.31"; of sizes that it is these. */
export function rangeInWords({ extremes, coloring, nothing }: Drawn): string {
  if (nothing) return "about zero everywhere";
  const { low, high } = extremes;
  return `${coloring.signed ? "" : "size "}${value(low)} to ${value(high)}`;
}

/** How well a map adds up to what it explains, where it should. */
export function sumInWords({ map }: Figure): string {
  const missing = map?.missing ?? null;
  return missing === null
    ? ""
    : `adds up to within ${percent(Math.abs(missing)).replace(" ", "\u00a0")}`;
}

/** What a target means for the chosen input. */
export function targetInWords(store: Store, target: string): string {
  const input = store.inputs.chosen.value;
  const called = (index: number | null | undefined) => store.inputs.className(index ?? null);
  if (target === "channel") {
    return `channel ${store.traits.channel.value} of ${store.traits.layer.value}`;
  }
  if (target === "predicted") return `predicted: ${called(input?.predicted)}`.replace(/: $/, "");
  if (target === "label") return `label: ${called(input?.label)}`.replace(/: $/, "");
  return called(Number(target));
}
