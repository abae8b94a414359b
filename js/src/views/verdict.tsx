import type { Signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { entropyOf } from "../eps";
import { count, figure, percent, probability, unbroken, weight } from "../format";
import { cameFrom } from "../history/moment";
import { Icon } from "../icons";
import type { Row } from "../protocol";
import type { Store } from "../state";

interface Props {
  store: Store;
  /** Whether the formulas are unfolded. */
  unfolded: Signal<boolean>;
}

/** The layer in plain words. */
export function VerdictCard({ store, unfolded }: Props) {
  const row = store.measuring.row.value;
  const layer = store.layer.value;
  if (!row) {
    if (layer && layer.reason !== null) {
      return (
        <section class="cl-card" aria-label="Verdict">
          <h4>
            <Icon name="none" /> No score
          </h4>
          <p>{layer.reason}</p>
        </section>
      );
    }
    return (
      <section class="cl-card" aria-label="Verdict" aria-busy={store.measuring.running.value}>
        <div class="cl-lines">
          <i />
          <i />
          <i />
        </div>
      </section>
    );
  }
  const { title, text, tone } = row.verdict;
  const icon = ({ good: "check", warn: "warn", bad: "bad", none: "none" } as const)[tone];
  // The words are for the eps they were measured at; while the slider moves they stand back.
  const old = Math.abs(row.eps - store.traits.eps.value) > 1e-9;
  const classes = `cl-card cl-verdict cl-tone-${tone}${old ? " cl-old" : ""}`;
  return (
    <section class={classes} aria-label="Verdict" aria-busy={old && store.live.value}>
      <h4>
        <Icon name={icon} /> {title}
      </h4>
      <p title={old ? `for eps ${percent(row.eps)}` : undefined}>{unbroken(text)}</p>
      {cameFrom(store) && <p>{cameFrom(store)}</p>}
      <button
        type="button"
        class="cl-unfold"
        aria-expanded={unfolded.value}
        onClick={() => (unfolded.value = !unfolded.value)}
      >
        How it is computed · Gavrikov &amp; Keuper{" "}
        <span class="cl-together">
          2022 <Icon name="down" size={12} />
        </span>
      </button>
    </section>
  );
}

/** How each figure of the chosen layer is computed: unfolds over the charts. */
export function Formulas({ store, unfolded }: Props) {
  const row = store.measuring.row.value;
  if (!unfolded.value || !row) return null;
  return <Sheet row={row} close={() => (unfolded.value = false)} />;
}

function Sheet({ row, close }: { row: Row; close: () => void }) {
  const sheet = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    // Scrolls the view, and only the view: the notebook stays where it is.
    sheet.current?.closest(".cl-view")?.scrollTo(0, 0);
    sheet.current?.focus({ preventScroll: true });
  }, []);
  return (
    <section
      ref={sheet}
      class="cl-sheet"
      aria-label="How the figures are computed"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so keys must reach it
      tabIndex={0}
      onKeyDown={(event) => {
        if (event.key === "Escape") close();
      }}
    >
      <button type="button" class="cl-tool" aria-label="Close" onClick={close}>
        <Icon name="close" />
      </button>
      <FormulaList row={row} />
    </section>
  );
}

function FormulaList({ row }: { row: Row }) {
  const taps = row.kernel.reduce((product, side) => product * side, 1);
  const normalised = entropyOf(row, "normalized");
  const n = count(row.n);
  const lines: [string, string, string][] = [
    [
      "sparsity",
      "S = #{i : maxⱼ |wᵢⱼ| < ε · max|W|} / n",
      `${percent(row.sparsity)} of n = ${n} at ε = ${percent(row.eps)}`,
    ],
    [
      "entropy",
      "H = −Σ p log₁₀ p, p = eigenvalues of the scatter of the n filters, normed to sum 1",
      row.variance_entropy === null
        ? (row.omitted.variance_entropy ?? "none")
        : `${figure(row.variance_entropy)} of at most log₁₀ ${taps} = ${figure(Math.log10(taps))}`,
    ],
    [
      "of random",
      row.variance_entropy_normalized === null
        ? "H / the entropy expected of random filters"
        : "H / T(n), T(n) = 1.262 / (1 + exp(−0.888 (log₂ n − 2.304))) − 0.311",
      normalised.value === null ? normalised.why : figure(normalised.value),
    ],
    [
      "p(random)",
      "John's test of sphericity: how often random filters have an entropy this low",
      row.p_random === null ? (row.omitted.p_random ?? "none") : probability(row.p_random),
    ],
    [
      "orthogonality",
      "O = 1 − mean |cos| between flattened outputs",
      row.orthogonality === null
        ? (row.omitted.orthogonality ?? "none")
        : `${figure(row.orthogonality)}${excluded(row)}`,
    ],
    [
      "dead",
      "channels of which every weight is sparse",
      `${count(row.dead_outputs ?? 0)} of ${count(row.out)} outputs, ${count(row.dead_inputs ?? 0)} inputs; ${percent(row.exact_zeros)} of weights exactly 0`,
    ],
    ["norms", "Σ|w|, √Σw², max|w|", [row.l1, row.l2, row.max_abs].map(weight).join(", ")],
  ];
  return (
    <dl class="cl-formulas">
      {lines.map(([name, formula, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <span class="cl-formula">{formula}</span>
            <b>{value}</b>
          </dd>
        </div>
      ))}
      <div>
        <dt>source</dt>
        <dd>
          P. Gavrikov, J. Keuper: CNN Filter DB: An Empirical Investigation of Trained Convolutional
          Filters. CVPR 2022.
        </dd>
      </div>
    </dl>
  );
}

function excluded({ orthogonality_excluded: left }: Row): string {
  if (!left) return "";
  return left === 1 ? ", 1 zero output left out" : `, ${count(left)} zero outputs left out`;
}
