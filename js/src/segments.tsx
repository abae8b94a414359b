import { useRef } from "preact/hooks";

interface Props<T extends string> {
  label: string;
  options: readonly { id: T; label: string; title?: string }[];
  value: T;
  choose: (value: T) => void;
  disabled?: boolean;
}

/** A few choices of which one holds: a radio group, arrow keys choose. */
export function Segments<T extends string>({ label, options, value, choose, disabled }: Props<T>) {
  const group = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const at = options.findIndex(({ id }) => id === value);
    const index = (at + by + options.length) % options.length;
    choose((options[index] as (typeof options)[number]).id);
    (group.current?.children[index] as HTMLElement | undefined)?.focus();
  };
  return (
    <div class="cl-segments" role="radiogroup" aria-label={label} ref={group} onKeyDown={move}>
      {options.map(({ id, label: text, title }) => (
        // biome-ignore lint/a11y/useSemanticElements: a radio input cannot be styled alike in all hosts
        <button
          key={id}
          type="button"
          role="radio"
          aria-checked={id === value}
          tabIndex={id === value ? 0 : -1}
          disabled={disabled}
          title={title}
          onClick={() => choose(id)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
