"""The lines that give each view's figures: what "Copy as Python" copies."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ipywidgets import Widget
from torch import Tensor

from convlens.widget.drifting import against_of
from convlens.widget.sources import Sources


def code(sources: Sources, names: Mapping[str, str | None]) -> dict[str, Any]:
    """Write a template per view; the front end fills in what is selected, as Python literals.

    Parameters
    ----------
    sources
        What the Lens was given.
    names
        What these are called in the notebook, where that is known.
    """
    said = {name: names.get(name) or name for name in _GIVEN}
    given = f", inputs={said['inputs']}{_calling(sources)}" if names.get("inputs") else ""
    return {
        "quality": (
            "import convlens as cl\n\n"
            f"quality = cl.measure_quality({said['model']}, eps={{eps}}{given})\n"
            "quality.plot()\n"
            "quality[{layer}]"
        ),
        "history": "lens.history.at({step})",
        "filters": (
            "import convlens as cl\n\n"
            f"filters = cl.read_filters({said['model']}, {{layer}}{given})\n"
            "filters.plot(sort={sort}, scale={scale}, eps={eps})"
        ),
        "reference_filters": _beside(sources, said, given),
        "saliency": {
            "given": _attribution(
                said["model"], f"{said['inputs']}[{{index}}:{{stop}}]", _on_batches(sources)
            )
            if isinstance(sources.inputs, Tensor)
            else None,
            "held": _attribution(said["model"], "lens.input", _forward(sources)),
        },
        "features": (
            "import convlens as cl\n\n"
            f"features = cl.visualize_features({said['model']}, {{layer}}, {{channel}}"
            + (f", inputs={_part(sources, said)}" if sources.inputs is not None else "")
            + f"{{settings}}{_forward(sources)})\n"
            "features.plot()"
            + (
                f"\ncl.top_inputs({said['model']}, {said['inputs']}, {{layer}}, {{channel}}"
                f"{_on_batches(sources)}).plot(crops=True)"
                if sources.inputs is not None
                else ""
            )
        ),
        "drift": _drifts(sources, said),
        "similarity": {
            name: (
                "import convlens as cl\n\n"
                f"similarity = cl.compare({said['model']}, {said['inputs']}{_other(name, said)}, "
                f"measure={{measure}}, layers={{layer_set}}{_on_batches(sources)}{{settings}})\n"
                "similarity.plot(fit={fit})"
            )
            for name in sources.comparisons
        },
        "compression": _reports(sources, said),
    }


def _drifts(sources: Sources, said: Mapping[str, str]) -> dict[str, str]:
    """Write a comparison of filters with each thing that they can be compared with."""
    return {
        name: (
            "import convlens as cl\n\n"
            f"drift = cl.filterdb.drift({said['model']}"
            + ("" if name == "shipped" else f", {said[name]}")
            + ", group={group})\ndrift.plot()"
        )
        for name in against_of(sources)
    }


def _other(comparison: str, said: Mapping[str, str]) -> str:
    return {
        "self": "",
        "inputs": f", reference_inputs={said['reference_inputs']}",
        "reference": f", {said['reference']}",
    }[comparison]


def _reports(sources: Sources, said: Mapping[str, str]) -> dict[str, str]:
    """Write a report of either model as the compressed one."""
    if sources.reference is None or sources.inputs is None:
        return {}
    labels = "" if sources.labels is None else f", {said['labels']}"
    return {
        after: (
            "import convlens as cl\n\n"
            f"report = cl.compression.report({said[after]}, {said[before]}, "
            f"{said['inputs']}{labels}{_on_batches(sources)})\n"
            "report.plot(by={by})\n"
            "report[{layer}]"
        )
        for after, before in (("model", "reference"), ("reference", "model"))
    }


def _beside(sources: Sources, said: Mapping[str, str], given: str) -> dict[str, str]:
    """Write the filters of both; how the reference's are read, "theirs", is filled in too."""
    if sources.reference is None:
        return {}
    mine = f"filters = cl.read_filters({said['model']}, {{layer}}{given})\n"
    plot = ".plot(sort={sort}, scale={scale}, eps={eps})"
    return {
        "theirs": f"cl.read_filters({said['reference']}, {{partner}}{given})",
        "reference": f"import convlens as cl\n\nreference = {{theirs}}\nreference{plot}",
        "side by side": (
            f"import convlens as cl\n\n{mine}reference = {{theirs}}\n"
            f"for each in (filters, reference):\n    each{plot}"
        ),
        "difference": (
            f"import convlens as cl\n\n{mine}reference = {{theirs}}\n"
            "difference = filters.weights - reference.weights\n"
            "abs(difference).max()"
        ),
    }


def _attribution(model: str, inputs: str, how: str) -> str:
    return (
        "import convlens as cl\n\n"
        f"saliency = cl.attribute({model}, {inputs}{{settings}}{how})\n"
        f"saliency.plot(inputs={inputs})"
    )


def _forward(sources: Sources) -> str:
    return "" if sources.forward is None else ", forward=forward"


def _on_batches(sources: Sources) -> str:
    """Write how a model is called, for what takes the part of a batch itself."""
    part = sources.inputs_from
    named = repr(part) if isinstance(part, str | int) else "inputs_from"
    return ("" if part is None else f", inputs_from={named}") + _forward(sources)


def _calling(sources: Sources) -> str:
    """Write how a model is called, for what only takes `forward`."""
    if sources.inputs_from is None:
        return _forward(sources)
    chosen = _taken(sources, "batch")
    call = f"net({chosen})" if sources.forward is None else f"forward(net, {chosen})"
    return f", forward=lambda net, batch: {call}"


def _part(sources: Sources, said: Mapping[str, str]) -> str:
    """Write the inputs as the model takes them."""
    inputs = said["inputs"]
    if sources.inputs_from is None:
        return inputs
    if isinstance(sources.inputs, (Tensor, tuple, Mapping)):
        return _taken(sources, inputs)
    return f"({_taken(sources, 'batch')} for batch in {inputs})"


def _taken(sources: Sources, batch: str) -> str:
    part = sources.inputs_from
    return f"{batch}[{part!r}]" if isinstance(part, str | int) else f"inputs_from({batch})"


_GIVEN = ("model", "inputs", "reference", "reference_inputs", "labels", "database")


def names_of(*given: object) -> dict[str, str | None]:
    """Name what a Lens was given: the models, the inputs, the labels, the database."""
    *others, database = given
    known = [name_in_notebook(value) for value in others]
    return dict(zip(_GIVEN, (*known, _database(database)), strict=True))


def _database(given: object) -> str | None:
    """Write what opens the file that was given, or what the object is called in the notebook."""
    if not isinstance(given, str | Path):
        return name_in_notebook(given) or "lens.database"
    call = "Summary.load" if Path(given).suffix.lower() == ".npz" else "open"
    return f"cl.filterdb.{call}({str(given)!r})"


def name_in_notebook(value: object) -> str | None:
    """Find what an object is called in the user's notebook, so that copied code runs there."""
    # never import IPython for this: no kernel, no notebook
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or value is None:
        return None
    known_names = cast(dict[str, object], shell.user_ns)
    names = [(k, v) for k, v in list(known_names.items()) if not k.startswith("_")]
    for name, known in names:
        if known is value:
            return name
    for name, known in names:
        # ``digits.model``: of plain objects, and of what is stored in them only
        if isinstance(known, (ModuleType, type, Widget)):
            continue
        holds = cast(dict[str, object], getattr(known, "__dict__", {}))
        for attribute, stored in list(holds.items()):
            if stored is value and attribute.isidentifier() and not attribute.startswith("_"):
                return f"{name}.{attribute}"
    return None
