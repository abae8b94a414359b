// How far a channel came at each step: a line without axes, its end marked.
import type { Colors } from "./colors";

export interface Curve {
  readonly values: Float32Array;
  /** Steps in all: the line ends before the right edge while they are not made. */
  readonly steps: number;
  /** What the height spans: of both models, so that their curves compare. */
  readonly low: number;
  readonly high: number;
}

export function drawCurve(
  context: CanvasRenderingContext2D,
  { values, steps, low, high }: Curve,
  size: { width: number; height: number },
  colors: Colors,
): void {
  const pad = 4;
  const span = high > low ? high - low : 1;
  const x = (step: number) => pad + (step / Math.max(1, steps - 1)) * (size.width - 2 * pad);
  const y = (value: number) => size.height - pad - ((value - low) / span) * (size.height - 2 * pad);
  context.lineWidth = 1;
  context.strokeStyle = colors.line;
  if (low <= 0 && high >= 0) {
    const zero = Math.round(y(0)) + 0.5;
    context.beginPath();
    context.moveTo(pad, zero);
    context.lineTo(size.width - pad, zero);
    context.stroke();
  }
  let last = -1;
  context.beginPath();
  values.forEach((value, step) => {
    if (!Number.isFinite(value)) return;
    if (last < 0) context.moveTo(x(step), y(value));
    else context.lineTo(x(step), y(value));
    last = step;
  });
  if (last < 0) return;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.strokeStyle = colors.accent;
  context.stroke();
  context.beginPath();
  context.arc(x(last), y(values[last] as number), 2.5, 0, 2 * Math.PI);
  context.fillStyle = colors.accent;
  context.fill();
}

/** What all values span, zero among them. */
export function spanOf(curves: readonly Float32Array[]): { low: number; high: number } {
  let [low, high] = [0, 0];
  for (const curve of curves) {
    for (const value of curve) {
      if (value < low) low = value;
      else if (value > high) high = value;
    }
  }
  return { low, high };
}
