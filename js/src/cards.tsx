import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** A column of cards that scrolls; it fades out at the bottom while there is more below. */
export function Cards({ children }: { children: ComponentChildren }) {
  const ref = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const column = ref.current as HTMLDivElement;
    const look = () => {
      const below = column.scrollHeight - column.clientHeight - column.scrollTop;
      column.classList.toggle("cl-more", below > 3);
    };
    const sizes = new ResizeObserver(look);
    const follow = () => {
      sizes.disconnect();
      for (const one of [column, ...column.children]) sizes.observe(one);
    };
    const cards = new MutationObserver(follow);
    cards.observe(column, { childList: true });
    column.addEventListener("scroll", look, { passive: true });
    follow();
    return () => {
      sizes.disconnect();
      cards.disconnect();
      column.removeEventListener("scroll", look);
    };
  }, []);
  return (
    <div ref={ref} class="cl-cards">
      {children}
    </div>
  );
}
