import { useComputed } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { count } from "../format";
import { ProblemNotice } from "../notices";
import { Segments } from "../segments";
import type { ViewProps } from "../state";
import type { Beside } from "../wire/features";
import { Pixels } from "./image";
import { classOf, level, outputName } from "./words";

/** All channels of the layer: a click, or an arrow, chooses one. */
export function Page({ store }: ViewProps) {
  const { maximising } = store;
  const channels = maximising.channels.value;
  const name = outputName(store.layer.value);
  const list = useRef<HTMLDivElement>(null);
  const chosen = store.traits.channel.value;

  useLayoutEffect(() => {
    const tiles = list.current;
    const tile = chosen === null ? undefined : tiles?.children[chosen];
    // the list scrolls, never the view: the answers above stay where they are
    if (tiles && tile instanceof HTMLElement) {
      const top = tile.offsetTop;
      const hidden = top + tile.offsetHeight + 6 - tiles.clientHeight;
      tiles.scrollTop = Math.min(top - 6, Math.max(tiles.scrollTop, hidden));
    }
  }, [chosen]);

  const keys = (event: KeyboardEvent) => {
    const tiles = list.current?.children;
    if (!tiles || channels === 0) return;
    const first = tiles[0] as HTMLElement;
    const across = [...tiles].findIndex(
      (tile) => (tile as HTMLElement).offsetTop !== first.offsetTop,
    );
    const row = across < 1 ? channels : across;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row }[event.key];
    const at = chosen ?? -1;
    const to =
      event.key === "Home"
        ? 0
        : event.key === "End"
          ? channels - 1
          : by === undefined
            ? null
            : // the first press shows where one is
              at < 0
              ? 0
              : at + by;
    if (to === null) return;
    event.preventDefault();
    if (to < 0 || to >= channels) return;
    store.set("channel", to);
    (tiles[to] as HTMLElement).focus({ preventScroll: true });
  };

  const size = channels <= 16 ? 64 : channels <= 64 ? 54 : 44;
  return (
    <section class="cl-page" aria-label={`All ${name}s`}>
      <PageHead store={store} />
      <div
        ref={list}
        class="cl-tiles"
        role="listbox"
        aria-label={`${count(channels)} ${name}s of ${store.traits.layer.value}`}
        aria-orientation="horizontal"
        style={{ "--cl-tile": `${size}px` }}
        onKeyDown={keys}
      >
        {Array.from({ length: channels }, (_, channel) => (
          <TileButton key={channel} store={store} channel={channel} />
        ))}
      </div>
    </section>
  );
}

function PageHead({ store }: ViewProps) {
  const { maximising } = store;
  const { reference } = store.kernel._structure.value;
  const channels = maximising.channels.value;
  const name = outputName(store.layer.value);
  const drawn = maximising.tiles.value.size;
  const filling = maximising.filling.value;
  // said above already
  const shown = maximising.feature.problem.value === null && store.live.value;
  const problem = shown ? maximising.pageProblem.value : null;
  const possible = store.live.value;
  return (
    <>
      <div class="cl-tools">
        <h4>
          All {count(channels)} {name}s
        </h4>
        {reference && (
          <Segments
            label="All channels of"
            options={[
              { id: "model", label: store.kernel._structure.value.model.title },
              { id: "reference", label: reference.title },
            ]}
            value={maximising.side.value}
            choose={(side: Beside) => (maximising.side.value = side)}
          />
        )}
        <span class="cl-space" />
        <span class="cl-hint" role="status">
          {drawn > 0 && drawn < channels ? `${count(drawn)} of ${count(channels)}` : ""}
        </span>
        {filling ? (
          <button type="button" class="cl-button" onClick={() => maximising.stopPage()}>
            Stop
          </button>
        ) : (
          drawn < channels &&
          (possible || drawn === 0) && (
            <button
              type="button"
              class={drawn === 0 ? "cl-button cl-primary" : "cl-button"}
              disabled={!possible}
              title={`Synthesise an input for every ${name} of this layer, and then of each layer that is chosen`}
              onClick={() => maximising.drawAll()}
            >
              {drawn === 0 ? "Draw all" : "Draw the rest"}
            </button>
          )
        )}
      </div>
      {problem && (
        <ProblemNotice
          store={store}
          problem={problem}
          retry={possible ? () => maximising.drawAll() : undefined}
        />
      )}
    </>
  );
}

function TileButton({ store, channel }: ViewProps & { channel: number }) {
  const tile = useComputed(() => store.maximising.tile(channel)).value;
  const selected = useComputed(() => store.traits.channel.value === channel).value;
  const first = useComputed(() => store.traits.channel.value === null).value && channel === 0;
  const never = tile?.fires === false;
  const says = never ? ", never fires" : tile ? `, activation ${level(tile.value)}` : "";
  const classes = ["cl-tile", never && "cl-never"];
  const named = classOf(store, channel);
  const label = `${outputName(store.layer.value)} ${channel}${named && `, ${named}`}${says}`;
  return (
    <button
      type="button"
      role="option"
      class={classes.filter(Boolean).join(" ")}
      aria-selected={selected}
      aria-label={label}
      title={label}
      tabIndex={selected || first ? 0 : -1}
      onClick={() => store.set("channel", channel)}
    >
      {tile && <Pixels bytes={tile.picture} extent={tile.extent} label="" />}
      <span>{named && !named.startsWith("class ") ? named : channel}</span>
    </button>
  );
}
