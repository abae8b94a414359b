"""Find the layers of a model: in call order, with their effective weights, none left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, overload

from torch import Tensor, nn

from convlens.activations import Forward, call_order
from convlens.errors import ModelError, UnknownLayerError, nearest
from convlens.layer import Layer, Row, rows_of
from convlens.nncf_hooks import rounded_rows
from convlens.tensors import is_lazy
from convlens.tree import Node, Tree, check_model, kind_of, walk
from convlens.untouched import storage_of

__all__ = ["Layer", "Layers", "find_layers"]


class Layers(Sequence[Layer]):
    """The layers of a model in order: by position, or by key.

    Attributes
    ----------
    model : torch.nn.Module
        The model, taken out of DataParallel, torch.compile and the like.
    notes : tuple of str
        What was unwrapped, and what is no layer: ``"19 BatchNorm2d hold ... no filters"``.

    Examples
    --------
    >>> from convlens import demo
    >>> layers = find_layers(demo.load().model)
    >>> layers["conv1"].shape
    (12, 1, 3, 3)
    """

    def __init__(
        self, model: nn.Module, layers: Iterable[Layer], notes: Iterable[str] = ()
    ) -> None:
        self.model = model
        self.notes = tuple(notes)
        self._layers = tuple(layers)
        self._by_key = {layer.key: layer for layer in self._layers}
        for layer in self._layers:
            for name in (layer.name, f"{layer.name}:{layer.call}"):
                self._by_key.setdefault(name, layer)

    def keys(self) -> tuple[str, ...]:
        """Return the key of every layer, in order."""
        return tuple(layer.key for layer in self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers)

    def __contains__(self, layer: object) -> bool:
        return layer in self._by_key if isinstance(layer, str) else layer in self._layers

    @overload
    def __getitem__(self, index: int | str) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Layer]: ...
    def __getitem__(self, index: int | str | slice) -> Layer | Sequence[Layer]:
        if not isinstance(index, str):
            return self._layers[index]
        if index in self._by_key:
            return self._by_key[index]
        keys = self.keys()
        hint = nearest(index, keys) or f" The {len(keys)} layers run from {_ends(keys)}."
        raise UnknownLayerError(f"There is no layer {index!r}.{hint}")

    def __repr__(self) -> str:
        ends = f", {_ends(self.keys())}" if self else ""
        return f"<Layers of {kind_of(self.model)}: {len(self)}{ends}>"


def find_layers(model: nn.Module, inputs: Any = None, forward: Forward | None = None) -> Layers:
    """List every layer of a model that holds weights, and why where one has no filters.

    Parameters
    ----------
    model : torch.nn.Module
        Left exactly as found.
    inputs : optional
        A batch that the model takes: a tensor, a tuple (positional arguments), a mapping (keyword
        arguments), or a DataLoader or other iterable of which the first batch is used, labels left
        out. With them, or with `forward`, layers come in the order in which they are called;
        without, in the order in which the modules are registered.
    forward : callable(model, inputs), optional
        Runs the model on `inputs` where calling ``model(inputs)`` would not.

    Returns
    -------
    Layers

    Raises
    ------
    ModelError
        If `model` is no module, or one without weights.
    ForwardError
        If the model raises on these inputs.
    ArgumentError
        If `inputs` holds no batch.

    Examples
    --------
    >>> [layer.key for layer in find_layers(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)))]
    ['0']
    """
    tree = walk(check_model(model))
    rows = [row for node in tree.nodes for row in rows_of(node)]
    named = {row.layer.name for row in rows if row.in_graph}
    # torch.export leaves modules that only carry the weights of a call in its graph.
    rows = [row for row in rows if row.in_graph or row.layer.name not in named]
    listed = {id(row.node) for row in rows}
    listed |= {id(node) for node in tree.nodes if node.name in named}
    notes = [*tree.notes, *_leftovers(tree, listed)]
    if not rows:
        raise ModelError(_nothing(tree.model, notes))
    rows = rounded_rows(tree.model, _tied(rows))
    if inputs is None and forward is None:
        return Layers(tree.model, [row.layer for row in rows], notes)
    if any(is_lazy(parameter) for parameter in tree.model.parameters()):
        notes.append(
            "not run on the inputs, as that would initialise its lazy layers for good: "
            "in module order"
        )
        return Layers(tree.model, [row.layer for row in rows], notes)
    return Layers(tree.model, _in_call_order(tree, rows, inputs, forward), notes)


def _in_call_order(
    tree: Tree, rows: list[Row], inputs: Any, forward: Forward | None
) -> list[Layer]:
    """Order the rows by the calls of one forward pass; a module called twice gives two layers."""
    own: dict[int, list[Row]] = {}
    inside: dict[int, list[Row]] = {}
    for row in rows:
        anchor = row.node if row.in_graph else _anchor(row.node)
        within = row.in_graph or anchor is not row.node
        (inside if within else own).setdefault(id(anchor.module), []).append(row)
    watched = {id(n.module): n.module for n in tree.nodes if id(n.module) in {*own, *inside}}
    order = [id(module) for module in call_order(tree.model, watched.values(), inputs, forward)]
    total, calls = Counter(order), Counter[int]()
    layers: list[Layer] = []
    for called in order:
        call = calls[called]
        calls[called] += 1
        for row in own.get(called, ()):
            key = f"{row.layer.key}:{call}" if total[called] > 1 else row.layer.key
            layers.append(replace(row.layer, key=key, call=call))
        if call == 0:
            layers += [row.layer for row in inside.get(called, ())]
    note = "never called on these inputs"
    return layers + [
        replace(row.layer, notes=(*row.layer.notes, note))
        for row in rows
        if not total[id((row.node if row.in_graph else _anchor(row.node)).module)]
    ]


def _anchor(node: Node) -> Node:
    """Return the module whose call uses the weight: mostly itself, and where not, one around it."""
    while node.parent is not None:
        around = node.parent.module
        read_by_parent = isinstance(around, nn.MultiheadAttention)  # takes out_proj.weight itself
        if not (node.sealed or read_by_parent or _has_no_forward(node.module)):
            break
        node = node.parent
    return node


def _has_no_forward(module: nn.Module) -> bool:
    """Whether it only holds things, like a ParameterList or a plain Module."""
    return getattr(type(module), "forward", None) is nn.Module.forward


def _tied(rows: list[Row]) -> list[Row]:
    """Note on each layer which others use the same memory."""
    users: dict[object, list[Row]] = {}
    for row in rows:
        for tensor in row.stored:
            users.setdefault(_memory(tensor), []).append(row)
    found: list[Row] = []
    for row in rows:
        others = {
            other.layer.key: None
            for tensor in row.stored
            for other in users[_memory(tensor)]
            if other.node is not row.node or other.layer.name != row.layer.name
        }
        if others:
            notes = (*row.layer.notes, *(f"shares its weight with {other}" for other in others))
            row = replace(row, layer=replace(row.layer, notes=notes))
        found.append(row)
    return found


def _memory(tensor: Tensor) -> object:
    storage = None if is_lazy(tensor) or tensor.is_meta else storage_of(tensor)
    if storage is None:
        return id(tensor)
    return storage, tensor.storage_offset(), tensor.numel()


def _leftovers(tree: Tree, listed: set[int]) -> list[str]:
    """Sentences on what holds parameters and is no layer, so that nothing is left out silently."""
    norms, others, tables = Counter[str](), Counter[str](), list[str]()
    for node in tree.nodes:
        if id(node) in listed:
            continue
        kind = kind_of(node.module)
        if next(node.module.parameters(recurse=False), None) is not None:
            (norms if "Norm" in kind else others)[kind] += 1
        tables += [
            f"{node.name}.{name}" if node.name else name
            for name, buffer in node.module.named_buffers(recurse=False)
            if not is_lazy(buffer) and buffer.dim() >= 2 and buffer.is_floating_point()
        ]
    notes = [_sentence(norms, "one number per channel and no filters")] if norms else []
    if others:
        notes.append(_sentence(others, "vectors or single numbers and no filters"))
    if tables:
        shown = ", ".join(tables[:3]) + (f" and {len(tables) - 3} more" if len(tables) > 3 else "")
        notes.append(f"buffers are not looked at: {shown}")
    return notes


def _sentence(counts: Counter[str], what: str) -> str:
    parts = [f"{count} {kind}" for kind, count in counts.items()]
    said = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{said} {'holds' if counts.total() == 1 else 'hold'} {what}"


def _nothing(model: nn.Module, notes: Sequence[str]) -> str:
    kind = kind_of(model)
    frozen = type(model).__name__ == "RecursiveScriptModule"
    if frozen and not notes:
        return (
            f"This {kind} holds no parameters: torch.jit.freeze makes constants of them, "
            "so pass the model before freezing."
        )
    why = f" ({'; '.join(notes)})" if notes else ""
    return f"This {kind} has no convolution, linear layer or other table of weights{why}."


def _ends(keys: Sequence[str]) -> str:
    return " to ".join(repr(key) for key in dict.fromkeys([*keys[:1], *keys[-1:]]))
