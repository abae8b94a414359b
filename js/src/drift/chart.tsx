import { LayerChart } from "../chart";
import { drawTracks, layoutTracks, type Tracks } from "../draw/tracks";
import type { Drift } from "../drifting";
import { stages } from "../stages";
import type { Store } from "../state";

/** What the chart draws, from the store; `hovered` is the view's own. */
export function tracksOf(store: Store, found: Drift, hovered: number): Tracks {
  return {
    slots: found.layers,
    bands: found.arrays.bands,
    stages: stages(found.layers.map(({ key }) => key)),
    selected: store.drifting.place.value,
    hovered,
    titles: found.titles,
    signs: found.signs,
  };
}

export function Chart({ store, found }: { store: Store; found: Drift }) {
  const { place, asking } = store.drifting;
  // a module that is called twice is chosen by its first call
  const layers = found.layers.map(
    ({ key }) => store.layers.value.find((one) => one.key === key || one.name === key)?.key ?? key,
  );
  return (
    <div class="cl-gallery cl-tracks">
      <LayerChart
        store={store}
        label="Drift, entropy and sparsity of the layers"
        layers={layers}
        place={place.value}
        words={(index) => {
          const row = found.layers[index];
          return row ? [row.key, ...row.said] : [];
        }}
        draw={(context, { width, height }, colors, hovered) => {
          // read here, so that it is drawn anew when other figures come
          const shown = asking.value.value;
          if (!shown?.whole) return;
          const layout = layoutTracks(width, height, shown.layers.length);
          drawTracks(context, layout, tracksOf(store, shown, hovered), colors);
        }}
        layout={({ width, height }) => ({ ...layoutTracks(width, height, layers.length), tip: 30 })}
        wide={212}
      />
    </div>
  );
}
