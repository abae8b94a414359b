import { effect, signal } from "@preact/signals";
import type { HTMLAttributes } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Colors } from "./draw/colors";
import type { Store } from "./state";

export interface Size {
  width: number;
  height: number;
}

interface Props extends HTMLAttributes<HTMLCanvasElement> {
  store: Store;
  /**
   * Draws in CSS pixels. It runs again, at once, when a signal that it read changes, when the
   * canvas changes its size and when the theme does. The size stays the same object meanwhile.
   */
  paint: (context: CanvasRenderingContext2D, size: Size, colors: Colors) => void;
}

/** A canvas as large as CSS makes it, sharp on every screen. */
export function Canvas({ store, paint, ...rest }: Props) {
  const ref = useRef<HTMLCanvasElement>(null);
  const latest = useRef(paint);
  latest.current = paint;

  useLayoutEffect(() => {
    const canvas = ref.current as HTMLCanvasElement;
    const context = canvas.getContext("2d");
    if (!context) return;
    const measure = (): Size => ({ width: canvas.clientWidth, height: canvas.clientHeight });
    const size = signal(measure());
    const observer = new ResizeObserver(() => {
      const { width, height } = measure();
      if (width !== size.value.width || height !== size.value.height) size.value = measure();
    });
    observer.observe(canvas);
    const stop = effect(() => {
      const box = size.value;
      const { width, height } = box;
      const colors = store.colors.value;
      if (width === 0 || height === 0 || !colors) return;
      const ratio = devicePixelRatio || 1;
      const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
      if (canvas.width !== across) canvas.width = across;
      if (canvas.height !== down) canvas.height = down;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      latest.current(context, box, colors);
    });
    return () => {
      stop();
      observer.disconnect();
    };
  }, [store]);

  return <canvas ref={ref} {...rest} />;
}
