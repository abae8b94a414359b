// A comparison as it is computed: asked for once by a person, then again whenever something else is
// chosen; the kernel keeps what it has, so a stopped one goes on where it was.
import { batch, computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import { type Problem, toProblem } from "./cache";
import { Cancelled, type Client, Superseded } from "./client";
import type {
  Arrays,
  Headers,
  KernelTraits,
  Measure,
  Params,
  Setting,
  Settings,
  Traits,
} from "./protocol";
import type { Signals } from "./state";

/** Similarities of all rows with all columns, of the batches so far. */
export interface Matrix extends Omit<Headers["similarity"], "directed"> {
  matrix: Float32Array;
  stderr: Float32Array;
  reverse: Float32Array | null;
}

export class Comparing {
  /** The last picture; while another comparison is on its way, that of the one before. */
  readonly value = signal<Matrix | null>(null);
  readonly problem = signal<Problem | null>(null);
  readonly running = signal(false);
  /** Stopped by a person, before its end. */
  readonly stopped = signal(false);
  /** What is chosen, as the kernel is asked for it. */
  readonly params: ReadonlySignal<Params["similarity"]>;
  readonly measure: ReadonlySignal<Measure | undefined>;
  /** What is drawn is what is chosen, of the weights of now. */
  readonly current: ReadonlySignal<boolean>;

  readonly #client: Client;
  readonly #traits: Signals<Traits>;
  readonly #kernel: Signals<KernelTraits>;
  readonly #lost: ReadonlySignal<string>;
  readonly #choose: (change: Partial<Traits>) => void;
  /** Of each measure what was chosen last. */
  readonly #settings = new Map<string, Settings>();
  #asked = "";
  #recalled = false;

  constructor(
    client: Client,
    traits: Signals<Traits>,
    kernel: Signals<KernelTraits>,
    lost: ReadonlySignal<string>,
    choose: (change: Partial<Traits>) => void,
  ) {
    this.#client = client;
    this.#traits = traits;
    this.#kernel = kernel;
    this.#lost = lost;
    this.#choose = choose;
    const { measure, comparison, layer_set } = traits;
    this.params = computed(() => ({
      measure: measure.value,
      comparison: comparison.value,
      layer_set: layer_set.value,
      settings: JSON.stringify(traits.measure_settings.value),
    }));
    this.measure = computed(() => this.declared(measure.value));
    this.current = computed(() => {
      const value = this.value.value;
      if (!value || keyOf(value) !== keyOf(this.params.value)) return false;
      return kernel._structure.value.offline || value.revision === kernel.revision.value;
    });
  }

  declared(name: string): Measure | undefined {
    const measures = this.#kernel._structure.value.similarity?.measures;
    return measures?.find((measure) => measure.name === name);
  }

  /** Chooses a measure, with the settings that it had before. */
  use(measure: string): void {
    const { measure: before, measure_settings } = this.#traits;
    this.#settings.set(before.peek(), measure_settings.peek());
    this.#choose({ measure, measure_settings: this.#settings.get(measure) ?? {} });
  }

  /** Sets a parameter of the chosen measure. */
  set(name: string, value: Setting): void {
    const measure = this.measure.peek();
    if (!measure) return;
    const known: Settings = { ...this.#traits.measure_settings.peek(), [name]: value };
    const changed = measure.parameters.flatMap(({ name: each, default: usual }) => {
      const chosen = known[each];
      return chosen === undefined || chosen === usual ? [] : [[each, chosen] as const];
    });
    // sorted as Python does, so that the same settings are the same text
    changed.sort(([a], [b]) => (a < b ? -1 : 1));
    this.#choose({ measure_settings: Object.fromEntries(changed) });
  }

  /** Starts, resumes, or asks again for what is chosen. */
  run(): void {
    const params = this.params.peek();
    this.#asked = keyOf(params);
    batch(() => {
      this.problem.value = null;
      this.stopped.value = false;
      this.running.value = true;
    });
    this.#client
      .request("similarity", params, (header, arrays) => {
        // the first message only says that the kernel has heard
        if (header.rows && arrays.matrix) {
          this.#show(header as Headers["similarity"], arrays as Arrays["similarity"]);
        }
      })
      .then(
        ({ header, arrays }) => {
          batch(() => {
            this.#show(header, arrays);
            this.stopped.value = !header.finished;
            this.running.value = false;
          });
        },
        (error) => {
          if (error instanceof Superseded) return;
          batch(() => {
            this.running.value = false;
            if (error instanceof Cancelled) this.stopped.value = true;
            else this.problem.value = toProblem(error);
          });
        },
      );
  }

  stop(): void {
    this.#client.stop("similarity");
  }

  /** Asks for what is chosen while the view is open, once something was asked for by a person. */
  follow(): () => void {
    return effect(() => {
      const key = keyOf(this.params.value);
      const { offline, similarity } = this.#kernel._structure.value;
      const shown = this.#traits.view.value === "similarity" && similarity !== null;
      if (shown && !offline && !this.#recalled && !this.#lost.value) untracked(this.#recall);
      // Reading the weights again must not run the model: it may be training in a cell.
      const due = key !== this.#asked && (offline || this.#asked !== "");
      if (shown && due && !this.#lost.value) untracked(() => this.run());
    });
  }

  /** Shows what was computed before this page was loaded. */
  readonly #recall = (): void => {
    this.#recalled = true;
    const params = this.params.peek();
    this.#client.request("compared", params).then(
      ({ header, arrays }) => {
        const { matrix, stderr, reverse } = arrays;
        if (!header.found || !matrix || !stderr || this.#asked !== "") return;
        this.#asked = keyOf(params);
        batch(() => {
          const found = header as unknown as Headers["similarity"];
          this.#show(found, { matrix, stderr, ...(reverse && { reverse }) });
          this.stopped.value = !found.finished;
        });
      },
      () => {}, // there is nothing to show: the view offers to run it
    );
  };

  #show(header: Headers["similarity"], { matrix, stderr, reverse }: Arrays["similarity"]): void {
    this.value.value = { ...header, matrix, stderr, reverse: reverse ?? null };
  }
}

const keyOf = ({ measure, comparison, layer_set, settings }: Params["similarity"]): string =>
  [measure, comparison, layer_set, settings].join("\n");
