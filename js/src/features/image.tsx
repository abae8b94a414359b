import { useLayoutEffect, useRef } from "preact/hooks";
import type { Problem } from "../cache";
import { type Box, CRISP, imageOf, partOf } from "../draw/pixels";
import type { ViewProps } from "../state";
import type { Extent } from "../wire/features";

interface Props {
  bytes: Uint8Array;
  extent: Extent;
  /** Which of several that lie one behind the other. */
  index?: number;
  /** What of it, in shares: top, left, bottom, right; all where it is left out. */
  box?: Box | undefined;
  /** "" where what stands around it says what it is. */
  label: string;
}

/** A picture at its own resolution, as large as CSS makes it. */
export function Pixels({ bytes, extent, index = 0, box, label }: Props) {
  const ref = useRef<HTMLCanvasElement>(null);
  const { x, y, width, height } = partOf(extent, box);
  useLayoutEffect(() => {
    const canvas = ref.current as HTMLCanvasElement;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = canvas.getContext("2d");
    const image = context && imageOf(bytes, extent, index);
    if (context && image) context.putImageData(image, -x, -y);
  }, [bytes, extent, index, x, y, width, height]);
  const named = label ? { role: "img" as const, "aria-label": label } : { "aria-hidden": true };
  return <canvas ref={ref} class={Math.max(width, height) < CRISP ? "cl-crisp" : ""} {...named} />;
}

/** Why there is nothing to see. */
export function Why({ store, problem }: ViewProps & { problem: Problem }) {
  if (store.kernel._structure.value.offline) {
    return <p class="cl-say">It was not looked for before this page was saved.</p>;
  }
  return (
    <p class="cl-say" role="alert">
      {problem.message}
    </p>
  );
}
