import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Icon } from "../icons";
import type { ViewProps } from "../state";
import { TRENDS } from "./trends";

/** From the first snapshot to now: what it stands at is what the bars show. */
export function HistorySlider({ store }: ViewProps) {
  const { history } = store;
  const { length } = history.moments.value;
  const playing = useSignal(false);
  const chosen = store.traits.step.value !== null && history.place.value >= 0;
  const at = chosen ? history.place.value : length;
  const words = history.words.value;
  const said = chosen ? `at ${words}` : words ? `latest: ${words}` : "now";

  const show = (place: number) => store.preview("step", history.stepOf(place));
  const settle = () => store.set("step", store.traits.step.peek());
  useEffect(() => {
    if (!playing.value) return;
    const timer = setInterval(
      () => {
        const next = store.traits.step.peek() === null ? length : history.place.peek() + 1;
        show(next);
        if (next < history.moments.peek().length) return;
        playing.value = false;
      },
      Math.min(400, Math.max(60, 8000 / length)),
    );
    // paused, at its end, or another view: Python hears where it stands
    return () => {
      clearInterval(timer);
      settle();
    };
  }, [playing.value]);

  if (length === 0) return null;
  const play = () => {
    playing.value = !playing.value;
    if (playing.value && at >= length) show(0);
  };
  return (
    <div class="cl-tools cl-history">
      <button
        type="button"
        class="cl-tool"
        aria-label={playing.value ? "Pause" : "Play"}
        title={playing.value ? "Pause" : "Play training"}
        onClick={play}
      >
        <Icon name={playing.value ? "pause" : "play"} />
      </button>
      <input
        type="range"
        min={0}
        max={length}
        value={at}
        aria-label="Snapshot of training"
        aria-valuetext={said}
        onInput={(event) => {
          playing.value = false;
          show(Number(event.currentTarget.value));
        }}
        onChange={settle}
      />
      <output class={words && "cl-then"}>{said}</output>
      {chosen && (
        <button type="button" class="cl-link" onClick={() => store.set("step", null)}>
          Back to now
        </button>
      )}
      <label class="cl-choice" title="What the lines beside the layers show">
        trend
        <select
          value={history.trend.value}
          onChange={(event) => (history.trend.value = event.currentTarget.value)}
        >
          {Object.entries(TRENDS).map(
            ([name, [title]]) =>
              history.figures.value.includes(name) && (
                <option key={name} value={name}>
                  {title}
                </option>
              ),
          )}
        </select>
      </label>
    </div>
  );
}
