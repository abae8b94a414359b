// "Copy as Python": the kernel's template with values as Python literals.

type Value = string | number | boolean | null | readonly number[];

/** A value as Python reads it. */
export function literal(value: Value): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "object") return `[${value.join(", ")}]`;
  // JSON's escapes are Python's. Invisible characters (right-to-left marks and their like) are
  // written out, so that the code is what it looks like.
  return JSON.stringify(value).replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) as number;
    const digits = code.toString(16);
    return code > 0xffff ? `\\U${digits.padStart(8, "0")}` : `\\u${digits.padStart(4, "0")}`;
  });
}

/** Fills `{layer}`, `{eps}`, ...; in one pass, so that a layer called "{eps}" stays itself. */
export function fillTemplate(template: string, values: Readonly<Record<string, Value>>): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) =>
    Object.hasOwn(values, name) ? literal(values[name] as Value) : whole,
  );
}
