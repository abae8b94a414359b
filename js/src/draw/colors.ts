// The colour tokens as a canvas needs them: read once for a theme, from the widget's own root.

const TOKENS = {
  bg: "--cl-bg",
  panel: "--cl-panel",
  fg: "--cl-fg",
  muted: "--cl-muted",
  line: "--cl-line",
  edge: "--cl-edge",
  soft: "--cl-soft",
  accent: "--cl-accent",
  sparse: "--cl-sparse",
  entropy: "--cl-entropy",
  good: "--cl-good",
  warn: "--cl-warn",
  bad: "--cl-bad",
} as const;

export type Colors = Record<keyof typeof TOKENS, string>;

/** null while the style sheet is not there: a host may add it, or the element, only later. */
export function readColors(element: Element): Colors | null {
  const style = getComputedStyle(element);
  if (!style.getPropertyValue(TOKENS.bg)) return null;
  const colors = {} as Colors;
  for (const [name, token] of Object.entries(TOKENS)) {
    colors[name as keyof Colors] = style.getPropertyValue(token).trim() || "#888";
  }
  return colors;
}
