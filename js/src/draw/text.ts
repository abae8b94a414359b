// Text on a canvas, in the widget's font.

const FAMILY = 'system-ui, "Segoe UI", Inter, "DejaVu Sans", sans-serif';

export const font = (size: number, weight = 400): string => `${weight} ${size}px ${FAMILY}`;

export interface TextStyle {
  size?: number;
  weight?: number;
  color: string;
  align?: CanvasTextAlign;
  baseline?: CanvasTextBaseline;
}

export function write(
  context: CanvasRenderingContext2D,
  text: string,
  x: number,
  y: number,
  { size = 11, weight = 400, color, align = "left", baseline = "alphabetic" }: TextStyle,
): void {
  context.font = font(size, weight);
  context.fillStyle = color;
  context.textAlign = align;
  context.textBaseline = baseline;
  context.fillText(text, x, y);
}

export function widthOf(context: CanvasRenderingContext2D, text: string, size = 11, weight = 400) {
  context.font = font(size, weight);
  return context.measureText(text).width;
}

/** The text, its middle left out where it is wider than `width`. */
export function fitMiddle(
  context: CanvasRenderingContext2D,
  text: string,
  width: number,
  size = 11,
  weight = 400,
): string {
  // with its dots a text one letter shorter is wider
  if (widthOf(context, text, size, weight) <= width) return text;
  const letters = Array.from(text);
  const shortened = (kept: number) =>
    kept >= letters.length
      ? text
      : `${letters.slice(0, Math.ceil(kept / 2)).join("")}…${letters.slice(letters.length - Math.floor(kept / 2)).join("")}`;
  let low = 1;
  let high = letters.length;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (widthOf(context, shortened(middle), size, weight) <= width) low = middle;
    else high = middle - 1;
  }
  return shortened(low);
}

/** Lines of words no wider than `width`. */
export function wrap(
  context: CanvasRenderingContext2D,
  text: string,
  width: number,
  size = 11,
): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    const longer = line ? `${line} ${word}` : word;
    if (line && widthOf(context, longer, size) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  if (line) lines.push(line);
  return lines;
}
