// Arrays as they travel: raw bytes, with their types and shapes in the header of the reply.

export type Scalar = Float32Array | Uint8Array | Uint16Array | Uint32Array | Int32Array;
export type Dtype = "float32" | "uint8" | "uint16" | "uint32" | "int32";

export interface ArraySpec {
  name: string;
  dtype: Dtype;
  shape: number[];
}

const CONSTRUCTORS = {
  float32: Float32Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  int32: Int32Array,
} as const;

/**
 * Typed arrays from the buffers of a reply. A host hands over a DataView, an ArrayBuffer or a
 * Uint8Array, often a window into something larger at an odd offset, so the window is honoured and
 * bytes are copied only where the offset is not a multiple of the element size.
 */
export function decodeArrays(header: Record<string, unknown>, buffers: readonly unknown[]) {
  const specs = (header.arrays ?? []) as ArraySpec[];
  if (specs.length !== buffers.length) {
    throw new Error(`the reply lists ${specs.length} arrays and brings ${buffers.length} buffers`);
  }
  const arrays: Record<string, Scalar> = {};
  specs.forEach(({ name, dtype, shape }, index) => {
    const Type = CONSTRUCTORS[dtype];
    if (!Type) throw new Error(`array "${name}" has the unknown dtype "${dtype}"`);
    const { buffer, offset, bytes } = span(buffers[index]);
    const count = shape.reduce((product, side) => product * side, 1);
    if (bytes !== count * Type.BYTES_PER_ELEMENT) {
      const expected = count * Type.BYTES_PER_ELEMENT;
      throw new Error(`array "${name}" should take ${expected} bytes and brings ${bytes}`);
    }
    arrays[name] =
      offset % Type.BYTES_PER_ELEMENT === 0
        ? new Type(buffer, offset, count)
        : new Type(buffer.slice(offset, offset + bytes));
  });
  return arrays;
}

function span(part: unknown): { buffer: ArrayBuffer; offset: number; bytes: number } {
  if (ArrayBuffer.isView(part)) {
    const buffer = part.buffer as ArrayBuffer;
    return { buffer, offset: part.byteOffset, bytes: part.byteLength };
  }
  // Not instanceof: a buffer may come from another frame (Colab, VS Code), with its own ArrayBuffer.
  if (Object.prototype.toString.call(part) === "[object ArrayBuffer]") {
    const buffer = part as ArrayBuffer;
    return { buffer, offset: 0, bytes: buffer.byteLength };
  }
  throw new Error("a buffer of the reply is neither an ArrayBuffer nor a view of one");
}
