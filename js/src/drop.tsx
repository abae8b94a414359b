import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";

interface Props {
  /** On the button. */
  label: ComponentChildren;
  /** What the button is called, where its label does not say enough. */
  name?: string;
  title?: string;
  disabled?: boolean;
  strong?: boolean;
  /** Where what drops down is aligned. */
  side?: "left" | "right";
  children: (close: () => void) => ComponentChildren;
}

/** A button under which something opens, until a click elsewhere or Escape. */
export function Drop({ label, name, title, disabled, strong, side = "left", children }: Props) {
  const open = useSignal(false);
  const root = useRef<HTMLDivElement>(null);
  const close = () => (open.value = false);
  useLayoutEffect(() => {
    if (!open.value) return;
    const away = (event: PointerEvent) => {
      if (!event.composedPath().includes(root.current as EventTarget)) close();
    };
    const owner = root.current?.ownerDocument;
    owner?.addEventListener("pointerdown", away, true);
    return () => owner?.removeEventListener("pointerdown", away, true);
  }, [open, open.value]);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: its parts have the focus
    <div
      class={`cl-drops cl-drops-${side}`}
      ref={root}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !open.value) return;
        close();
        event.stopPropagation();
        root.current?.querySelector("button")?.focus();
      }}
    >
      <button
        type="button"
        class={`cl-button cl-drop${strong ? " cl-strong" : ""}`}
        aria-haspopup="true"
        aria-expanded={open.value}
        aria-label={name}
        title={title}
        disabled={disabled}
        onClick={() => (open.value = !open.value)}
      >
        {label} <Icon name="down" size={12} />
      </button>
      {open.value && children(close)}
    </div>
  );
}
