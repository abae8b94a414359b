// What compression did: measured once a person asks for it; the kernel keeps what it has, so that a
// stopped report goes on where it was.
import { batch, computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import { Asking, nameOf } from "./asking";
import type { Client } from "./client";
import type { Thumbnail } from "./inputs";
import type { Arrays, Headers, KernelTraits, Traits } from "./protocol";
import type { Signals } from "./state";
import type { Matched } from "./wire/compression";
import type { Beside } from "./wire/features";

/** An input that is taken for another class. */
export interface Flip {
  readonly index: number;
  readonly before: number;
  readonly after: number;
  readonly label: number | null;
  /** Only the model from before was right, only the compressed one is, or neither. */
  readonly kind: "lost" | "won" | "other";
}

export type Report = Headers["compression"] & { readonly flips: readonly Flip[] };

export interface Seen {
  readonly picture: Thumbnail;
  /** The strip has it at its place. */
  readonly held: boolean;
}

type Grids = Headers["compression_scales"] & Arrays["compression_scales"];

export class Compressing {
  readonly report: Asking<"compression", Report>;
  readonly scales: Asking<"compression_scales", Grids>;
  /** Pictures of flipped inputs, by place. */
  readonly seen = signal<ReadonlyMap<number, Seen>>(new Map());
  /** Why there are no pictures. */
  readonly unseen = signal<string | null>(null);
  /** The report is of what is chosen, and of the weights of now. */
  readonly current: ReadonlySignal<boolean>;
  /** The compressed one of both. */
  readonly side: ReadonlySignal<Beside>;
  /** The chosen layer, where it is in the report. */
  readonly change: ReadonlySignal<Matched | undefined>;
  /** Which of the flipped inputs are shown. */
  readonly kind = signal<Flip["kind"] | "all">("all");
  readonly from = signal<number | null>(null);
  readonly flips: ReadonlySignal<readonly Flip[]>;

  readonly #client: Client;
  readonly #traits: Signals<Traits>;
  readonly #kernel: Signals<KernelTraits>;
  readonly #lost: ReadonlySignal<string>;
  /** What "auto" is, once the kernel has said it. */
  readonly #smaller = signal<Beside>("model");
  #recalled = false;
  /** The report that the pictures are of, and whether a page of them is on its way. */
  #pictured = "";
  #reading = false;

  constructor(
    client: Client,
    traits: Signals<Traits>,
    kernel: Signals<KernelTraits>,
    lost: ReadonlySignal<string>,
  ) {
    this.#client = client;
    this.#traits = traits;
    this.#kernel = kernel;
    this.#lost = lost;
    this.report = new Asking(client, "compression", read);
    this.scales = new Asking(client, "compression_scales", (header, arrays) =>
      header.model === undefined ? null : { ...header, ...arrays },
    );
    this.current = computed(() => {
      const found = this.report.value.value;
      if (found?.after !== traits.compression_after.value) return false;
      return kernel._structure.value.offline || found.revision === kernel.revision.value;
    });
    this.side = computed(() => {
      const after = traits.compression_after.value;
      if (after !== "auto") return after;
      const found = this.report.value.value;
      return found?.after === after ? found.side : this.#smaller.value;
    });
    this.change = computed(() =>
      this.report.value.value?.layers.find(({ model }) => model === traits.layer.value),
    );
    this.flips = computed(() => {
      const [kind, from] = [this.kind.value, this.from.value];
      const all = this.report.value.value?.flips ?? [];
      return all.filter(
        (flip) => (kind === "all" || flip.kind === kind) && (from === null || flip.before === from),
      );
    });
  }

  /** Starts, or goes on. */
  run(): void {
    void this.report.ask({ after: this.#traits.compression_after.peek() });
  }

  follow(): () => void {
    const stops = [
      effect(() => {
        const after = this.#traits.compression_after.value;
        const { offline, compression } = this.#kernel._structure.value;
        if (!this.#shown() || compression.missing || this.#lost.value) return;
        const asked = this.report.asked.value;
        if (!offline && !this.#recalled) untracked(this.#recall);
        // the other way round is another report; changed weights are measured when asked to
        else if ((offline || asked) && asked !== nameOf({ after })) {
          untracked(() => this.run());
        }
      }),
      effect(() => {
        const report = this.report.value.value;
        this.report.running.value;
        if (report && this.#shown()) untracked(() => void this.#look(report));
      }),
      effect(() => {
        const change = this.change.value;
        const current = this.current.value && this.#shown() && !this.#lost.value;
        if (!change || !current) return;
        const { model, reference } = change;
        const name = [model, reference, this.#kernel.revision.value].join("\n");
        if (name !== this.scales.asked.peek()) {
          untracked(() => void this.scales.ask({ model, reference }, name));
        }
      }),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  #shown(): boolean {
    return this.#traits.view.value === "compression";
  }

  /** Shows what was measured before this page was loaded. */
  readonly #recall = (): void => {
    this.#recalled = true;
    const after = this.#traits.compression_after.peek();
    this.#client.request("compression_known", { after }).then(
      ({ header, arrays }) => {
        const { flips } = arrays;
        if (after === "auto") this.#smaller.value = header.side;
        if (!header.found || !flips || this.report.asked.peek()) return;
        const found = read(header as Headers["compression"], { flips });
        batch(() => {
          this.report.asked.value = nameOf({ after });
          this.report.value.value = found;
          this.report.stopped.value = !found?.finished;
        });
      },
      () => {}, // there is nothing to show: the view offers to measure
    );
  };

  /** Fetches pictures of flipped inputs, page by page. */
  async #look(report: Report): Promise<void> {
    const { after, side, revision, flips } = report;
    const name = [side, revision].join("\n");
    if (name !== this.#pictured) {
      batch(() => {
        this.#pictured = name;
        this.seen.value = new Map();
        this.unseen.value = null;
        this.kind.value = "all";
        this.from.value = null;
      });
    }
    if (this.#reading || this.#lost.value) return;
    this.#reading = true;
    try {
      for (let start = 0; start < flips.length; ) {
        const page = flips.slice(start, start + PAGE);
        if (page.every(({ index }) => this.seen.peek().has(index))) {
          start += page.length;
          continue;
        }
        const { header, arrays } = await this.#client.request("compression_flips", {
          after,
          start,
        });
        if (name !== this.#pictured || header.reason !== null) {
          this.unseen.value = header.reason;
          break;
        }
        const [height, width] = header.thumbnail;
        const bytes = 3 * height * width;
        const seen = new Map(this.seen.peek());
        header.at.forEach((place, at) => {
          const index = flips[start + place]?.index;
          const all = arrays.thumbnails;
          if (index === undefined || !all) return;
          const picture = { bytes: all.subarray(at * bytes, (at + 1) * bytes), height, width };
          seen.set(index, { picture, held: header.held.includes(index) });
        });
        this.seen.value = seen;
        start = header.stop;
      }
    } catch {
      // stopped, or gone: without pictures the flips are still told in words
    } finally {
      this.#reading = false;
    }
    // what came meanwhile
    const newest = this.report.value.peek();
    if (newest && newest !== report && this.#shown()) void this.#look(newest);
  }
}

/** Flips in a page of pictures, as Python has it. */
const PAGE = 48;

function read(header: Headers["compression"], { flips }: Arrays["compression"]): Report | null {
  // a message may only say how far it is
  if (!header.layers) return null;
  return {
    ...header,
    flips: Array.from({ length: flips.length / 4 }, (_, row) => {
      const [index, before, after, truth] = [...flips.subarray(4 * row, 4 * row + 4)] as Four;
      const kind = truth === before ? "lost" : truth === after ? "won" : "other";
      return { index, before, after, label: truth < 0 ? null : truth, kind };
    }),
  };
}

type Four = [number, number, number, number];
