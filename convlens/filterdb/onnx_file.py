"""Filters out of ONNX files: the initialisers of their Conv nodes, as CNN Filter DB was made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from convlens.filterdb.depth import longest, ranked
from convlens.filterdb.errors import FilterDBError
from convlens.filterdb.sources import Convolution, Extracted

__all__ = ["from_onnx"]


def from_onnx(path: Path) -> Extracted:
    """Read the weights of all Conv nodes.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    Extracted
        With `producer`, `op_set` and the count of each operator as metadata.

    Raises
    ------
    FilterDBError
        If onnx is not installed, the file is no ONNX model, or a file of weights that it refers to
        is missing.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise FilterDBError(
            f"{path.name} needs onnx to be read: pip install 'convlens[onnx]'."
        ) from None
    try:
        model: Any = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf has errors of its own, by version
        said = str(error).strip().split("\n")[0]
        raise FilterDBError(f"{path.name} is no ONNX model ({said}).") from error
    if not model.graph.node:
        raise FilterDBError(f"{path.name} is no ONNX model: it has no nodes.")
    constants: dict[str, Any] = {one.name: one for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    constants[node.output[0]] = attribute.t
    depths = _depths(model.graph)
    layers: list[Convolution] = []
    notes: list[str] = []
    found: dict[str, int] = {}
    seen: set[str] = set()
    for place, node in enumerate(model.graph.node):
        if node.op_type != "Conv" or len(node.input) < 2:
            continue
        name = node.name or f"{node.op_type}_{place}"
        found[name] = depths[place]
        if node.input[1] not in constants:
            notes.append(f"{name} left out: its weight is computed")
        elif len(constants[node.input[1]].dims) != 4:
            notes.append(f"{name} left out: not two-dimensional")
        elif node.input[1] in seen:
            notes.append(f"{name} left out: the same weight as another")
        else:
            seen.add(node.input[1])
            weight = _weight(path, constants[node.input[1]], numpy_helper)
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            layers.append(Convolution(name, 0, weight, int(groups)))
    ranks = ranked(found)
    layers = [Convolution(one.name, ranks[one.name], one.weight, one.groups) for one in layers]
    operators = Counter(node.op_type for node in model.graph.node)
    versions = {one.domain: one.version for one in model.opset_import}
    producer = " ".join(filter(None, (model.producer_name, model.producer_version)))
    metadata = {
        "producer": producer or "not said",
        "op_set": int(versions.get("", 0)),
        "depth": max(depths, default=0),
        **dict(sorted(operators.items())),
    }
    return Extracted(tuple(layers), metadata, (*notes, "depth by the graph"))


def _depths(graph: Any) -> list[int]:
    """Return the depth of each node; ONNX lists nodes after those whose outputs they take."""
    maker = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    edges = (
        (place, [maker[name] for name in node.input if maker.get(name, place) < place])
        for place, node in enumerate(graph.node)
    )
    depth = longest(edges)
    return [depth[place] for place in range(len(graph.node))]


def _weight(path: Path, tensor: Any, numpy_helper: Any) -> Any:
    try:
        return np.ascontiguousarray(
            numpy_helper.to_array(tensor, base_dir=str(path.parent)), dtype=np.float32
        )
    except Exception as error:  # onnx's checker has an error of its own
        said = str(error).strip().split("\n")[0][:200]
        elsewhere = [entry.value for entry in tensor.external_data if entry.key == "location"]
        if elsewhere:
            raise FilterDBError(
                f"{path.name} keeps its weights in {elsewhere[0]!r}, which cannot be read beside "
                f"it ({said}): put that file there."
            ) from error
        raise FilterDBError(
            f"The weight {tensor.name!r} of {path.name} cannot be read ({said})."
        ) from error
