import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { besideInWords } from "../change";
import { LayerChart } from "../chart";
import { type BarsData, drawBars, layoutBars } from "../draw/bars";
import { entropyOf, nearestIndex, sparseCount, sparsityAt } from "../eps";
import { count, figure, nameOf, percent } from "../format";
import { MomentPanel } from "../history/moment";
import { HistorySlider } from "../history/slider";
import type { Entropy, Row } from "../protocol";
import { Segments } from "../segments";
import { stages } from "../stages";
import type { Store, ViewProps } from "../state";
import { DistributionPanel } from "./distribution";
import { qualityPicture } from "./picture";
import { Formulas, VerdictCard } from "./verdict";

const MODES: readonly { id: Entropy; label: string; title: string }[] = [
  { id: "normalized", label: "normalised", title: "Of what random filters have" },
  { id: "raw", label: "raw", title: "In decimal digits" },
  { id: "clean", label: "pruned", title: "Without the sparse filters" },
];

export function QualityView({ store }: ViewProps) {
  const view = useRef<HTMLDivElement>(null);
  const unfolded = useSignal(false);
  useLayoutEffect(() => {
    store.picture.value = () => qualityPicture(store, view.current as HTMLDivElement);
    return () => {
      store.picture.value = null;
    };
  }, [store]);
  return (
    <div class="cl-quality" ref={view}>
      <div class="cl-tools">
        <EpsSlider store={store} />
        <span class="cl-space" />
        <Segments
          label="Entropy"
          options={MODES}
          value={store.traits.entropy.value}
          choose={(mode) => store.set("entropy", mode)}
        />
      </div>
      <HistorySlider store={store} />
      <div class="cl-charts">
        <Chart store={store} />
        <Formulas store={store} unfolded={unfolded} />
      </div>
      <div class="cl-layer">
        {store.history.words.value ? (
          <MomentPanel store={store} />
        ) : (
          <>
            <DistributionPanel store={store} />
            <VerdictCard store={store} unfolded={unfolded} />
          </>
        )}
      </div>
    </div>
  );
}

function EpsSlider({ store }: ViewProps) {
  const grid = store.kernel._structure.value.eps_grid;
  const eps = store.history.eps.value;
  const past = store.history.words.value && "Snapshots are of the eps that they were taken with";
  // In a saved page it moves what can be drawn; with the kernel lost it would promise too much.
  const lost = store.lost.value;
  const at = (event: { currentTarget: HTMLInputElement }) =>
    grid[Number(event.currentTarget.value)] as number;
  return (
    <label
      class="cl-eps"
      title={
        lost ||
        past ||
        "A filter is sparse when all its weights are below eps times the layer's largest"
      }
    >
      <span>eps</span>
      <input
        type="range"
        min={0}
        max={grid.length - 1}
        step={1}
        disabled={(lost || past) !== ""}
        value={nearestIndex(grid, eps)}
        aria-label="eps, the threshold of sparsity"
        aria-valuetext={percent(eps)}
        onInput={(event) => store.preview("eps", at(event))}
        onChange={(event) => store.set("eps", at(event))}
      />
      <output>{percent(eps)}</output>
    </label>
  );
}

/** What the chart draws, from the store; `hovered` is the view's own. */
export function barsData(store: Store, hovered: number): BarsData {
  const { eps, entropy, layer } = store.traits;
  const mode = entropy.value;
  // Without a kernel to ask, what was pruned stays what it was pruned at.
  const measured = store.measuring.row.value?.eps ?? eps.value;
  const at = Math.abs(measured - eps.value) > 1e-9 ? ` (eps ${percent(measured)})` : "";
  const titles = {
    normalized: [
      "Variance entropy, of what random filters have",
      "Variance entropy, of random",
      "Entropy",
    ],
    raw: ["Variance entropy", "Entropy"],
    clean: [
      `Variance entropy without sparse filters${at}, of what random filters have`,
      `Entropy without sparse filters${at}, of random`,
      `Entropy of filters not sparse${at}`,
    ],
  };
  const limit = percent(store.history.eps.value);
  const then = store.history.words.value && ` at ${store.history.words.value}`;
  const layers = store.layers.value;
  const { pairing } = store;
  const { _structure } = store.kernel;
  return {
    bars: store.measuring.bars.value,
    stages: stages(layers.map(({ key }) => key)),
    selected: layers.findIndex(({ key }) => key === layer.value),
    hovered,
    mode,
    guides: store.kernel._structure.value.guides,
    entropyTitle: titles[mode].map((title) =>
      title.replace(/^Variance entropy|^Entropy/, `$&${then}`),
    ),
    sparsityLeast: Math.max(store.history.most.value, pairing.most.value),
    reference: pairing.title.value
      ? { bars: pairing.bars.value, titles: [_structure.value.model.title, pairing.title.value] }
      : null,
    sparsityTitle: [
      `Sparsity${then}, share of filters below ${limit} of the largest weight`,
      `Sparsity${then}, share below ${limit} of the largest`,
      `Sparsity${then}`,
    ],
  };
}

function Chart({ store }: ViewProps) {
  const layers = store.layers.value.map(({ key }) => key);
  return (
    <LayerChart
      store={store}
      label="Variance entropy and sparsity of the layers"
      layers={layers}
      place={layers.indexOf(store.traits.layer.value)}
      words={(index) => layerInWords(store, index)}
      draw={(context, { width, height }, colors, hovered) => {
        const layout = layoutBars(width, height, store.layers.value.length);
        drawBars(context, layout, barsData(store, hovered), colors);
      }}
      layout={({ width, height }) => {
        const found = layoutBars(width, height, layers.length);
        return { ...found, tip: found.entropy.top + 8 };
      }}
    />
  );
}

/** A layer's name and figures at the eps and mode of the moment, or why it has none. */
function layerInWords(store: Store, index: number): string[] {
  const layer = store.layers.value[index];
  if (!layer) return [];
  const row = store.measuring.rows.value.get(layer.key);
  const reason = layer.reason ?? row?.reason ?? null;
  if (reason !== null) return [nameOf(layer), `no score: ${reason}`];
  if (!row) return [nameOf(layer), "not measured yet"];
  const { eps, entropy } = store.traits;
  const grid = store.kernel._structure.value.eps_grid;
  const { value, why } = entropyOf(row, entropy.value);
  const ofRandom = entropy.value === "raw" ? "" : " of random";
  const share = percent(sparsityAt(row, eps.value, grid));
  const sparse = count(sparseCount(row, eps.value, grid) ?? 0);
  const entropyIn = (other: Row) => entropyOf(other, entropy.value).value;
  const shareIn = (other: Row) => sparsityAt(other, store.history.eps.value, grid);
  return [
    nameOf(layer),
    value === null ? `no entropy: ${why}` : `entropy ${figure(value)}${ofRandom}`,
    besideInWords(store, layer.key, entropyIn),
    `sparsity ${share} (${sparse} of ${count(row.n)})`,
    besideInWords(store, layer.key, shareIn, "share"),
    store.pairing.lacks(layer.key) ? `no counterpart in ${store.pairing.title.value}` : "",
  ].filter(Boolean);
}
