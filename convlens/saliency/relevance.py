"""A model as LRP wants it: every operation a module with a rule.

Captum's LRP passes relevance through modules. What comes between them as a function it takes the
gradient of, and a sum it passes on in full to both sides: relevance would be counted twice at every
shortcut. Here sums, means, pooling, padding and slices become modules with the epsilon rule too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from convlens.saliency.pooling import EXACT
from convlens.saliency.probe import Place
from convlens.saliency.rewrite import TAP, Call, Untraceable, modular_copy

__all__ = ["attach_rules", "relevance_copy"]

# Modules that only move or add up values, or act on each alone as a function through zero does.
_WEIGHTED = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
)
_SHARING = (
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *EXACT.values(),
    *(nn.LeakyReLU, nn.Upsample, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d),
)
# They may hand on the very tensor that they were given, on which hooks would come twice.
_HANDING_ON = (nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_PASSING = (nn.ReLU, nn.Dropout, nn.Tanh)
_SUMS = (operator.add, torch.add, "add")
_OPERATIONS: Any = (
    *(operator.getitem, operator.sub, operator.mul, operator.truediv, operator.neg),
    *(torch.flatten, torch.mean, torch.cat, torch.reshape, torch.squeeze, torch.unsqueeze),
    *(torch.permute, torch.transpose, torch.sum, torch.sub, torch.mul, torch.div),
    *(F.pad, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.interpolate, F.dropout),
    *(F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d),
    *(F.dropout2d, F.linear, F.conv2d, F.max_pool2d),
    *("flatten", "view", "reshape", "mean", "sum", "permute", "transpose", "squeeze"),
    *("unsqueeze", "contiguous", "add", "sub", "mul", "div", "expand", "clone", "movedim"),
)
_LINEAR: frozenset[Any] = frozenset(_OPERATIONS)


def relevance_copy(
    model: nn.Module, x: Tensor, place: Place | None = None
) -> tuple[nn.Module, Place | None]:
    """Write a model down with a module for every operation between input and output.

    Parameters
    ----------
    model : torch.nn.Module
        Not changed; its weights are copied, as rules change them while they run.
    x : Tensor
        One input, to see which values are tensors that depend on it.
    place : Place, optional
        A layer to tap.

    Raises
    ------
    Untraceable
        torch.fx cannot write it down, or it holds an operation without a rule.
    """
    copied, tap = modular_copy(model, place, own_weights=True)
    kinds = _Kinds(copied)
    with torch.no_grad():
        kinds.run(x)
    used: set[str] = set()
    for count, node in enumerate(list(copied.graph.nodes)):
        if node not in kinds.from_input:
            continue
        if node.op == "call_module":
            module = copied.get_submodule(node.target)
            if node.target != TAP:
                _check(module, str(node.target))
            if node.target in used:
                raise Untraceable(f"LRP cannot tell the calls of {node.target} apart")
            used.add(node.target)
            if type(module) in _HANDING_ON and node.target != TAP:
                node.target = f"convlens_step_{count}"
                copied.add_submodule(node.target, Call(module.forward))
        elif node.op in ("call_function", "call_method"):
            tensors = [n for n in node.all_input_nodes if n in kinds.from_input]
            if node.target in _SUMS and len(tensors) > 1:
                module: nn.Module = _sum()
            elif node.target in _LINEAR and (len(tensors) == 1 or node.target is torch.cat):
                module = Call(_runner(node, tensors))
            else:
                raise Untraceable(f"LRP has no rule for {_name(node)} of {len(tensors)} tensors")
            name = f"convlens_step_{count}"
            copied.add_submodule(name, module)
            others = [n for n in node.all_input_nodes if n not in kinds.from_input]
            named = {f"n{i}": other for i, other in enumerate(others)}
            with copied.graph.inserting_before(node):
                made = copied.graph.call_module(name, tuple(tensors), named)
            node.replace_all_uses_with(made)
            copied.graph.erase_node(node)
            kinds.from_input.add(made)
    copied.graph.lint()
    copied.recompile()
    return copied, tap


def attach_rules(model: nn.Module, values: Mapping[str, Any]) -> None:
    """Give every module its rule; Captum takes them off again after each run."""
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule

    makers: dict[str, Callable[[], Any]] = {
        "epsilon": lambda: EpsilonRule(values["epsilon"]),
        "gamma": lambda: GammaRule(values["gamma"]),
        "alpha1_beta0": Alpha1_Beta0_Rule,
    }
    for module in model.modules():
        if next(module.children(), None) is not None or type(module) in _PASSING:
            continue
        kind = cast("Any", module)
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
            kind.rule = makers[values["rule"]]()
        else:
            kind.rule = EpsilonRule(values["epsilon"])


class _Kinds(fx.Interpreter):
    """Runs a graph and notes which nodes give a tensor that depends on the input."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.from_input: set[fx.Node] = set()

    def run_node(self, n: fx.Node) -> Any:
        """Run one node."""
        value = super().run_node(n)
        depends = n.op == "placeholder" or any(i in self.from_input for i in n.all_input_nodes)
        if isinstance(value, Tensor) and value.is_floating_point() and depends:
            self.from_input.add(n)
        return value


def _check(module: nn.Module, name: str) -> None:
    if type(module) not in {*_WEIGHTED, *_SHARING, *_HANDING_ON, *_PASSING}:
        raise Untraceable(f"LRP has no rule for {type(module).__name__} ({name})")


def _sum() -> nn.Module:
    from captum.attr._utils.custom_modules import Addition_Module

    return Addition_Module()


def _runner(node: fx.Node, tensors: list[fx.Node]) -> Callable[..., Tensor]:
    """Return a function of the node's tensors, and by name of its other nodes, that runs it."""
    others = [n for n in node.all_input_nodes if n not in tensors]
    args, kwargs, target, op = node.args, node.kwargs, node.target, node.op

    def run(*given: Tensor, **named: Any) -> Tensor:
        values: dict[fx.Node, Any] = dict(zip(tensors, given, strict=True))
        values |= {other: named[f"n{i}"] for i, other in enumerate(others)}
        taken = fx.map_arg(args, lambda n: values[n])
        by_name = fx.map_arg(kwargs, lambda n: values[n])
        if op == "call_method":
            first, *rest = cast("Any", taken)
            return getattr(first, str(target))(*rest, **by_name)
        return cast("Any", target)(*taken, **by_name)

    return run


def _name(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "?")
