"""The built front end, as anywidget takes it."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from convlens.errors import ConvlensError

STATIC = Path(__file__).parents[1] / "static"

# Every saved Lens carries its front end, so what is saved is a third of the size; browsers unpack
# it in some milliseconds. Views of one page share the module, which keeps no state.
_LOADER = """\
const unpacked = (async () => {
  const packed = Uint8Array.from(atob("%s"), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = new Blob([await new Response(stream).text()], { type: "text/javascript" });
  const url = URL.createObjectURL(code);
  const module = await import(url);
  URL.revokeObjectURL(url);
  return module.default;
})();
export default { render: async (context) => (await unpacked).render(context) };
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
    """Give the front end's module: packed; the file itself where changes are reloaded."""
    if os.environ.get("ANYWIDGET_HMR") == "1":
        return bundle("lens.js")
    return _LOADER % base64.b64encode(bundle("lens.js.gz").read_bytes()).decode()
