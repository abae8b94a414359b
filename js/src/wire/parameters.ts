// What measures and methods are, and what can be set of them.

/** A parameter of a measure or method, declared in Python. */
export interface Parameter {
  name: string;
  kind: "float" | "int" | "bool" | "choice";
  default: Setting;
  help: string;
  /** A float lies above `low`, an int may be `low`; both are `high` at most. */
  low: number | null;
  high: number | null;
  choices: string[];
}

export type Setting = number | boolean | string;
/** Parameters by name, those that differ from their defaults. */
export type Settings = Readonly<Record<string, Setting>>;

export interface Measure {
  name: string;
  title: string;
  equation: string;
  source: string;
  needs: string;
  /** What may be done to features without changing the value. */
  invariant: string[];
  /** Of a layer with itself: 1 of a similarity, 0 of a distance. */
  identical: number;
  parameters: Parameter[];
}
