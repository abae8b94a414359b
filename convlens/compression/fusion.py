"""Where in a model a layer's output stands, with the batch norm and ReLU that were fused to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from convlens.activations import hooked, untouched
from convlens.compression.matching import Pair
from convlens.compression.running import run_batch
from convlens.graphs import find_in_graph
from convlens.inputs import as_call
from convlens.layers import Layer
from convlens.similarity.batches import Batch
from convlens.similarity.capture import Forward
from convlens.similarity.reduce import first_tensor

__all__ = ["Norms", "Site", "Sites", "find_norms", "sites_of"]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


@dataclass(frozen=True, eq=False)
class Site:
    """What is looked at as the output of one layer.

    Attributes
    ----------
    module : torch.nn.Module or None
        Whose output; None of a node of a graph.
    call : int
        Which of its calls.
    node : torch.fx.Node or None
    relu : bool
        Negative values are cut off first, as the other model's fused layer does.
    """

    module: nn.Module | None
    call: int = 0
    node: fx.Node | None = None
    relu: bool = False


@dataclass(frozen=True, eq=False)
class Sites:
    """The outputs of a pair of layers that are to be compared, and how their weights are.

    Attributes
    ----------
    model, reference : Site or None
    norm : BatchNorm or None
        The reference's, which the model has folded into the layer's weight.
    """

    model: Site | None
    reference: Site | None
    norm: Norm | None = None


@dataclass(frozen=True)
class Norms:
    """The batch norms that take a layer's output as it is: by (id of module, call)."""

    after: dict[tuple[int, int], tuple[Norm, int]]


def find_norms(
    model: nn.Module, layers: Iterable[Layer], batch: Batch, forward: Forward | None
) -> Norms:
    """Run a model once to see which batch norm follows which layer, by the tensor between them."""
    modules = {id(layer.module): layer.module for layer in layers}
    norms = {id(m): m for m in model.modules() if isinstance(m, _NORMS)}
    calls: dict[int, int] = {}
    emitted: list[tuple[Tensor, tuple[int, int]]] = []
    found: dict[tuple[int, int], tuple[Norm, int]] = {}

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if id(module) not in norms:
            return
        given = args[0] if args else next(iter(kwargs.values()), None)
        for tensor, key in emitted:
            if tensor is given:
                found[key] = (norms[id(module)], calls.get(id(module), 0))

    def after(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        call = calls.get(id(module), 0)
        calls[id(module)] = call + 1
        if id(module) in modules and isinstance(output, Tensor):
            emitted.append((output, (id(module), call)))

    watched = {**modules, **norms}
    with untouched(model), hooked(watched.values(), before=before, after=after):
        run_batch(model, batch, forward)
    return Norms(found)


def sites_of(pairs: Sequence[Pair], model: Norms, reference: Norms) -> list[Sites]:
    """Find for each pair the two outputs that mean the same."""
    found: list[Sites] = []
    for pair in pairs:
        mine = _site(pair.layer)
        theirs = _site(pair.reference)
        norm: Norm | None = None
        after = reference.after.get((id(pair.reference.module), pair.reference.call))
        if after is not None and theirs is not None and not _has_norm(pair.layer, mine, model):
            norm = after[0]
            theirs = Site(*after)
        if theirs is not None and "ReLU" in pair.layer.kind:
            theirs = replace(theirs, relu=True)
        if mine is not None and "ReLU" in pair.reference.kind and "ReLU" not in pair.layer.kind:
            mine = replace(mine, relu=True)
        found.append(Sites(mine, theirs, norm))
    return found


def _has_norm(layer: Layer, site: Site | None, norms: Norms) -> bool:
    """Whether a batch norm follows the layer in its own model too."""
    if site is not None and site.node is not None:
        return any("batch_norm" in str(user.target) for user in site.node.users)
    return (id(layer.module), layer.call) in norms.after


def _site(layer: Layer) -> Site | None:
    if not isinstance(layer.module, fx.GraphModule):
        return Site(layer.module, layer.call)
    # The name without the path of the graph in the model: graphs at the top are run node by node.
    calls: dict[str, int] = {}
    for weight in find_in_graph(layer.module):
        call = calls.get(weight.name, 0)
        calls[weight.name] = call + 1
        if weight.name == layer.name and call == layer.call:
            return Site(None, 0, weight.node)
    return None


class _Tapped(fx.Interpreter):
    """Runs a graph node by node and shows the values of some."""

    def __init__(self, module: fx.GraphModule, show: Callable[[fx.Node, Any], None]) -> None:
        super().__init__(module)
        self._show = show

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self._show(n, value)
        return value


def tap(
    model: nn.Module,
    sites: Sequence[tuple[int, Site]],
    batch: Batch,
    forward: Forward | None,
    take: Callable[[int, Tensor], None],
) -> Any:
    """Run a batch and hand over what stands at the sites, as it is emitted; return the output.

    To be called inside ``untouched(model)``.
    """
    by_node = {site.node: place for place, site in sites if site.node is not None}
    by_call: dict[tuple[int, int], list[tuple[int, Site]]] = {}
    for place, site in sites:
        if site.module is not None:
            by_call.setdefault((id(site.module), site.call), []).append((place, site))
    modules = {id(site.module): site.module for _, site in sites if site.module is not None}
    calls: dict[int, int] = {}

    def give(place: int, output: Any, *, relu: bool = False) -> None:
        tensor = first_tensor(output)
        if tensor is None:
            return
        tensor = tensor.detach()
        tensor = tensor.dequantize() if tensor.is_quantized else tensor
        take(place, tensor.clamp(min=0) if relu else tensor)

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call = calls.get(id(module), 0)
        calls[id(module)] = call + 1
        for place, site in by_call.get((id(module), call), ()):
            give(place, output, relu=site.relu)

    if not by_node or not isinstance(model, fx.GraphModule):
        with hooked(modules.values(), after=after):
            return run_batch(model, batch, forward)

    def show(node: fx.Node, value: Any) -> None:
        if node in by_node:
            give(by_node[node], value)

    def stepwise(graph: nn.Module, given: Any) -> Any:
        args, _ = as_call(graph, given, drawn=batch.drawn)
        return _Tapped(cast("fx.GraphModule", graph), show).run(*args)

    with hooked(modules.values(), after=after):
        return run_batch(model, batch, stepwise)


def norm_scale(norm: Norm) -> Tensor | None:
    """Return what a folded batch norm multiplies each output channel by; None if it has none."""
    if norm.running_var is None:
        return None
    scale = torch.rsqrt(norm.running_var.detach().double() + norm.eps)
    return scale if not norm.affine else scale * norm.weight.detach().double()
