// What is measured of each layer: rows as they stream in, and the bars drawn of them.
import { batch, computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import { type Problem, toProblem } from "./cache";
import { Cancelled, type Client } from "./client";
import { type Bar, sparsityAxis } from "./draw/bars";
import { toBar } from "./eps";
import type { History } from "./history";
import type { KernelTraits, LayerInfo, Row, Traits } from "./protocol";
import type { Signals } from "./state";

export class Measuring {
  /** Rows by layer key of the moment that is looked at: now, or one of the history. */
  readonly rows: ReadonlySignal<ReadonlyMap<string, Row>>;
  /** The row of the chosen layer, once it is measured. */
  readonly row: ReadonlySignal<Row | undefined>;
  /** Those of the weights as they are; stream in, complete when `running` is false. */
  readonly now: ReadonlySignal<ReadonlyMap<string, Row>>;
  readonly running = signal(false);
  /** Layers that were left out because it was stopped. */
  readonly unmeasured: ReadonlySignal<number>;
  /** The figures of each layer at the eps and in the entropy mode of the moment. */
  readonly bars: ReadonlySignal<readonly Bar[]>;
  /** Where the scale of sparsity ends, in the rail as in the chart. */
  readonly sparsityMax: ReadonlySignal<number>;
  /** The largest weight of the model, of what is measured so far: for scale "model". */
  readonly modelMax: ReadonlySignal<number>;

  readonly #client: Client;
  readonly #kernel: Signals<KernelTraits>;
  readonly #live: ReadonlySignal<boolean>;
  /** The eps that was settled on: not each that a slider passes. */
  readonly #eps: ReadonlySignal<number>;
  readonly #report: (problem: Problem) => void;
  readonly #measured = signal<ReadonlyMap<string, Row>>(new Map());
  readonly #stopped = signal(false);

  constructor(
    client: Client,
    traits: Signals<Traits>,
    kernel: Signals<KernelTraits>,
    layers: ReadonlySignal<readonly LayerInfo[]>,
    live: ReadonlySignal<boolean>,
    eps: ReadonlySignal<number>,
    history: History,
    report: (problem: Problem) => void,
  ) {
    this.#client = client;
    this.#kernel = kernel;
    this.#live = live;
    this.#eps = eps;
    this.#report = report;
    // What was saved with the widget is drawn before the kernel has said anything.
    const summary = kernel._summary.value;
    this.#measured.value = byKey("rows" in summary ? summary.rows : []);
    this.now = this.#measured;
    this.rows = computed(() => history.recall(this.now.value));
    this.row = computed(() => this.rows.value.get(traits.layer.value));
    this.bars = computed(() => {
      const grid = kernel._structure.value.eps_grid;
      return layers.value.map((layer) =>
        toBar(layer, this.rows.value.get(layer.key), traits.eps.value, traits.entropy.value, grid),
      );
    });
    this.sparsityMax = computed(() => sparsityAxis(this.bars.value, history.most.value).max);
    this.modelMax = computed(() => {
      let max = 0;
      for (const row of this.now.value.values()) max = Math.max(max, row.max_abs ?? 0);
      return max;
    });
    this.unmeasured = computed(() =>
      this.#stopped.value && live.value
        ? layers.value.filter(({ key }) => !this.now.value.has(key)).length
        : 0,
    );
  }

  /** Measures whenever eps or the weights are other ones; gives what ends it. */
  follow(): () => void {
    return effect(() => {
      this.#eps.value;
      this.#kernel.revision.value;
      if (this.#live.value) untracked(() => this.measure());
    });
  }

  measure(): void {
    this.running.value = true;
    this.#stopped.value = false;
    this.#client
      .request("quality", { eps: this.#eps.value }, ({ rows }) => {
        if (rows?.length) {
          this.#measured.value = new Map([...this.#measured.peek(), ...byKey(rows)]);
        }
      })
      .then(
        ({ header }) => {
          batch(() => {
            this.#measured.value = byKey(header.rows);
            this.running.value = false;
          });
        },
        (error) => {
          const problem = toProblem(error);
          // None: a newer measurement took over, and will say when it is done.
          if (problem) this.running.value = false;
          if (error instanceof Cancelled) this.#stopped.value = true;
          else if (problem) this.#report(problem);
        },
      );
  }
}

export function byKey(rows: readonly Row[]): Map<string, Row> {
  return new Map(rows.map((row) => [row.key, row]));
}
