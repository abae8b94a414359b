import type { Report } from "../compressing";
import { count, figure, weight } from "../format";
import type { ViewProps } from "../state";
import type { Beside } from "../wire/features";
import { seeFilters } from "./ranking";

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
  const figures = store.kernel._structure.value.compression.figures;
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
        {figures.map(
          ([name, help], at) =>
            change.figures[at] && (
              <div key={name} title={help}>
                <dt>{name}</dt>
                <dd>{change.figures[at]}</dd>
              </div>
            ),
        )}
      </dl>
      {change.notes.map((note) => (
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
  const { compressing, kernel } = store;
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
        return (
          <section key={side} class="cl-card cl-scales" aria-label="Scales">
            <h4>
              int{grid.bits} {grid.per_channel ? "per channel" : "per tensor"}
              <span class="cl-hint">{side === "model" ? model.title : reference?.title}</span>
            </h4>
            <div class="cl-values" tabIndex={scales.length > 6 ? 0 : undefined}>
              <table>
                <tr>
                  {["channel", "scale", "zero point", "integers"].map((name) => (
                    <th key={name} scope="col">
                      {name}
                    </th>
                  ))}
                </tr>
                {Array.from(scales, (scale, at) => (
                  <tr key={at}>
                    <td>{at}</td>
                    <td>{scale.toPrecision(4)}</td>
                    <td>{zeros[at]}</td>
                    <td>
                      {figure(span[2 * at], 0)} to {figure(span[2 * at + 1], 0)}
                    </td>
                  </tr>
                ))}
              </table>
            </div>
            {grid.input && (
              <p>
                its input: int{grid.input[2]}, scale {weight(grid.input[0])}, zero point{" "}
                {grid.input[1]}
              </p>
            )}
          </section>
        );
      })}
    </>
  );
}

/** From which class inputs flipped, and where to. */
export function ClassesCard({ store, report }: Props) {
  const { compressing, inputs } = store;
  const rows = report.classes;
  const share = (some: number) => `${(100 * some) / (rows[0]?.[1] ?? 1)}%`;
  if (rows.length === 0) return null;
  return (
    <section class="cl-card cl-classes" aria-label="Flips by class">
      <h4>Flips by class</h4>
      {rows.map(([before, flips, lost, won, to]) => (
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
      {report.flips[0]?.label != null && (
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
  const { alone, notes } = report;
  return (
    <section class="cl-card" aria-label="Notes">
      <h4>Notes</h4>
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
