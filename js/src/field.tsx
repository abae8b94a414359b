import type { Parameter, Setting } from "./protocol";

interface Props {
  parameter: Parameter;
  value: Setting;
  set: (value: Setting) => void;
  disabled?: boolean;
}

/** A parameter as Python declares it: a box, a list or a tick. */
export function Field({ parameter, value, set, disabled }: Props) {
  const { name, kind, help, low, high, choices } = parameter;
  const number = (input: HTMLInputElement) => {
    const typed = input.valueAsNumber;
    const least = low ?? Number.NEGATIVE_INFINITY;
    const enough = kind === "int" ? typed >= least && Number.isInteger(typed) : typed > least;
    // the kernel would refuse it: what held before stays
    if (enough && typed <= (high ?? Number.POSITIVE_INFINITY)) set(typed);
    else input.value = String(value);
  };
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: its control is one of three
    <label class="cl-choice" title={help}>
      {name}
      {kind === "bool" ? (
        <input
          type="checkbox"
          checked={value === true}
          disabled={disabled}
          onChange={(event) => set(event.currentTarget.checked)}
        />
      ) : kind === "choice" ? (
        <select
          value={String(value)}
          disabled={disabled}
          onChange={(event) => set(event.currentTarget.value)}
        >
          {choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : (
        <input
          type="number"
          step={kind === "int" ? 1 : "any"}
          min={low ?? undefined}
          max={high ?? undefined}
          value={String(value)}
          disabled={disabled}
          onChange={(event) => number(event.currentTarget)}
        />
      )}
    </label>
  );
}
