"""Which modules to watch: by name, key, index, glob, type, "convs" or "all"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

from torch import nn

from convlens.errors import ArgumentError, UnknownLayerError, nearest
from convlens.layers import find_layers
from convlens.tree import Node, check_model, walk

__all__ = ["LayerSpec", "Selection", "select"]

LayerSpec = str | int | type[nn.Module] | Sequence[str | int | type[nn.Module]]

# They hold modules and have no forward pass of their own.
_HOLDERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
_GLOB = re.compile(r"[*?\[]")
_CALL = re.compile(r"(.+):(\d+)")


@dataclass(frozen=True)
class Selection:
    """The modules to watch in one model.

    Attributes
    ----------
    model
        Without wrappers (DataParallel, torch.compile, ...).
    modules
        Those to watch, by name, in order of registration.
    calls
        Per name which calls are wanted; a name that is not here means all of them.
    notes
        What was unwrapped.
    """

    model: nn.Module
    modules: Mapping[str, nn.Module]
    calls: Mapping[str, frozenset[int]]
    notes: tuple[str, ...]


def is_conv(module: nn.Module) -> bool:
    """Say whether `module` is a convolution: torch's own, lazy, fused or quantised."""
    return any(base.__name__ == "_ConvNd" for base in type(module).__mro__)


def select(model: Any, layers: LayerSpec, inputs: Any = None, forward: Any = None) -> Selection:
    """Find the modules that `layers` means.

    Parameters
    ----------
    model : torch.nn.Module
    layers
        "convs", "all", a dotted name, the key of one call ("relu:1"), a glob ("layer1.*.conv?"),
        a module class, an index into ``find_layers(model, inputs)``, or a sequence of these.
    inputs, forward
        One batch, used for an index only: to put the layers into the order of their calls.

    Raises
    ------
    UnknownLayerError
        If something names no layer; the nearest names are given.
    ArgumentError
        If nothing is selected, or a part of `layers` is none of the above.
    """
    tree = walk(check_model(model))
    nodes = [node for node in tree.nodes if node.name and not isinstance(node.module, _HOLDERS)]
    if not nodes:  # the model is itself the one layer
        nodes = list(tree.nodes)
    single = isinstance(layers, (str, int, type))
    parts = [layers] if single else list(cast("Iterable[Any]", layers))
    wanted: dict[str, frozenset[int] | None] = {}
    for asked in parts:
        if isinstance(asked, int) and not isinstance(asked, bool):
            asked = _at(tree.model, asked, inputs, forward)
        for name, call in _matches(asked, nodes):
            known = wanted.get(name, frozenset())
            calls = None if call is None or known is None else known | {call}
            wanted[name] = calls
    if not wanted:
        raise ArgumentError(
            f"layers={layers!r} selects nothing in this {type(tree.model).__name__}; pass "
            "layers='all', or names such as "
            f"{', '.join(repr(node.name) for node in nodes[:3])}."
        )
    return Selection(
        tree.model,
        {_key(node): node.module for node in nodes if _key(node) in wanted},
        {name: calls for name, calls in wanted.items() if calls is not None},
        tree.notes,
    )


def _key(node: Node) -> str:
    return node.name or "(model)"


def _at(model: nn.Module, index: int, inputs: Any, forward: Any) -> str:
    layers = find_layers(model, inputs, forward)
    if not -len(layers) <= index < len(layers):
        raise UnknownLayerError(
            f"There is no layer {index}: this model has {len(layers)} layers with weights, "
            f"0 to {len(layers) - 1}."
        )
    return layers[index].key


def _matches(asked: Any, nodes: Sequence[Node]) -> list[tuple[str, int | None]]:
    """Return (name, call) of what one part of `layers` means; call None: every call."""
    if isinstance(asked, type):
        return [(_key(node), None) for node in nodes if isinstance(node.module, asked)]
    if not isinstance(asked, str):
        raise ArgumentError(
            f"layers holds {asked!r}; a layer is given by its name, key, index, glob or class."
        )
    if asked == "all":
        return [(_key(node), None) for node in nodes]
    if asked == "convs":
        return [(_key(node), None) for node in nodes if is_conv(node.module)]
    named = {alias: _key(node) for node in nodes for alias in node.all_aliases()}
    named.update((_key(node), _key(node)) for node in nodes)
    if asked in named:
        return [(named[asked], None)]
    called = _CALL.fullmatch(asked)
    if called is not None and called[1] in named:
        return [(named[called[1]], int(called[2]))]
    if _GLOB.search(asked):
        found: list[tuple[str, int | None]] = [
            (_key(node), None) for node in nodes if fnmatchcase(_key(node), asked)
        ]
        if found:
            return found
    raise UnknownLayerError(f"No layer is called {asked!r}.{nearest(asked, named)}")
