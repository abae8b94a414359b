import { effect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { paintKernel } from "../draw/kernel";
import { kernelOf } from "../draw/layout";
import { entropyOf, normOf } from "../filters";
import { figure, percent, unbroken, weight } from "../format";
import { Icon } from "../icons";
import { Name } from "../name";
import type { Store } from "../state";
import type { GalleryModel } from "./model";
import { titles } from "./pair";
import { digitsFor, findings } from "./words";

interface Props {
  store: Store;
  model: GalleryModel;
  /** The reference's, where its filters are those of the model one by one. */
  reference?: GalleryModel | null;
}

interface KernelProps {
  store: Store;
  sizes: readonly number[];
  values: Float32Array;
  /** |value| of the last colour. */
  range: number;
  /** CSS pixels of the longer side. */
  side: number;
  label: string;
}

/** One kernel, enlarged. */
export function KernelImage({ store, sizes, values, range, side, label }: KernelProps) {
  const ref = useRef<HTMLCanvasElement>(null);
  const dark = store.theme.value === "dark";
  const kernel = kernelOf(sizes);
  useLayoutEffect(() => {
    paintKernel(ref.current as HTMLCanvasElement, kernel, values, range, dark);
  });
  const across = kernel.depth * kernel.width + kernel.depth - 1;
  const down = kernel.height === 1 ? Math.max(1, across / 3) : kernel.height;
  const unit = side / Math.max(across, down);
  const style = { width: `${Math.round(across * unit)}px`, aspectRatio: `${across} / ${down}` };
  return <canvas ref={ref} class="cl-kernel" role="img" aria-label={label} style={style} />;
}

/** The filter pointed at, or chosen: its taps, their values, and what is said of it. */
export function FilterCard({ store, model, reference }: Props) {
  const { inputs, taps, kernel, maxAbs, loaded } = model.set.value;
  if (loaded * inputs === 0) return null;
  const filter = model.shown.value;
  const values = model.weights.value.subarray(filter * taps, (filter + 1) * taps);
  const peak = model.peaks.value.peaks[filter] as number;
  const bad = model.peaks.value.bad[filter] === 1;
  const sparse = model.sparse.value.mask[filter] === 1;
  const pinned = model.pinned.value === filter;
  const pointed = model.hover.value === filter;
  const range = model.reach.value?.range ?? (model.ranges.value[filter] as number);
  const name = nameOf(filter, inputs);
  const cluster = model.clusterOf(filter);
  const beside = kernelOf(kernel).width <= 3 && taps <= 9;
  const state = pinned ? "pinned" : pointed || model.hover.value !== null ? "" : "largest weight";
  return (
    <section class="cl-card cl-filter" aria-label="Filter">
      <h4>
        {name}
        <span class="cl-hint">{state}</span>
        {(bad || sparse) && (
          <span
            class={bad ? "cl-mark cl-mark-bad" : "cl-mark"}
            title={stateInWords(bad, sparse, store.traits.eps.value)}
          >
            {bad ? "not finite" : "sparse"}
          </span>
        )}
        {pinned && (
          <button
            type="button"
            class="cl-tool"
            aria-label={`Let go of ${name}`}
            title="Let go (Esc)"
            onClick={() => model.pin(store, filter, true)}
          >
            <Icon name="close" size={12} />
          </button>
        )}
      </h4>
      {reference ? (
        <Both store={store} model={model} reference={reference} range={range} name={name} />
      ) : (
        <div class={beside ? "cl-beside" : "cl-below"}>
          <KernelImage
            store={store}
            sizes={kernel}
            values={values}
            range={range}
            side={beside ? 74 : 132}
            label={`Kernel of ${name}`}
          />
          <Values sizes={kernel} values={values} digits={digitsFor(maxAbs)} />
        </div>
      )}
      <dl class="cl-facts-line">
        <Fact name="norm" value={weight(normOf(values, taps, 0))} title="√Σw²" />
        <Fact name="largest" value={weight(peak)} title="max |w|" />
        {taps > 1 && (
          <Fact
            name="entropy"
            value={figure(entropyOf(values, taps, 0), 2)}
            title="How evenly its energy lies over its taps: 0 on a single one, 1 on all alike"
          />
        )}
        {cluster !== null && <Fact name="cluster" value={String(cluster)} title="Alike filters" />}
      </dl>
    </section>
  );
}

/** A filter of the model, that of the reference in its place, and what lies between them. */
function Both({ store, model, reference, range, name }: Required<Props> & OfBoth) {
  if (!reference) return null;
  const { taps, kernel, maxAbs } = model.set.value;
  const filter = model.shown.value;
  const part = (of: GalleryModel) => of.weights.value.subarray(filter * taps, (filter + 1) * taps);
  const mine = part(model);
  const there = part(reference);
  const come = there.length === taps;
  const theirs = come ? there : new Float32Array(taps);
  const change = mine.map((value, tap) => value - (theirs[tap] as number));
  const peak = change.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const moved = normOf(change, taps, 0) / normOf(theirs, taps, 0);
  const share = Number.isFinite(moved) ? `, ${percent(moved)}` : "";
  const digits = digitsFor(maxAbs);
  const [title, other] = titles(store);
  return (
    <>
      {(
        [
          [title, mine, range],
          [other, theirs, range],
          [`difference${share}`, change, peak],
        ] as const
      ).map(([whose, values, reach], place) => (
        <div key={place} class={come || place === 0 ? "cl-side" : "cl-side cl-awaited"}>
          <h5 title={place === 2 ? "‖w − w′‖ / ‖w′‖; its colours are its own" : undefined}>
            <Name text={whose} />
          </h5>
          <div class="cl-beside">
            <KernelImage
              store={store}
              sizes={kernel}
              values={values}
              range={reach}
              side={46}
              label={`Kernel of ${name}: ${whose}`}
            />
            <Values sizes={kernel} values={values} digits={digits} />
          </div>
        </div>
      ))}
    </>
  );
}

interface OfBoth {
  range: number;
  name: string;
}

const nameOf = (filter: number, inputs: number): string =>
  `out ${Math.floor(filter / inputs)}, in ${filter % inputs}`;

function stateInWords(bad: boolean, sparse: boolean, eps: number): string {
  if (bad) return "Holds NaN or infinite weights.";
  const limit = `${percent(eps)} of the layer’s largest weight`;
  return sparse ? `Sparse: all below ${limit}.` : `Not sparse: reaches ${limit}.`;
}

function Fact({ name, value, title }: { name: string; value: string; title: string }) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

interface ValuesProps {
  sizes: readonly number[];
  values: Float32Array;
  digits: number;
}

/** The weights as they lie in the kernel, slice under slice. */
function Values({ sizes, values, digits }: ValuesProps) {
  const { width, height } = kernelOf(sizes);
  const fewer = width > 3 ? Math.max(2, digits - (width > 5 ? 2 : 1)) : digits;
  const rows = Array.from({ length: values.length / width }, (_, row) =>
    Array.from(values.subarray(row * width, (row + 1) * width)),
  );
  return (
    <div class="cl-values" tabIndex={values.length > 49 ? 0 : undefined}>
      <table>
        <tbody>
          {rows.map((row, y) => (
            <tr key={y} class={y > 0 && y % height === 0 ? "cl-slice" : undefined}>
              {row.map((value, x) => (
                <td key={x}>{tap(value, fewer)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function tap(value: number, digits: number): string {
  const text = Number.isFinite(value) ? value.toFixed(digits) : String(value);
  const unsigned = text.replace("-", "").replace("Infinity", "∞");
  // no "−0.000"
  return value < 0 && Number(text) !== 0 ? `−${unsigned}` : unsigned;
}

/** Eigenimages shown at most. */
const BASIS = 9;

/** The patterns that the layer's filters are made of. */
export function BasisCard({ store, model }: Props) {
  const { kernel, taps, eigenimages, explained } = model.set.value;
  const found = Math.min(explained.length, eigenimages.length / taps);
  // nothing varies in a layer of zeros
  if (taps < 2 || found === 0 || !((explained[0] as number) > 0)) return null;
  const shown = Math.min(BASIS, found);
  const wide = kernelOf(kernel).depth > 1;
  const together = explained.subarray(0, shown).reduce((sum, share) => sum + share, 0);
  return (
    <section class="cl-card" aria-label="Basis filters">
      <h4>Basis filters and explained variance</h4>
      <ol class={wide ? "cl-basis cl-basis-wide" : "cl-basis"}>
        {Array.from({ length: shown }, (_, index) => {
          const values = eigenimages.subarray(index * taps, (index + 1) * taps);
          const range = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          const share = `${Math.round(100 * (explained[index] as number))} %`;
          return (
            <li key={share + String(index)}>
              <KernelImage
                store={store}
                sizes={kernel}
                values={values}
                range={range}
                side={wide ? 60 : 32}
                label={`Basis filter ${index + 1}, ${share}`}
              />
              <span>{share}</span>
            </li>
          );
        })}
      </ol>
      {found > shown && (
        <p>
          The first {shown} of {found} explain {percent(together)}.
        </p>
      )}
    </section>
  );
}

/** What stands out, in plain words. */
export function NoteCard({ store, model }: Props) {
  const { inputs, loaded, out, maxAbs, layer } = model.set.value;
  const lines = findings({
    total: loaded * inputs,
    sparse: model.sparse.value.count,
    eps: store.traits.eps.value,
    bad: model.peaks.value.badCount,
    dead: model.dead.value,
    maxAbs,
    outlined: model.outlined.value,
    layer: store.layers.value.find(({ key }) => key === layer),
  });
  const channel = store.traits.channel.value;
  return (
    <section class="cl-card cl-note" aria-label="Findings">
      {lines.map((line) => (
        <p key={line}>{unbroken(line)}</p>
      ))}
      {channel !== null && channel < out && (
        <p>
          Output {channel} of {out} is chosen.{" "}
          <button type="button" class="cl-link" onClick={() => store.set("view", "features")}>
            See what it looks for
          </button>
        </p>
      )}
    </section>
  );
}

/** Reads out the filter one rests on; nothing while the pointer moves. */
export function Spoken({ store, model }: Props) {
  const ref = useRef<HTMLDivElement>(null);
  const timer = useRef(0);
  const follow = () => {
    const chosen = model.hover.value ?? model.pinned.value;
    const { inputs, taps, loaded } = model.set.value;
    const sparse = model.sparse.value.mask;
    const bad = model.peaks.value.bad;
    const eps = store.traits.eps.value;
    clearTimeout(timer.current);
    if (chosen === null || chosen >= loaded * inputs) return;
    timer.current = window.setTimeout(() => {
      if (!ref.current) return;
      const norm = weight(normOf(model.weights.peek(), taps, chosen));
      const words = stateInWords(bad[chosen] === 1, sparse[chosen] === 1, eps);
      ref.current.textContent = `${nameOf(chosen, inputs)}: norm ${norm}. ${words}`;
    }, 400);
  };
  useEffect(() => effect(follow), [store, model]);
  return <div ref={ref} class="cl-unseen" aria-live="polite" />;
}
