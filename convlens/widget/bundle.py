"""The built front end, as anywidget takes it."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from convlens.errors import ConvlensError

STATIC = Path(__file__).parents[1] / "static"

# Every saved Lens carries its front end, so what is saved is a third of the size; browsers unpack
# it in some milliseconds. Views of one page share the module, which keeps no state; each has the
# style beside it, wherever the host puts it (marimo: behind a shadow root).
_LOADER = """\
const unpacked = (async () => {
  const packed = Uint8Array.from(atob("%s"), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = new Blob([await new Response(stream).text()], { type: "text/javascript" });
  const url = URL.createObjectURL(code);
  const module = await import(url);
  URL.revokeObjectURL(url);
  return module;
})();
export default {
  render: async (context) => {
    const module = await unpacked;
    const [style, el] = ["style", "div"].map((tag) => document.createElement(tag));
    style.textContent = module.style;
    context.el.append(style, el);
    return module.default.render({ ...context, el });
  },
};
"""


def bundle(name: str) -> Path:
    """Find a file of the front end.

    Raises
    ------
    ConvlensError
        Saying how to build it, where it was not.
    """
    path = STATIC / name
    if not path.is_file():
        raise ConvlensError(
            f"The front end is not built ({path} is missing): in a checkout run `make build`, "
            "elsewhere install convlens again."
        )
    return path


def module() -> str | Path:
    """Give the front end's module: packed, with its style; the file where changes are reloaded."""
    if _reloads():
        return bundle("lens.js")
    return _LOADER % base64.b64encode(bundle("lens.js.gz").read_bytes()).decode()


def style() -> str | Path:
    """Give the style sheet, where the module does not bring it."""
    return bundle("lens.css") if _reloads() else ""


def _reloads() -> bool:
    return os.environ.get("ANYWIDGET_HMR") == "1"
