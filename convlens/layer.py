"""One module as a layer: its weight, its shape as filters, and what there is to say about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from torch import Tensor, nn

from convlens.errors import ArgumentError, ConvlensError, ModelError
from convlens.forms import Form, form_of, holds_packed, own_tables, why_no_filters
from convlens.graphs import find_in_graph
from convlens.tensors import dense, dtype_name, is_lazy
from convlens.tree import Node, kind_of
from convlens.weights import Source, find_source

__all__ = ["Layer", "Row", "rows_of"]

ROOT = "(model)"  # the key of a model that is itself one layer; its name is ""

# What the parameter called "weight" becomes under pruning, weight_norm and spectral_norm.
_NORMED = ("weight", "weight_v", "weight_g")
_PARTS_OF_A_LAYER = {"bias", "bias_orig", *_NORMED, *(f"{name}_orig" for name in _NORMED)}


@dataclass(frozen=True)
class Layer:
    """One call of one module that holds weights.

    Attributes
    ----------
    key : str
        ``"layer1.0.conv1"``; ``"relu:1"`` for the second call of a module that is called twice.
    name : str
        Dotted name of the module, "" for the model itself.
    call : int
        Which call of the module, from 0.
    kind : str
        Class name of the module, ``"Conv2d"``.
    shape : tuple of int
        Of the effective weight as (out, in/groups, *kernel); () where it is not known.
    groups : int
    transposed : bool
        A transposed convolution; `shape` and `weight` are reordered all the same.
    parameters : int
        How many the module itself has, those of modules inside it not counted.
    dtype, device : str
        Of the weight as stored, ``"float32"``, ``"qint8"``, ``"cuda:0"``.
    notes : tuple of str
        Everything that is out of the ordinary: ``"pruned: mask applied"``, ``"weight_norm"``, ...
    reason : str or None
        Why there are no filters to read, in words; None where there are.
    module : torch.nn.Module
    """

    key: str
    name: str
    call: int
    kind: str
    shape: tuple[int, ...]
    groups: int
    transposed: bool
    parameters: int
    dtype: str
    device: str
    notes: tuple[str, ...]
    reason: str | None
    module: nn.Module = field(repr=False, compare=False)
    _read: Callable[[], Tensor] | None = field(default=None, repr=False, compare=False)

    def weight(self) -> Tensor:
        """Return the effective weight as it is now, in the layout of `shape`.

        Returns
        -------
        Tensor
            Detached, dense, on its own device. float16 and bfloat16 stay; quantised weights are
            dequantised. Of a plain convolution it is the parameter's own memory: do not write.

        Raises
        ------
        ArgumentError
            If the layer has none, for `reason`.
        ModelError
            If a parametrisation of the model raises.

        Examples
        --------
        >>> find_layers(torch.nn.Conv2d(3, 8, 3))[0].weight().shape
        torch.Size([8, 3, 3, 3])
        """
        if self.reason is not None or self._read is None:
            reason = self.reason or "it was not made by find_layers"
            raise ArgumentError(f"{self.key} has no weight to read: {reason}.")
        try:
            return self._read()
        except ConvlensError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise ModelError(f"The weight of {self.key} could not be computed ({said}).") from error


@dataclass(frozen=True)
class Row:
    """A layer before the order of calls is known.

    Attributes
    ----------
    layer : Layer
    node : Node
        The module that holds it.
    stored : tuple of Tensor
        The tensors behind its weight.
    in_graph : bool
        A call in a torch.fx graph, where the module is the graph around it.
    """

    layer: Layer
    node: Node
    stored: tuple[Tensor, ...]
    in_graph: bool = False


def rows_of(node: Node) -> list[Row]:
    """Return the layers that one module makes: one at most, but for a torch.fx graph."""
    module = node.module
    found = _graph_rows(node)
    in_graph = {id(tensor) for row in found for tensor in row.stored}
    tables = {name: t for name, t in own_tables(module).items() if id(t) not in in_graph}
    form = form_of(module)
    if form is not None:
        found.append(_filters_row(node, form, tables))
    elif tables or holds_packed(module):
        found.append(_unscored_row(node, tables))
    return found


def _filters_row(node: Node, form: Form, tables: dict[str, Tensor]) -> Row:
    module, source = node.module, find_source(node.module)
    if node.sharded:
        source = replace(source, reason="sharded by FullyShardedDataParallel: gather it first")
    extra = [name for name in tables if name.partition(".")[0] not in _PARTS_OF_A_LAYER]
    notes = [*source.notes, *_own_forward(module), *_aliases(node)]
    if extra:
        notes.append(f"also holds {', '.join(extra)}, not looked at")
    count = _count(module)
    if holds_packed(module):
        count = _packed_count(module, source)
    return Row(
        _layer(node, node.name, kind_of(module), form, source, count, notes), node, source.stored
    )


def _graph_rows(node: Node) -> list[Row]:
    weights = find_in_graph(node.module)
    total, calls = Counter(weight.name for weight in weights), Counter[str]()
    rows: list[Row] = []
    for weight in weights:
        name = f"{node.name}.{weight.name}" if node.name else weight.name
        source = weight.source
        made = _layer(node, name, weight.kind, weight.form, source, weight.parameters, source.notes)
        if total[weight.name] > 1:
            call = calls[weight.name]
            calls[weight.name] += 1
            made = replace(made, key=f"{made.key}:{call}", call=call)
        rows.append(Row(made, node, source.stored, in_graph=True))
    return rows


def _unscored_row(node: Node, tables: dict[str, Tensor]) -> Row:
    module, first = node.module, next(iter(tables.values()), None)
    if first is None:  # packed integers
        source = find_source(module)
        count = prod(source.shape) if source.shape else 0
    else:
        alone = len(tables) == 1 and not is_lazy(first)
        shape = tuple(first.shape) if alone else ()
        count = _count(module)
        source = Source(first.detach, (), shape, dtype_name(first.dtype), str(first.device))
    layer = Layer(
        key=node.name or ROOT,
        name=node.name,
        call=0,
        kind=kind_of(module),
        shape=source.shape,
        groups=1,
        transposed=False,
        parameters=count,
        dtype=source.dtype,
        device=source.device,
        notes=(*source.notes, *_aliases(node)),
        reason=why_no_filters(module, tables.items()),
        module=module,
    )
    return Row(layer, node, tuple(tables.values()))


def _layer(
    node: Node,
    name: str,
    kind: str,
    form: Form,
    source: Source,
    parameters: int,
    notes: Iterable[str],
) -> Layer:
    reason = source.reason
    if reason is None or source.shape:
        reason = reason or form.misfit(source.shape)
    known = bool(source.shape) and form.misfit(source.shape) is None
    return Layer(
        key=name or ROOT,
        name=name,
        call=0,
        kind=kind,
        shape=form.shape(source.shape) if known else (),
        groups=form.groups,
        transposed=form.transposed,
        parameters=parameters,
        dtype=source.dtype,
        device=source.device,
        notes=tuple(notes),
        reason=reason,
        module=node.module,
        _read=lambda: form.arrange(dense(source.read())),
    )


def _own_forward(module: nn.Module) -> list[str]:
    if isinstance(getattr(module, "original_name", None), str):
        return []  # TorchScript: what its forward does is not to be seen
    home = next((base for base in type(module).__mro__ if "forward" in vars(base)), nn.Module)
    if "forward" not in vars(module) and home.__module__.split(".")[0] in ("torch", "torchao"):
        return []
    return [f"{kind_of(module)} has a forward of its own: the stored weight is shown"]


def _aliases(node: Node) -> list[str]:
    names = node.all_aliases()
    if len(names) > 3:
        names = [*names[:3], f"{len(names) - 3} more"]
    return [f"also registered as {', '.join(names)}"] if names else []


def _count(module: nn.Module) -> int:
    own = list(module.parameters(recurse=False))
    chains = getattr(module, "parametrizations", None)
    if isinstance(chains, nn.ModuleDict):
        own += chains.parameters()
    return sum(parameter.numel() for parameter in own if not is_lazy(parameter))


def _packed_count(module: nn.Module, source: Source) -> int:
    bias: Any = getattr(module, "bias", None)
    bias = bias() if callable(bias) else bias
    return prod(source.shape) + (bias.numel() if isinstance(bias, Tensor) else 0)
