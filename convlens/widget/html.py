"""A Lens as one file that works offline."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from convlens.errors import ArgumentError, ConvlensError
from convlens.widget import answers
from convlens.widget.bundle import bundle
from convlens.widget.encoding import encode
from convlens.widget.jobs import model_lock
from convlens.widget.selection import SELECTION

if TYPE_CHECKING:
    from os import PathLike

    from convlens.widget.lens import Lens

# the front end is an ES module: it is imported from a Blob, since file:// pages may import no files
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body {{ margin: 16px; }} noscript {{ font: 14px system-ui; }}</style>
<style>{style}</style>
</head>
<body>
<div id="lens"></div>
<noscript>This page draws a convlens Lens and needs JavaScript.</noscript>
<script type="application/json" id="recording">{recording}</script>
<script type="application/json" id="code">{code}</script>
<script type="module">
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const url = URL.createObjectURL(new Blob([read("code")], {{ type: "text/javascript" }}));
const {{ mount }} = await import(url);
URL.revokeObjectURL(url);
mount(document.getElementById("lens"), read("recording"));
</script>
</body>
</html>
"""


def write_page(lens: Lens, path: str | PathLike[str], *, max_mb: float) -> Path:
    """Write a Lens to a file; see `Lens.to_html`."""
    if isinstance(max_mb, bool) or not isinstance(max_mb, int | float) or not max_mb >= 0:
        raise ArgumentError(f"max_mb must be a number of megabytes, 0 or more, not {max_mb!r}.")
    target = Path(path)
    if not target.parent.is_dir():
        raise ArgumentError(f"There is no folder {target.parent} to write {target.name} to.")
    recording = record(lens, int(max_mb * 1e6))
    page = _PAGE.format(
        title=html.escape(f"{recording['traits']['_structure']['model']['title']} · convlens"),
        style=bundle("lens.css").read_text("utf-8").replace("</", "<\\/"),
        recording=_json(recording),
        code=_json(bundle("lens.js").read_text("utf-8")),
    )
    # a reader of the old file, or an interrupt, never meets half a page
    partial = target.with_name(target.name + ".part")
    partial.write_text(page, "utf-8")
    partial.replace(target)
    return target


def record(lens: Lens, max_bytes: int) -> dict[str, Any]:
    """Record the traits of a Lens, and the replies its front end would ask for.

    Parameters
    ----------
    lens
        The Lens.
    max_bytes
        Most bytes of float32 weights.

    Returns
    -------
    dict
        ``{traits, replies: {"kind {params}": {header, buffers}}}``, as ``js/src/transport.ts``
        reads it; buffers are base64 of gzip.
    """
    with model_lock(lens.model), torch.no_grad():
        measured = answers.Measured(lens.layers)
        quality, _ = answers.finish(answers.quality(measured, lens.eps, _silent))
        replies: dict[str, Any] = {}
        scored = [layer for layer in lens.layers if layer.reason is None]
        # the layer in view first, so that it is in the page whatever the others weigh
        scored.sort(key=lambda layer: layer.key != lens.layer)
        left = max_bytes
        pairing = lens.pairing if lens.pairing.there else None
        paired = pairing.summary(lens.eps) if pairing else {}
        for layer in scored:
            try:
                replies[_key("distribution", layer=layer.key)] = _reply(answers.distribution(layer))
            except ConvlensError:  # NaN weights: the page says what the row says
                continue
            size = 4 * layer.weight().numel()
            size += 4 * pairing.weights(layer.key) if pairing else 0
            fits = size <= left
            if fits:
                left -= size
                _record_filters(measured, layer.key, replies)
            for kind, asked, answer in pairing.recorded(layer.key, filters=fits) if pairing else ():
                replies[_key(kind, **asked)] = _reply_of(answer)
        computed = list(lens.computed())
    names = [*SELECTION, "closed", "revision", "_structure"]
    traits = cast(dict[str, Any], lens.get_state(names))
    traits["_structure"] = {**traits["_structure"], "offline": True}
    traits["_summary"] = encode({**quality, "revision": lens.revision})[0]
    traits["_paired"] = encode({**paired, "revision": lens.revision})[0] if paired else {}
    traits["stale"] = False
    for kind, params, (header, arrays) in computed:
        replies[_key(kind, **params)] = _reply_of(({**header, "revision": lens.revision}, arrays))
    # the page asks where there is something to ask for
    traits |= {"_taken": 0 if lens.history is None else lens.history.taken, "_past": {}}
    return {"traits": traits, "replies": replies}


def _record_filters(measured: answers.Measured, key: str, replies: dict[str, Any]) -> None:
    layer, start, stop = measured.layers[key], 0, 1
    while start < stop:
        reply = _reply(answers.filters(measured, layer, start))
        replies[_key("filters", layer=key, start=start)] = reply
        clusters = _reply(answers.cluster(measured, layer, start))
        replies[_key("cluster", layer=key, start=start)] = clusters
        start, stop = reply["header"]["stop"], reply["header"]["out"]


def _silent(done: int, total: int, label: str, header: dict[str, Any]) -> None:
    """Tell nobody about progress."""


def _reply(steps: answers.Steps) -> dict[str, Any]:
    return _reply_of(answers.finish(steps))


def _reply_of(answer: answers.Answer) -> dict[str, Any]:
    header, buffers = encode(*answer)
    packed = [base64.b64encode(gzip.compress(buffer, 6, mtime=0)).decode() for buffer in buffers]
    return {"header": header, "buffers": packed}


def _key(kind: str, **params: str | int) -> str:
    """Name a request as ``recordKey`` in ``js/src/transport.ts`` does."""
    text = json.dumps(params, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{kind} {text}"


def _json(value: Mapping[str, Any] | str) -> str:
    """Write JSON that no HTML parser sees a tag in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
