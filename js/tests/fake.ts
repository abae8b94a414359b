// A kernel and a model for tests: what a host gives the front end, without a host.
import { signal } from "@preact/signals";
import type { LayerInfo, Outgoing, Row, Structure } from "../src/protocol";
import { Store } from "../src/state";
import type { Theme } from "../src/theme";
import { type WidgetModel, widgetTransport } from "../src/transport";

export const GRID = [0.001, 0.01, 0.1, 0.5];

export function layer(key: string, more: Partial<LayerInfo> = {}): LayerInfo {
  return {
    key,
    name: key,
    call: 0,
    kind: "Conv2d",
    shape: [16, 16, 3, 3],
    groups: 1,
    transposed: false,
    parameters: 2304,
    dtype: "float32",
    device: "cpu",
    notes: [],
    reason: null,
    ...more,
  };
}

export function row(key: string, more: Partial<Row> = {}): Row {
  return {
    key,
    n: 256,
    kernel: [3, 3],
    eps: 0.01,
    sparsity: 0.125,
    variance_entropy: 0.85,
    variance_entropy_normalized: 0.9,
    variance_entropy_clean: 0.84,
    variance_entropy_clean_normalized: 0.89,
    entropy_of_random: 0.9433,
    random_threshold: 0.941,
    p_random: 0.0001,
    orthogonality: 0.88,
    orthogonality_excluded: 0,
    l1: 100,
    l2: 10,
    max_abs: 0.86,
    exact_zeros: 0,
    dead_outputs: 0,
    dead_inputs: 2,
    out: 16,
    inputs: 16,
    explained_variance: [],
    reason: null,
    omitted: {},
    curve: [0, 32, 64, 128],
    verdict: { title: "Diverse", text: "Well used.", tone: "good" },
    ...more,
  };
}

export function structure(layers: readonly LayerInfo[]): Structure {
  return {
    model: {
      title: "Net",
      parameters: 269722,
      dtype: "float32",
      device: "cpu",
      inputs: null,
      notes: [],
    },
    reference: null,
    layers: [...layers],
    eps_grid: GRID,
    code: {
      quality: "q({layer}, {eps})",
      history: "h({step})",
      filters: "f({layer}, {sort}, {channel})",
      reference_filters: {},
      features: "v({layer}, {channel}{settings})",
      saliency: { given: "a(x[{index}:{stop}]{settings})", held: "a(lens.input{settings})" },
      compression: {},
      drift: { shipped: "d({group})" },
      similarity: { self: "s({measure}, {layer_set}{settings}, {fit})" },
    },
    guides: { good: 0.9, random: 1, redundant: 0.5 },
    similarity: null,
    drift: [
      {
        name: "shipped",
        title: "the summary that ships",
        groups: [["all", "all layers"]],
        asks: false,
      },
    ],
    compression: {
      missing: { title: "No reference", text: "Give one.", code: ["cl.Lens(a, reference=b)"] },
      rankings: [],
      figures: [],
    },
    features: { sizes: [8, 28, 32, 224], page: 16, searches: false },
    saliency: null,
    classes: [],
    labelled: false,
    offline: false,
  };
}

export class FakeModel implements WidgetModel {
  readonly traits = new Map<string, unknown>();
  readonly sent: Outgoing[] = [];
  saves = 0;
  dead = false;
  readonly #listeners = new Map<string, Set<(...values: never[]) => void>>();

  constructor(layers: readonly LayerInfo[], more: Record<string, unknown> = {}) {
    const traits = {
      layer: layers[0]?.key ?? "",
      channel: null,
      view: "quality",
      eps: 0.01,
      sort: "position",
      scale: "layer",
      entropy: "normalized",
      paired: "side by side",
      measure: "cka",
      measure_settings: {},
      comparison: "self",
      layer_set: "convs",
      reference_layer: null,
      fit: false,
      input_index: 0,
      target: "predicted",
      method: "saliency",
      methods: ["saliency"],
      method_settings: {},
      baseline: "zero",
      mean: null,
      std: null,
      feature_steps: null,
      feature_seed: 0,
      feature_size: null,
      drift_against: "shipped",
      drift_group: "all",
      compression_by: "cost",
      compression_after: "auto",
      stale: false,
      closed: false,
      revision: 0,
      _structure: structure(layers),
      _summary: {},
      _paired: {},
      step: null,
      _taken: 0,
      _past: {},
      ...more,
    };
    for (const [name, value] of Object.entries(traits)) this.traits.set(name, value);
  }

  get(name: string): unknown {
    return this.traits.get(name);
  }
  set(name: string, value: unknown): void {
    if (Object.is(this.traits.get(name), value)) return;
    this.traits.set(name, value);
    this.emit(`change:${name}`);
  }
  save_changes(): void {
    if (this.dead) throw new Error("Cannot send");
    this.saves++;
  }
  on(event: string, callback: (...values: never[]) => void): void {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event)?.add(callback);
  }
  off(event: string, callback: (...values: never[]) => void): void {
    this.#listeners.get(event)?.delete(callback);
  }
  send(content: unknown): void {
    if (this.dead) throw new Error("Cannot send");
    this.sent.push(content as Outgoing);
  }

  emit(event: string, ...values: unknown[]): void {
    for (const callback of [...(this.#listeners.get(event) ?? [])]) {
      callback(...(values as never[]));
    }
  }
  get listeners(): number {
    return [...this.#listeners.values()].reduce((total, set) => total + set.size, 0);
  }
  /** The newest request of a kind. */
  last(kind: string): Outgoing {
    const found = this.sent.findLast((message) => message.kind === kind);
    if (!found) throw new Error(`no ${kind} was sent`);
    return found;
  }
  count(kind: string): number {
    return this.sent.filter((message) => message.kind === kind).length;
  }
  reply(id: string, header: object, buffers: unknown[] = [], status = "ok"): void {
    this.emit("msg:custom", { id, status, header }, buffers);
  }
}

export function openStore(model: FakeModel, theme: Theme = "light"): Store {
  const store = new Store(model, widgetTransport(model), signal(theme));
  store.start();
  return store;
}

/** Lets promises settle. */
export const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
