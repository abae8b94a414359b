import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

const LATE_MS = 150;

/** Whether something has lasted for a moment: what is over sooner is not shown, and takes no frame. */
export function useLate(now: boolean): boolean {
  const late = useSignal(false);
  useEffect(() => {
    if (!now) return;
    const timer = setTimeout(() => {
      late.value = true;
    }, LATE_MS);
    return () => {
      clearTimeout(timer);
      late.value = false;
    };
  }, [now, late]);
  return now && late.value;
}
