// What the strip counts of inputs.
import { describe, expect, it } from "vitest";
import type { Input } from "../src/inputs";
import { countsOf } from "../src/strip/strip";

const input = (label: number, predicted: number, other: number | null = null): Input => ({
  index: 0,
  label,
  predicted,
  probability: 1,
  other,
  name: "",
  picture: { bytes: new Uint8Array(3), height: 1, width: 1 },
});

describe("countsOf", () => {
  it("counts what is wrong and what the reference takes for another class", () => {
    const items = [input(1, 1, 1), input(1, 2, 1), input(3, 3, 4)];
    expect(countsOf(items)).toEqual({ known: 3, wrong: 1, compared: 3, differ: 2 });
  });

  it("leaves out inputs that are not read yet, before one that is", () => {
    const items: Input[] = [];
    items[5] = input(1, 2);
    expect(countsOf(items)).toEqual({ known: 1, wrong: 1, compared: 0, differ: 0 });
  });
});
