// "Copy as Python" of the map that is looked at.
import { fillTemplate, literal } from "../code";
import type { Store } from "../state";

/** The lines that give the map; undefined where there is nothing to explain. */
export function attributionOf(store: Store): string | undefined {
  const { code, saliency } = store.kernel._structure.value;
  const { explaining, inputs, traits } = store;
  if (!saliency) return undefined;
  const method = traits.method.value;
  const asked = explaining.asked(method, "model");
  const given: [string, string | number | boolean][] = [];
  if (asked.target === "label") {
    const label = inputs.chosen.value?.label;
    if (label !== null && label !== undefined) given.push(["target", label]);
  } else if (/^\d+$/.test(asked.target)) given.push(["target", Number(asked.target)]);
  given.push(["method", method]);
  if (asked.layer) given.push(["layer", asked.layer]);
  if (asked.channel >= 0) given.push(["channel", asked.channel]);
  if (asked.baseline && asked.baseline !== saliency.baselines[0]) {
    given.push(["baseline", asked.baseline]);
  }
  given.push(...Object.entries(explaining.settings(method)));
  const settings = given.map(([name, value]) => `, ${name}=${literal(value)}`).join("");
  const file = asked.input >= (inputs.rows.value?.given ?? Number.POSITIVE_INFINITY);
  const template = file ? code.saliency.held : (code.saliency.given ?? code.saliency.held);
  const placed = fillTemplate(template, { index: asked.input, stop: asked.input + 1 });
  return placed.replaceAll("{settings}", () => settings);
}
