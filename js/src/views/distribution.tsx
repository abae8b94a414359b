import { computed, type ReadonlySignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { Canvas, type Size } from "../canvas";
import type { Colors } from "../draw/colors";
import { drawPeaks, drawWeights } from "../draw/histogram";
import { sparseCount } from "../eps";
import { count } from "../format";
import { useLate } from "../late";
import type { Distribution } from "../load";
import { ProblemNotice } from "../notices";
import type { Store, ViewProps } from "../state";

/** The chosen layer's distributions; eps is a line in the second. */
export function DistributionPanel({ store }: ViewProps) {
  const { value, problem } = store.distribution.value;
  const layer = store.layer.value;
  // while the next is on its way the last; neither is painted twice
  const [drawn, painters] = useMemo(() => {
    let last: Distribution | null = null;
    const shown = computed(() => {
      last = store.distribution.value.value ?? last;
      return last;
    });
    return [shown, distributionPainters(store, shown)] as const;
  }, [store]);
  const shown = drawn.value;
  const late = useLate(!value);
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
  if (!shown || late) {
    return (
      <div class="cl-histograms" aria-busy="true">
        <div class="cl-skeleton" />
        <div class="cl-skeleton" />
      </div>
    );
  }
  const { title } = store.pairing;
  const outlined = referenceOf(store, shown) ? `, outlined that of ${title.value}` : "";
  const hint = outlined ? `Outlined: ${title.value}` : undefined;
  return (
    <div class="cl-histograms" aria-busy={!value}>
      <Canvas
        store={store}
        paint={painters.weights}
        role="img"
        aria-label={`Histogram of the ${count(shown.n)} weights${outlined}`}
        title={hint}
      />
      <Canvas
        store={store}
        paint={painters.peaks}
        role="img"
        aria-label={peaksInWords(store, shown) + outlined}
        title={hint}
      />
    </div>
  );
}

/** How many of its filters are sparse; null where that is not known. */
function sparseIn(store: Store, { layer }: Distribution): number | null {
  const row = store.measuring.rows.value.get(layer);
  return row
    ? sparseCount(row, store.traits.eps.value, store.kernel._structure.value.eps_grid)
    : null;
}

function peaksInWords(store: Store, shown: Distribution): string {
  const sparse = sparseIn(store, shown);
  if (sparse === null) return "Histogram of the largest weight of each filter";
  return `${count(sparse)} of ${count(shown.n)} filters are sparse`;
}

/** The reference's distribution of the same layer, once it is there. */
function referenceOf({ pairing, traits }: Store, { layer }: Distribution) {
  const here = pairing.partner.value && layer === traits.layer.value;
  return here ? pairing.distribution.value.value : null;
}

/** Draws both from what is loaded; nothing while it is not. */
export function distributionPainters(store: Store, shown: ReadonlySignal<Distribution | null>) {
  const weights = (context: CanvasRenderingContext2D, size: Size, colors: Colors) => {
    const { value } = shown;
    if (!value) return;
    const named = store.pairing.title.value;
    const reference = referenceOf(store, value);
    drawWeights(context, size.width, size.height, value, colors, reference, named);
  };
  const peaks = (context: CanvasRenderingContext2D, size: Size, colors: Colors) => {
    const { value } = shown;
    if (!value) return;
    const sparse = sparseIn(store, value);
    const words = sparse === null ? "" : `${count(sparse)} sparse`;
    const { width, height } = size;
    const eps = store.traits.eps.value;
    drawPeaks(context, width, height, value, eps, words, colors, referenceOf(store, value));
  };
  return { weights, peaks };
}
