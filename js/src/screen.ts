import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";

export interface FullScreen {
  on: boolean;
  /** On by the fallback: a fixed overlay, where the host's frame forbids full screen. */
  overlay: boolean;
  toggle(): void;
}

export function useFullScreen(ref: RefObject<HTMLElement | null>): FullScreen {
  const overlay = useSignal(false);
  const native = useSignal(false);

  useLayoutEffect(() => {
    const element = ref.current as HTMLElement;
    const check = () => {
      // In a shadow root the document only knows the host; the root itself knows the element.
      const tree = element.getRootNode() as Document | ShadowRoot;
      native.value = tree.fullscreenElement === element;
    };
    element.addEventListener("fullscreenchange", check);
    return () => element.removeEventListener("fullscreenchange", check);
  }, [ref, native]);

  const toggle = () => {
    const element = ref.current;
    if (!element) return;
    if (overlay.value) overlay.value = false;
    else if (native.value) void element.ownerDocument.exitFullscreen();
    else if (!element.requestFullscreen) overlay.value = true;
    else {
      element.requestFullscreen().catch(() => {
        overlay.value = true;
      });
    }
  };
  return { on: overlay.value || native.value, overlay: overlay.value, toggle };
}
