"""Convolutions that are calls in a torch.fx graph: torch.export, PT2E int8, functional models."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from convlens.forms import Form
from convlens.tensors import scheme
from convlens.weights import Source, describe_computed

__all__ = ["GraphWeight", "find_in_graph"]

# Functional name -> (class name of the module that does the same, dimensions of the kernel).
_CALLS = {
    "linear": ("Linear", 0),
    "conv1d": ("Conv1d", 1),
    "conv2d": ("Conv2d", 2),
    "conv3d": ("Conv3d", 3),
    "conv_transpose1d": ("ConvTranspose1d", 1),
    "conv_transpose2d": ("ConvTranspose2d", 2),
    "conv_transpose3d": ("ConvTranspose3d", 3),
}
_GROUPS_AT = 6  # conv(x, w, b, stride, padding, dilation, groups), transposed alike


@dataclass(frozen=True)
class GraphWeight:
    """The weight of one convolution or linear call of a graph."""

    name: str
    kind: str
    form: Form
    source: Source
    parameters: int
    node: fx.Node


def find_in_graph(module: nn.Module) -> list[GraphWeight]:
    """Return the functional convolutions and linear layers of a GraphModule, in its order.

    Only those whose weight depends on nothing but what the module stores; it is evaluated with
    whatever the graph does to it, such as dequantising.
    """
    if not isinstance(module, fx.GraphModule):
        return []
    return [found for node in module.graph.nodes if (found := _read(module, node)) is not None]


def _read(module: fx.GraphModule, node: fx.Node) -> GraphWeight | None:
    call = _called(node)
    weight = _argument(node, 1, "weight")
    if call not in _CALLS or not isinstance(weight, fx.Node):
        return None
    leaves = _leaves(weight)
    if not leaves:  # it depends on the input, or on nothing
        return None
    groups = _argument(node, _GROUPS_AT, "groups") if call != "linear" else 1
    kind, dims = _CALLS[call]
    form = Form(groups if isinstance(groups, int) else 1, "transpose" in call, dims)
    stored = tuple(t for leaf in leaves if isinstance(t := _attribute(module, leaf), Tensor))
    source = describe_computed(lambda: _evaluate(module, weight), stored)
    quantised = _quantisation(module, weight)
    if quantised is not None:
        source = replace(source, notes=(quantised, *source.notes))
    source = replace(source, notes=("a call in the graph", *source.notes))
    bias = _argument(node, 2, "bias")
    biases = _attribute(module, bias) if isinstance(bias, fx.Node) else None
    count = sum(t.numel() for t in (*stored[:1], biases) if isinstance(t, Tensor))
    return GraphWeight(_name(node, leaves[0]), kind, form, source, count, node)


def _called(node: fx.Node) -> str:
    if node.op != "call_function":
        return ""
    schema = getattr(node.target, "_schema", None)
    if schema is not None:
        return str(schema.name).partition("::")[2]
    return str(getattr(node.target, "__name__", ""))


def _argument(node: fx.Node, index: int, name: str) -> Any:
    return node.args[index] if len(node.args) > index else node.kwargs.get(name)


def _leaves(node: fx.Node) -> list[fx.Node]:
    """Return the attributes that a value is computed from; nothing if from the input too."""
    found: dict[fx.Node, None] = {}
    todo, seen = [node], {node}
    while todo:
        here = todo.pop()
        if here.op == "placeholder":
            return []
        if here.op == "get_attr":
            found[here] = None
        for source in reversed(here.all_input_nodes):
            if source not in seen:
                seen.add(source)
                todo.append(source)
    return list(found)


def _attribute(module: fx.GraphModule, node: fx.Node) -> object:
    if node.op != "get_attr":
        return None
    value: object = module
    for step in str(node.target).split("."):
        value = getattr(value, step, None)
    return value


def _evaluate(module: fx.GraphModule, node: fx.Node) -> Tensor:
    """Compute one value of the graph from the attributes that it depends on."""
    done: dict[fx.Node, Any] = {}

    def value(node: fx.Node) -> Any:
        if node not in done:
            done[node] = step(node)
        return done[node]

    def step(node: fx.Node) -> Any:
        if node.op == "get_attr":
            return _attribute(module, node)
        args, kwargs = map_arg(node.args, value), map_arg(node.kwargs, value)
        if node.op == "call_function":
            return cast("Callable[..., Any]", node.target)(*args, **kwargs)
        if node.op == "call_method":
            some, *rest = cast("tuple[Any, ...]", args)
            return getattr(some, str(node.target))(*rest, **kwargs)
        # An observer or fake quantiser: its copy may learn from what it sees.
        return copy.deepcopy(module.get_submodule(str(node.target)))(*args, **kwargs)

    with torch.no_grad():
        return value(node)


def _quantisation(module: fx.GraphModule, node: fx.Node) -> str | None:
    """Say the scheme of a weight that the graph dequantises."""
    call = _called(node)
    if not call.startswith("dequantize_per_"):
        return None
    parts = [_attribute(module, a) if isinstance(a, fx.Node) else a for a in node.args]
    scales, zeros = (torch.as_tensor(cast("Any", part)) for part in parts[1:3])
    kept = next((str(part) for part in parts if isinstance(part, torch.dtype)), "int8")
    per = call.removeprefix("dequantize_").replace("_", " ")
    return scheme(kept.removeprefix("torch."), per, scales, zeros, 128 if "uint8" in kept else 0)


def _name(node: fx.Node, leaf: fx.Node) -> str:
    """Return the module that the call came from, as torch.export recorded it, or its weight's."""
    stack = cast("Mapping[str, Any]", node.meta.get("nn_module_stack") or {})
    if stack:
        path, kind = list(stack.values())[-1]
        if "Conv" in str(kind) or "Linear" in str(kind):
            return str(path)
    owner, _, last = str(leaf.target).rpartition(".")
    return owner if owner and last == "weight" else str(leaf.target)
