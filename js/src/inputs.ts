// The inputs of the Lens as they come, page by page: what they look like, what they truly are and
// what the models take them for. Files that are dropped join at the end.
import { batch, computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import { type Problem, toProblem } from "./cache";
import { type Client, Superseded } from "./client";
import type { KernelTraits, Params, Traits } from "./protocol";
import type { Signals } from "./state";
import type { InputArrays, InputRows } from "./wire/inputs";

/** One input of the strip. */
export interface Input {
  readonly index: number;
  /** Its true class, where it is known. */
  readonly label: number | null;
  /** null where the model gives no score per class. */
  readonly predicted: number | null;
  /** Of the predicted class, 0 to 1. */
  readonly probability: number | null;
  /** What the reference takes it for. */
  readonly other: number | null;
  /** Of the file that it was, else "". */
  readonly name: string;
  /** Its picture: bytes, height and width. */
  readonly picture: Thumbnail;
}

export interface Thumbnail {
  readonly bytes: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/** Views that have the strip. */
const SHOWN_IN: readonly string[] = ["saliency", "features"];

/** Larger files are made smaller here: what they are sent in must pass through Jupyter's server. */
const LARGEST_FILE = 4_500_000;
const MOST_BYTES = 200_000_000;
const LONGEST_SIDE = 2048;

export class Inputs {
  /** What has come, by place. */
  readonly items = signal<readonly Input[]>([]);
  /** What was said of them last. */
  readonly rows = signal<InputRows | null>(null);
  readonly problem = signal<Problem | null>(null);
  /** A page is on its way. */
  readonly reading = signal(false);
  /** A file is on its way. */
  readonly sending = signal(false);
  readonly chosen: ReadonlySignal<Input | undefined>;
  /** What of them the strip shows: a filter, and words to find. */
  readonly filter = signal<Filter>("all");
  readonly query = signal("");
  readonly sifted: ReadonlySignal<readonly Input[]>;
  /** The Lens has inputs at all. */
  readonly there: ReadonlySignal<boolean>;

  readonly #client: Client;
  readonly #traits: Signals<Traits>;
  readonly #kernel: Signals<KernelTraits>;
  readonly #lost: ReadonlySignal<string>;
  /** What the items were read for: weights and colours of now. */
  #read = "";
  #wanted = "";

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
    this.there = computed(() => kernel._structure.value.saliency !== null);
    this.sifted = computed(() =>
      sifted(this.items.value, this.filter.value, this.query.value, (index) =>
        this.className(index),
      ),
    );
    this.chosen = computed(() => this.items.value[traits.input_index.value]);
  }

  /** What a class is called. */
  className(index: number | null): string {
    if (index === null) return "";
    return this.#kernel._structure.value.classes[index] ?? `class ${index}`;
  }

  /** Reads while a view with the strip is open; anew where weights or colours have changed. */
  follow(): () => void {
    return effect(() => {
      const { view, mean, std } = this.#traits;
      const { revision, _structure } = this.#kernel;
      const shown = SHOWN_IN.includes(view.value) && this.there.value && !this.#lost.value;
      const offline = _structure.value.offline;
      const name = JSON.stringify([offline ? 0 : revision.value, mean.value, std.value]);
      if (shown && name !== this.#read && name !== this.#wanted) {
        untracked(() => void this.#fill(name));
      }
    });
  }

  /** Reads again what could not be read. */
  retry(): void {
    void this.#fill(this.#wanted);
  }

  /** Sends an image file; resolves to its place, or to null where it was not taken. */
  async upload(file: File): Promise<number | null> {
    batch(() => {
      this.sending.value = true;
      this.problem.value = null;
    });
    try {
      const params: Params["upload"] = { name: file.name.slice(0, 200), data: await encoded(file) };
      const { header, arrays } = await this.#client.request("upload", params);
      this.#show(header, arrays);
      return header.start;
    } catch (error) {
      this.problem.value = toProblem(error);
      return null;
    } finally {
      this.sending.value = false;
    }
  }

  async #fill(name: string): Promise<void> {
    this.#wanted = name;
    batch(() => {
      this.reading.value = true;
      this.problem.value = null;
    });
    try {
      for (let start = 0; ; ) {
        // what is read next is read for the colours of now
        const { header, arrays } = await this.#client.request("inputs", { start });
        if (this.#wanted !== name) return;
        this.#show(header, arrays);
        start = header.stop;
        if (header.total !== null && start >= header.total) break;
      }
      this.#read = name;
      this.reading.value = false;
    } catch (error) {
      if (error instanceof Superseded) return;
      batch(() => {
        this.reading.value = false;
        this.problem.value = toProblem(error);
      });
    }
  }

  #show(header: InputRows, arrays: InputArrays): void {
    const items = this.items.peek().slice();
    for (let index = header.start; index < header.stop; index++) {
      items[index] = item(index, index - header.start, header, arrays);
    }
    batch(() => {
      this.items.value = items;
      this.rows.value = header;
    });
  }
}

function item(index: number, at: number, header: InputRows, arrays: InputArrays): Input {
  const { thumbnails, labels, predicted, probability, reference_predicted } = arrays;
  const [height, width] = header.thumbnail;
  const bytes = 3 * height * width;
  const label = labels[at] as number;
  return {
    index,
    label: label < 0 ? null : label,
    predicted: predicted?.[at] ?? null,
    probability: probability?.[at] ?? null,
    other: reference_predicted?.[at] ?? null,
    name: header.names[index] ?? "",
    picture: {
      bytes: thumbnails.subarray(at * bytes, (at + 1) * bytes),
      height,
      width,
    },
  };
}

/** A file as base64, made smaller where it is large. */
async function encoded(file: File): Promise<string> {
  if (file.size > MOST_BYTES) {
    const megabytes = Math.round(file.size / 1e6);
    throw new Error(`“${file.name}” has ${megabytes} MB; files of up to 200 MB are taken.`);
  }
  const blob = file.size > LARGEST_FILE ? await smaller(file) : file;
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

async function smaller(file: File): Promise<Blob> {
  try {
    const image = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST_SIDE / Math.max(image.width, image.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(image.width * scale));
    canvas.height = Math.max(1, Math.round(image.height * scale));
    const context = canvas.getContext("2d");
    if (!context) throw new Error("no canvas");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise<Blob | null>((resolve) =>
      canvas.toBlob(resolve, "image/jpeg", 0.95),
    );
    if (!blob) throw new Error("no blob");
    return blob;
  } catch {
    throw new Error(`“${file.name}” cannot be read as an image: it may be damaged.`);
  }
}

/** What of the strip is shown. */
export type Filter = "all" | "right" | "wrong" | "differ";

/** Inputs that a filter and a search leave: by class names, true or predicted, file or place. */
export function sifted(
  items: readonly Input[],
  shown: Filter,
  query: string,
  name: (index: number | null) => string,
): readonly Input[] {
  const wanted = query.trim().toLowerCase();
  return items.filter((input) => {
    const { label, predicted, other } = input;
    const known = label !== null && predicted !== null;
    if (shown === "right" && !(known && label === predicted)) return false;
    if (shown === "wrong" && !(known && label !== predicted)) return false;
    if (shown === "differ" && (other === null || other === predicted)) return false;
    if (!wanted) return true;
    if (/^#?\d+$/.test(wanted) && Number(wanted.replace("#", "")) === input.index) return true;
    return [name(label), name(predicted), input.name].some((text) =>
      text.toLowerCase().includes(wanted),
    );
  });
}
