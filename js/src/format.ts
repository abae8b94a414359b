// Figures and shapes in words. A minus is a true minus; numbers are grouped as in the kernel's texts.
import type { LayerInfo } from "./protocol";

const grouped = new Intl.NumberFormat("en-US");

export const count = (value: number): string => grouped.format(value);

/** A figure with a fixed number of digits; "n/a" where there is none. */
export function figure(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "n/a";
  return value.toFixed(digits).replace("-", "−");
}

/** A share in percent with as many digits as it needs: "12.5 %", "0.05 %", "100 %". */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "n/a";
  const value = share * 100;
  if (value === 0) return "0 %";
  const digits = value < 0.1 ? 3 : value < 1 ? 2 : value < 99.95 ? 1 : 0;
  return `${Number(value.toFixed(digits))} %`;
}

/** A text that leaves no "%" alone at the beginning of a line. */
export const unbroken = (text: string): string => text.replaceAll(" %", "\u00a0%");

/** A probability: never "0.000". */
export function probability(p: number): string {
  return p < 0.001 ? "< 0.001" : `= ${p.toFixed(p < 0.1 ? 3 : 2)}`;
}

/** A length in words that are short: "0.86", "1.2e-5". */
export function weight(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "n/a";
  const size = Math.abs(value);
  const text =
    size !== 0 && (size < 0.001 || size >= 10000) ? value.toExponential(1) : plain(value);
  return text.replaceAll("-", "−");
}

function plain(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || size === 0 ? 2 : 4);
}

/** "16 × 16 filters of 3 × 3", "10 × 64 weights", and what is special about them. */
export function shapeInWords({ shape, groups, transposed }: LayerInfo): string {
  const [out, inputs, ...kernel] = shape;
  if (out === undefined) return "shape not known yet";
  if (inputs === undefined) return `${count(out)} weights`;
  const sides = `${count(out)} × ${count(inputs)}`;
  const words = kernel.length ? `${sides} filters of ${kernel.join(" × ")}` : `${sides} weights`;
  const grouping = groups === 1 ? "" : inputs === 1 ? ", depthwise" : `, ${count(groups)} groups`;
  return words + grouping + (transposed ? ", transposed" : "");
}

/** The last part of a layer's key, with its call: "relu:1" of "layer1.0.relu:1". */
export const leaf = (key: string): string => key.slice(key.lastIndexOf(".") + 1);

/** How a layer is called: by its key, or by its kind where it is the whole model. */
export const nameOf = (layer: LayerInfo | undefined): string =>
  layer ? layer.key || layer.kind : "";

/** What stands before the leaf: "layer1.0"; "" at the top. */
export const prefix = (key: string): string => key.slice(0, Math.max(0, key.lastIndexOf(".")));
