"""The tables of docs/saliency.md come from the declarations and from running every method.

``python -m tests.saliency.test_docs`` writes them anew.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convlens as cl
from convlens.saliency import METHODS
from tests.saliency.nets import NETS, make
from tests.saliency.test_run import FAST
from tests.untouched import left_untouched

DOCS = Path(__file__).parents[2] / "docs" / "saliency.md"

# What is refused, and why: all else works.
_SILU = "DeepLift{} has no rule for SiLU, which Sequential holds: choose integrated_gradients."
_PLAIN = "Sequential has no ReLU, without which {} is the plain gradient: choose saliency."
REFUSED = {
    ("depthwise", "deep_lift"): _SILU.format(""),
    ("depthwise", "deep_lift_shap"): _SILU.format("Shap"),
    ("depthwise", "guided_backprop"): _PLAIN.format("Guided backpropagation"),
    ("depthwise", "deconvolution"): _PLAIN.format("Deconvolution"),
    ("depthwise", "guided_grad_cam"): _PLAIN.format("Guided Grad-CAM"),
    ("depthwise", "lrp"): "LRP cannot be had for Sequential: LRP has no rule for SiLU (2).",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("net", NETS)
def test_every_method_works_on_every_kind_of_network_or_says_why_not(net, method):
    model, x = make(net)
    with left_untouched(model):
        said: Any = cl.preflight(model, x)[method]
    assert said == REFUSED.get((net, method))
    with left_untouched(model):
        if said is None:
            found: Any = cl.attribute(model, x[:2], 1, method, **FAST.get(method, {}))
            assert found.finished
            assert np.isfinite(found.values).all()
            assert not found.about_zero.all()
            assert found.map().shape == (2, 10, 10)
        else:
            with pytest.raises(cl.ArgumentError, match=re.escape(said)):
                cl.attribute(model, x[:2], 1, method)


def methods_table() -> str:
    """Return the methods as they are declared."""
    lines = ["| method | what it does | parameters | needs | source |", "|---|---|---|---|---|"]
    for method in METHODS.values():
        parameters = "; ".join(
            f"`{p.name}` = {p.default!r}: {p.help} ({p.range()})" for p in method.parameters
        )
        marks = [
            word
            for word, has in (
                ("baseline", method.takes_baseline),
                ("layer", method.takes_layer),
                ("delta", method.has_delta),
            )
            if has
        ]
        what = method.help + (f" *({', '.join(marks)})*" if marks else "")
        lines.append(
            f"| `{method.name}` {method.title} | {what} | {parameters or '–'} | {method.needs} "
            f"| {method.source} |"
        )
    return "\n".join(lines)


def nets_table() -> str:
    """Return which method works on which kind of network, by asking each."""
    heads = [title for title, _, _ in NETS.values()]
    lines = ["| method | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    notes: dict[str, int] = {}
    said = {name: cl.preflight(*make(name)) for name in NETS}
    for method in METHODS:
        cells: list[str] = []
        for name in NETS:
            reason = said[name][method]
            number = notes.setdefault(reason, len(notes) + 1) if reason else 0
            cells.append(f"no ({number})" if reason else "works")
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{number}. {reason}" for reason, number in notes.items())])


def written(text: str) -> str:
    """Return the page with its tables made anew."""
    for name, table in (("methods", methods_table()), ("networks", nets_table())):
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{table}\n{end}{after}"
    return text


def test_the_page_has_the_tables_as_they_are():
    text = DOCS.read_text(encoding="utf-8")
    assert written(text) == text, "python -m tests.saliency.test_docs writes the tables anew"


if __name__ == "__main__":
    torch.set_num_threads(1)
    DOCS.write_text(written(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
