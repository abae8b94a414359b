import { useMemo } from "preact/hooks";
import { Canvas, type Size } from "../canvas";
import type { Colors } from "../draw/colors";
import { drawPeaks, drawWeights } from "../draw/histogram";
import { sparseCount } from "../eps";
import { count } from "../format";
import { ProblemNotice } from "../notices";
import type { Store, ViewProps } from "../state";

/** The chosen layer's distributions; eps is a line in the second. */
export function DistributionPanel({ store }: ViewProps) {
  const { value, problem } = store.distribution.value;
  const layer = store.layer.value;
  const painters = useMemo(() => distributionPainters(store), [store]);
  const reason = layer?.reason ?? null;
  if (reason !== null) {
    return <p class="cl-hint cl-histograms">No weights to draw: {reason}.</p>;
  }
  if (problem && !value) {
    return (
      <div class="cl-histograms">
        <ProblemNotice store={store} problem={problem} retry={() => store.retry("distribution")} />
      </div>
    );
  }
  if (!value && store.lost.value) {
    return <p class="cl-hint cl-histograms">Not loaded: {store.lost.value}</p>;
  }
  if (!value) {
    return (
      <div class="cl-histograms" aria-busy="true">
        <div class="cl-skeleton" />
        <div class="cl-skeleton" />
      </div>
    );
  }
  const { title } = store.pairing;
  const outlined = referenceOf(store) ? `, outlined that of ${title.value}` : "";
  const hint = outlined ? `Outlined: ${title.value}` : undefined;
  return (
    <div class="cl-histograms">
      <Canvas
        store={store}
        paint={painters.weights}
        role="img"
        aria-label={`Histogram of the ${count(value.n)} weights${outlined}`}
        title={hint}
      />
      <Canvas
        store={store}
        paint={painters.peaks}
        role="img"
        aria-label={peaksInWords(store) + outlined}
        title={hint}
      />
    </div>
  );
}

function peaksInWords(store: Store): string {
  const row = store.measuring.row.value;
  if (!row) return "Histogram of the largest weight of each filter";
  const grid = store.kernel._structure.value.eps_grid;
  const sparse = sparseCount(row, store.traits.eps.value, grid);
  if (sparse === null) return "Histogram of the largest weight of each filter";
  return `${count(sparse)} of ${count(row.n)} filters are sparse`;
}

/** The reference's distribution of the same layer, once it is there. */
function referenceOf(store: Store) {
  return store.pairing.partner.value ? store.pairing.distribution.value.value : null;
}

/** Draws both from what is loaded; nothing while it is not. */
export function distributionPainters(store: Store) {
  const weights = (context: CanvasRenderingContext2D, size: Size, colors: Colors) => {
    const { value } = store.distribution.value;
    const named = store.pairing.title.value;
    if (value)
      drawWeights(context, size.width, size.height, value, colors, referenceOf(store), named);
  };
  const peaks = (context: CanvasRenderingContext2D, size: Size, colors: Colors) => {
    const { value } = store.distribution.value;
    if (!value) return;
    const row = store.measuring.row.value;
    const grid = store.kernel._structure.value.eps_grid;
    const sparse = row ? sparseCount(row, store.traits.eps.value, grid) : null;
    const words = sparse === null ? "" : `${count(sparse)} sparse`;
    const { width, height } = size;
    const eps = store.traits.eps.value;
    drawPeaks(context, width, height, value, eps, words, colors, referenceOf(store));
  };
  return { weights, peaks };
}
