import { Canvas, type Size } from "../canvas";
import type { Report } from "../compressing";
import type { Colors } from "../draw/colors";
import { count, weight } from "../format";
import type { ViewProps } from "../state";
import type { Grid } from "../wire/compression";
import type { Beside } from "../wire/features";
import { seeFilters } from "./ranking";
import { byClass, figuresOf } from "./words";

interface Props extends ViewProps {
  report: Report;
}

/** All that is known of the chosen layer. */
export function LayerCard({ store, report }: Props) {
  const { compressing, traits } = store;
  const change = compressing.change.value;
  const key = traits.layer.value;
  if (!change) {
    return (
      <section class="cl-card" aria-label="Chosen layer">
        <h4>
          <bdi>{key}</bdi>
        </h4>
        <p>
          {report.alone.model.includes(key)
            ? `It has no counterpart in ${store.kernel._structure.value.reference?.title}.`
            : "Choose a layer of the list."}
        </p>
      </section>
    );
  }
  const reasons = [...new Set(Object.values(change.reasons))];
  return (
    <section class="cl-card cl-change" aria-label="Chosen layer">
      <h4>
        <bdi>{key}</bdi>
        <button type="button" class="cl-link" onClick={() => seeFilters(store, key)}>
          filters before and after
        </button>
      </h4>
      {change.model !== change.reference && (
        <p>
          in the other: <bdi>{change.reference}</bdi>, matched by {change.how}
        </p>
      )}
      <dl>
        {figuresOf(change).map(
          ([name, value, help]) =>
            value && (
              <div key={name} title={help}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
      {[...reasons, ...change.notes].map((note) => (
        <p key={note} class="cl-fine">
          {note}
        </p>
      ))}
    </section>
  );
}

const SIDES: readonly Beside[] = ["model", "reference"];

/** Scale and zero point of each channel, where the layer is quantised. */
export function ScalesCard({ store }: ViewProps) {
  const { compressing, traits, kernel } = store;
  const found = compressing.scales.value.value;
  if (!found || found.model !== compressing.change.value?.model) return null;
  const { model, reference } = kernel._structure.value;
  return (
    <>
      {SIDES.map((side) => {
        const grid = found[`${side}_grid`];
        const scales = found[`${side}_scales`];
        const zeros = found[`${side}_zeros`];
        const span = found[`${side}_span`];
        if (!grid || !scales || !zeros || !span) return null;
        const at = Math.min(traits.channel.value ?? 0, scales.length - 1);
        return (
          <section key={side} class="cl-card cl-scales" aria-label="Scales">
            <h4>
              int{grid.bits} {grid.per_channel ? "per channel" : "per tensor"}
              <span class="cl-hint">{side === "model" ? model.title : reference?.title}</span>
            </h4>
            <Scales store={store} scales={scales} at={at} />
            <p>
              {grid.per_channel ? `channel ${at}: ` : ""}scale {weight(scales[at])}, zero point{" "}
              {zeros[at]}, integers {span[2 * at]} to {span[2 * at + 1]}
            </p>
            <InputGrid grid={grid} />
          </section>
        );
      })}
    </>
  );
}

function InputGrid({ grid: { input } }: { grid: Grid }) {
  if (!input) return null;
  const [scale, zero, bits] = input;
  return (
    <p>
      its input: int{bits}, scale {weight(scale)}, zero point {zero}
    </p>
  );
}

interface ScalesProps extends ViewProps {
  scales: Float32Array;
  at: number;
}

/** The scales as bars over channels: a click or an arrow key chooses one. */
function Scales({ store, scales, at }: ScalesProps) {
  const draw = (context: CanvasRenderingContext2D, { width, height }: Size, colors: Colors) => {
    const chosen = store.traits.channel.value ?? 0;
    const most = Math.max(...scales) || 1;
    const step = width / scales.length;
    scales.forEach((scale, channel) => {
      context.fillStyle = channel === chosen ? colors.accent : colors.edge;
      const tall = (height * scale) / most;
      context.fillRect(channel * step, height - tall, Math.max(1, step - (step > 4 ? 1 : 0)), tall);
    });
  };
  const choose = (channel: number) =>
    store.set("channel", Math.min(scales.length - 1, Math.max(0, channel)));
  return (
    <div
      class="cl-scale-bars"
      role="slider"
      tabIndex={0}
      aria-label="Scale of each channel"
      aria-valuemin={0}
      aria-valuemax={scales.length - 1}
      aria-valuenow={at}
      aria-valuetext={`channel ${at}, ${weight(scales[at])}`}
      onClick={(event) => {
        const { width, left } = event.currentTarget.getBoundingClientRect();
        choose(Math.floor(((event.clientX - left) / width) * scales.length));
      }}
      onKeyDown={(event) => {
        const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        if (by === undefined) return;
        event.preventDefault();
        choose(at + by);
      }}
    >
      <Canvas store={store} paint={draw} aria-hidden="true" />
    </div>
  );
}

/** From which class inputs flipped, and where to. */
export function ClassesCard({ store, report }: Props) {
  const { compressing, inputs } = store;
  const rows = byClass(report.flips);
  const share = (some: number) => `${(100 * some) / (rows[0]?.flips ?? 1)}%`;
  if (rows.length === 0) return null;
  return (
    <section class="cl-card cl-classes" aria-label="Flips by class">
      <h4>Flips by class</h4>
      {rows.map(({ before, flips, lost, won, to }) => (
        <button
          key={before}
          type="button"
          aria-pressed={compressing.from.value === before}
          title={`${lost} lost, ${won} won; most go to ${inputs.className(to)}`}
          onClick={() => {
            compressing.from.value = compressing.from.value === before ? null : before;
          }}
        >
          <bdi>{inputs.className(before)}</bdi>
          <span class="cl-track">
            <i style={{ width: share(lost) }} />
            <i style={{ width: share(won) }} />
            <i style={{ width: share(flips - lost - won) }} />
          </span>
          <span class="cl-value">{count(flips)}</span>
          <span class="cl-hint">→ {inputs.className(to)}</span>
        </button>
      ))}
      {report.overall.accuracy !== null && (
        <p class="cl-key">
          <i /> lost <i /> won <i /> wrong in both
        </p>
      )}
    </section>
  );
}

/** What could not be compared. */
export function RestCard({ store, report }: Props) {
  const { model, reference } = store.kernel._structure.value;
  const titles = { model: model.title, reference: reference?.title };
  const { alone, notes, isolated } = report;
  return (
    <section class="cl-card" aria-label="Notes">
      <h4>Notes</h4>
      {isolated > 0 && <p>Costs are of {count(isolated)} inputs, one layer at a time.</p>}
      {notes.map((note) => (
        <p key={note}>{note}</p>
      ))}
      {SIDES.map(
        (side) =>
          alone[side].length > 0 && (
            <p key={side}>
              Only in {titles[side]}: <bdi>{alone[side].join(", ")}</bdi>
            </p>
          ),
      )}
    </section>
  );
}
