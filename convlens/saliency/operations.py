"""Which operations a forward pass is made of, read off its autograd graph.

Methods that hook into modules never see what a model calls as a function. The graph does, whatever
the model is written like: an operation that no hooked module accounts for is found here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convlens.activations import hooked
from convlens.saliency.pooling import EXACT
from convlens.saliency.probe import Probe, named_modules

__all__ = ["RULES", "Seen", "look"]

_POOLS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.MaxPool1d: ("MaxPool2DWithIndices", "MaxPool1D"),
    nn.MaxPool2d: ("MaxPool2DWithIndices", "MkldnnMaxPool2D", "MaxPool2D"),
    nn.MaxPool3d: ("MaxPool3DWithIndices",),
}
RULES: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.ReLU: ("Relu",),
    nn.ELU: ("Elu",),
    nn.LeakyReLU: ("LeakyRelu",),
    nn.Sigmoid: ("Sigmoid",),
    nn.Tanh: ("Tanh",),
    nn.Softplus: ("Softplus",),
    nn.Softmax: ("Softmax",),
    **_POOLS,
    **{EXACT[kind]: stems for kind, stems in _POOLS.items()},
}
"""Non-linear modules that DeepLift has a rule for, and what they are called in the graph."""

# What passes differences on as they are: DeepLift needs no rule for it.
_LINEAR = re.compile(
    r"""AccumulateGrad|Accumulate|Add|Sub|Rsub|Neg|.*Convolution|Addmm|Addmv|Linear|MkldnnLinear
    |T|Transpose|Permute|Movedim|View|UnsafeView|ReshapeAlias|Reshape|AsStrided|Clone|Alias|Copy
    |Mean|Sum|.*AvgPool.*|ConstantPadNd|ReflectionPad.*|ReplicationPad.*|Slice|Select|Cat|Stack
    |Unsqueeze|Squeeze|Expand|Repeat|Flip|Roll|.*BatchNorm|Upsample.*|ToCopy|Index|IndexSelect
    |Gather|Split|SplitWithSizes|SafeSplit|Unbind|NativeDropout|PixelShuffle|PixelUnshuffle
    |CopySlices|Detach|Baddbmm|Diagonal|Unfold|Im2Col|Col2Im|Fold|Contiguous|Identity""",
    re.VERBOSE,
)
# Linear in one operand, with the other constant: (which operands must not both, or must not be).
_PRODUCTS = {"Mul", "Mm", "Mv", "Bmm", "Dot", "Prod"}
_QUOTIENTS = {"Div"}
_WORDS = {
    "Silu": "SiLU",
    "Gelu": "GELU",
    "NativeLayerNorm": "LayerNorm",
    "NativeGroupNorm": "GroupNorm",
    "Relu": "ReLU",
    "Elu": "ELU",
    "LeakyRelu": "leaky ReLU",
    "MaxPool2DWithIndices": "max pooling",
    "MkldnnMaxPool2D": "max pooling",
    "Hardtanh": "ReLU6",
}


@dataclass(frozen=True)
class Seen:
    """What one forward pass on one input showed.

    Attributes
    ----------
    differentiable
        Whether a gradient reaches the input.
    nodes
        How often each operation between input and output occurs, by its name in the graph.
    products
        How often two activations are multiplied or divided.
    called
        How often each kind of module with a rule was called, by its exact class.
    reused
        Names of those that were called more than once.
    """

    differentiable: bool
    nodes: Counter[str]
    products: int
    called: Counter[type[nn.Module]]
    reused: tuple[str, ...]

    def functional(self, kinds: Iterable[type[nn.Module]]) -> dict[str, int]:
        """Return the operations of these kinds that no module accounts for, in words."""
        found: dict[str, int] = {}
        left = Counter(self.nodes)
        for kind in kinds:
            calls = self.called[kind]
            for stem in RULES[kind]:
                used = min(calls, left[stem])
                left[stem] -= used
                calls -= used
        for kind in kinds:
            for stem in RULES[kind]:
                if left[stem]:
                    found[_WORDS.get(stem, stem)] = left[stem]
        return found

    def without_rule(self) -> list[str]:
        """Return the non-linear operations that DeepLift has no rule for, in words."""
        known = {stem for stems in RULES.values() for stem in stems}
        odd = [
            _WORDS.get(name, name)
            for name in self.nodes
            if name not in known
            and name not in _PRODUCTS | _QUOTIENTS
            and not _LINEAR.fullmatch(name)
        ]
        return odd + (["a product of two activations"] if self.products else [])


def look(probe: Probe, x: Tensor) -> Seen:
    """Run one input, and say what happened on its way to the output."""
    names: dict[int, str] = {id(node): name for name, node in named_modules(probe.model)}
    watched = [module for module in probe.model.modules() if type(module) in RULES]
    calls: Counter[int] = Counter()
    called: Counter[type[nn.Module]] = Counter()

    def note(module: nn.Module, args: Any, kwargs: Any) -> None:
        calls[id(module)] += 1
        called[type(module)] += 1

    with torch.enable_grad(), hooked(watched, before=note):
        leaf = x.detach().clone().requires_grad_()
        output = probe(leaf)
    nodes, products, reaches = _walk(output, leaf)
    reused = tuple(names[one] for one, count in calls.items() if count > 1)
    return Seen(reaches, nodes, products, called, reused)


def _walk(output: Tensor, leaf: Tensor) -> tuple[Counter[str], int, bool]:
    """Count the operations that depend on `leaf`, from the output's graph."""
    nodes: Counter[str] = Counter()
    if output.grad_fn is None:
        return nodes, 0, False
    order: list[Any] = []
    todo: list[tuple[Any, bool]] = [(output.grad_fn, False)]
    seen: set[Any] = set()
    while todo:  # children before parents, without recursion
        node, done = todo.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            todo.append((node, True))
            todo += [(child, False) for child, _ in node.next_functions if child is not None]
    depends: set[Any] = set()
    products = 0
    for node in order:
        if getattr(node, "variable", None) is leaf:
            depends.add(node)
            continue
        operands = [child in depends for child, _ in node.next_functions]
        if not any(operands):
            continue
        depends.add(node)
        name = re.sub(r"Backward\d*$", "", node.name().rsplit("::", 1)[-1])
        nodes[name] += 1
        both = name in _PRODUCTS and sum(operands) > 1
        both = both or (name in _QUOTIENTS and any(operands[1:]))
        products += both
    return nodes, products, output.grad_fn in depends
