"""A copy of a model whose non-linear functions are modules of their own, each called once.

Guided backpropagation, deconvolution, DeepLift and LRP hook into modules: a functional ReLU they
never see, and one module that is called twice they cannot tell apart. ``torch.fx`` writes the
forward pass down, and what is a function there becomes a module that computes the same.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from convlens.errors import ModelError
from convlens.replica import duplicate, replica
from convlens.saliency.operations import RULES
from convlens.saliency.pooling import EXACT, exact
from convlens.saliency.probe import Place, Tap, named_modules
from convlens.tracing import Tracer

__all__ = ["TAP", "Call", "Untraceable", "modular_copy"]

TAP = "convlens_tap"

# Functions and methods that are modules too: the module, and the function's parameters in order.
_MODULES: Mapping[Any, tuple[type[nn.Module], tuple[str, ...]]] = {
    F.relu: (nn.ReLU, ("inplace",)),
    torch.relu: (nn.ReLU, ()),
    torch.relu_: (nn.ReLU, ()),
    "relu": (nn.ReLU, ()),
    "relu_": (nn.ReLU, ()),
    F.leaky_relu: (nn.LeakyReLU, ("negative_slope", "inplace")),
    F.elu: (nn.ELU, ("alpha", "inplace")),
    F.softplus: (nn.Softplus, ("beta", "threshold")),
    F.sigmoid: (nn.Sigmoid, ()),
    torch.sigmoid: (nn.Sigmoid, ()),
    "sigmoid": (nn.Sigmoid, ()),
    F.tanh: (nn.Tanh, ()),
    torch.tanh: (nn.Tanh, ()),
    "tanh": (nn.Tanh, ()),
    F.softmax: (nn.Softmax, ("dim", "_stacklevel", "dtype")),
    torch.softmax: (nn.Softmax, ("dim", "dtype")),
    "softmax": (nn.Softmax, ("dim", "dtype")),
    **{
        function: (
            kind,
            ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
        )
        for function, kind in (
            (F.max_pool1d, nn.MaxPool1d),
            (F.max_pool2d, nn.MaxPool2d),
            (F.max_pool3d, nn.MaxPool3d),
        )
    },
}
_IGNORED = ("inplace", "_stacklevel")
# An operation that writes into its operand, and the same without.
_NOT_IN_PLACE: Mapping[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    "add_": "add",
    "sub_": "sub",
    "mul_": "mul",
    "div_": "div",
}


class Untraceable(Exception):  # noqa: N818 - a finding, caught inside the package
    """The forward pass cannot be written down; says why."""


class Call(nn.Module):
    """A function or method as a module, for a method that hooks into modules.

    Parameters
    ----------
    run : callable
        Takes the tensors.
    """

    def __init__(self, run: Callable[..., Tensor]) -> None:
        super().__init__()
        self._run = run

    def forward(self, *tensors: Tensor, **others: Any) -> Tensor:
        """Call it; what comes out is a tensor of its own, even where nothing changed."""
        found = self._run(*tensors, **others)
        return found.clone() if any(found is one for one in tensors) else found


class _Tracer(Tracer):
    """Writes a forward pass down, with a tap behind the call of one module."""

    def __init__(self, tapped: nn.Module | None, call: int | None) -> None:
        super().__init__()
        self._tapped = tapped
        self._call = call
        self._count = 0

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Leave torch's own modules whole, and the tap."""
        return isinstance(m, Tap) or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Write down a call, and the tap behind the one that is asked for."""
        output = super().call_module(m, forward, args, kwargs)
        if m is self._tapped:
            here = self._call is None or self._count == self._call
            self._count += 1
            if here:
                return self.create_proxy("call_module", TAP, (output,), {})
        return output


def modular_copy(
    model: nn.Module, place: Place | None = None, *, own_weights: bool = False
) -> tuple[fx.GraphModule, Place | None]:
    """Write a model down with modules for its non-linear functions, each called once.

    Parameters
    ----------
    model : torch.nn.Module
        Not changed; its parameters are shared.
    place : Place, optional
        A layer to tap.
    own_weights : bool, default False
        Copy the parameters as well.

    Returns
    -------
    (torch.fx.GraphModule, Place or None)
        The copy in eval mode, and the tap in it.

    Raises
    ------
    Untraceable
        torch.fx cannot write it down, or it cannot be copied.
    """
    name = place.key.rpartition(":")[0] if place is not None and place.call is not None else ""
    name = name or (place.key if place is not None else "")
    try:
        copied = duplicate(model) if own_weights else replica(model)
    except ModelError as error:
        raise Untraceable("it cannot be copied") from error
    if copied is model:
        raise Untraceable("it cannot be copied")
    copied.eval()
    for module in copied.modules():
        if getattr(module, "inplace", False) is True:
            cast("Any", module).inplace = False
    tapped = None
    if place is not None:
        tapped = copied if name == "(model)" else copied.get_submodule(name)
        copied.add_module(TAP, Tap())
    tracer = _Tracer(tapped, None if place is None else place.call)
    try:
        graph = tracer.trace(copied)
    except Exception as error:
        said = str(error).strip().split("\n")[0]
        raise Untraceable(f"torch.fx cannot follow its forward pass ({said})") from error
    _rewrite(graph, copied)
    for node in graph.nodes:
        if node.op == "call_module" and type(copied.get_submodule(node.target)) in EXACT:
            copied.set_submodule(node.target, exact(copied.get_submodule(node.target)))
    result = fx.GraphModule(copied, graph)
    if place is None:
        return result.eval(), None
    tap = dict(named_modules(result)).get(TAP)
    if tap is None:
        raise Untraceable(f"{place.key} is not among the calls that torch.fx sees")
    return result.eval(), Place(place.key, tap)


def _rewrite(graph: fx.Graph, root: nn.Module) -> None:
    used: set[str] = set()
    for count, node in enumerate(list(graph.nodes)):
        if node.op == "call_module":
            module = root.get_submodule(node.target)
            if node.target in used and (type(module) in RULES or _is_cheap(module)):
                root.add_module(f"convlens_{count}", replica(module))
                node.target = f"convlens_{count}"
            used.add(node.target)
        elif node.op in ("call_function", "call_method"):
            _free(node)
            module = _as_module(node)
            if module is not None:
                root.add_module(f"convlens_{count}", module)
                with graph.inserting_before(node):
                    made = graph.call_module(f"convlens_{count}", (_operand(node),))
                node.replace_all_uses_with(made)
                graph.erase_node(node)


def _free(node: fx.Node) -> None:
    """Make an operation write nowhere."""
    if node.target in _NOT_IN_PLACE:
        node.target = _NOT_IN_PLACE[node.target]
    if node.kwargs.get("inplace") is True:
        node.kwargs = {**node.kwargs, "inplace": False}


def _operand(node: fx.Node) -> Any:
    return node.args[0] if node.args else node.kwargs["input"]


def _as_module(node: fx.Node) -> nn.Module | None:
    """Return the module that does the same as this call of a function; None where there is none."""
    found = _MODULES.get(node.target)
    if found is None:
        return None
    kind, names = found
    given = dict(zip(names, node.args[1:], strict=False))
    given |= {name: value for name, value in node.kwargs.items() if name != "input"}
    given = {name: value for name, value in given.items() if name not in _IGNORED}
    if given.pop("return_indices", False) or given.pop("dtype", None) is not None:
        return None
    if any(isinstance(value, fx.Node) for value in given.values()):
        return None
    return cast("Any", kind)(**given)


def _is_cheap(module: nn.Module) -> bool:
    return next(module.parameters(), None) is None
