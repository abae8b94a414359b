/**
 * Copies text; false where the host allows neither way. `near` is an element of the widget: the
 * fallback selects in its root, which may be a shadow root.
 */
export async function copyText(text: string, near: Element): Promise<boolean> {
  const owner = near.ownerDocument;
  try {
    const clipboard = owner.defaultView?.navigator.clipboard;
    if (clipboard) {
      await clipboard.writeText(text);
      return true;
    }
  } catch {
    // Not allowed here (a frame without the permission, plain http): the old way may be.
  }
  const focused = (near.getRootNode() as Document | ShadowRoot).activeElement;
  const area = owner.createElement("textarea");
  area.value = text;
  area.setAttribute("style", "position:fixed;top:0;left:0;opacity:0");
  near.append(area);
  area.select();
  let done = false;
  try {
    done = owner.execCommand("copy");
  } catch {
    done = false;
  }
  area.remove();
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  return done;
}
