// The depth axis: neighbouring layers under one short name.

export interface Stage {
  label: string;
  /** First layer, and one past the last. */
  start: number;
  end: number;
}

/**
 * Runs of layers that share the start of their name. What all names share is left out; then as many
 * parts of the names are used as give the most runs up to `most`.
 */
export function stages(names: readonly string[], most = 14): Stage[] {
  return hierarchy(names, most)[0] as Stage[];
}

/** The stages, then ever finer runs inside them under what their names add; at last each layer. */
export function hierarchy(names: readonly string[], most = 14): Stage[][] {
  const parts = names.map((name) => name.split("."));
  const shared = sharedParts(parts);
  let depth = 1;
  let found = runs(parts, shared, depth);
  while (depth < 4 && found.length < 3) {
    const finer = runs(parts, shared, depth + 1);
    // A layer to itself is no stage: the names of its parts say nothing more than the rail does.
    if (finer.length > most || finer.length > names.length / 2) break;
    depth++;
    found = finer;
  }
  const longest = parts.reduce((length, name) => Math.max(length, name.length), 0);
  const levels = [found];
  for (let finer = depth + 1; finer <= longest - shared; finer++) {
    const inner = runs(parts, shared, finer);
    // what the stage says already is left out
    for (const run of inner) run.label = run.label.split(".").slice(depth).join(".");
    levels.push(inner);
  }
  return levels;
}

/** Parts that every name starts with; the last part of a name is never shared away. */
function sharedParts(parts: readonly string[][]): number {
  const [first = []] = parts;
  let shared = 0;
  while (
    shared < first.length - 1 &&
    parts.every((other) => shared < other.length - 1 && other[shared] === first[shared])
  ) {
    shared++;
  }
  return shared;
}

function runs(parts: readonly string[][], shared: number, depth: number): Stage[] {
  const found: Stage[] = [];
  parts.forEach((name, index) => {
    const label = name.slice(shared, shared + depth).join(".");
    const last = found.at(-1);
    if (last && last.label === label) last.end = index + 1;
    else found.push({ label, start: index, end: index + 1 });
  });
  return found;
}
