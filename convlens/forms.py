"""What a module's weight is as filters: (out, in/groups, *kernel), whatever way it is stored."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convlens.tensors import is_lazy
from convlens.tree import kind_of
from convlens.weights import is_torch_quantised

__all__ = ["Form", "form_of", "holds_packed", "own_tables", "why_no_filters"]

_CONVS = ("Conv1d", "Conv2d", "Conv3d")
_TRANSPOSED = ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
_SCRIPT_GROUPS_AT = 8  # among the inputs of aten::_convolution
_PACKED = ("_packed_params", "_all_weight_values", "_packed_weight_ih")


@dataclass(frozen=True)
class Form:
    """How a stored weight is read as filters.

    Attributes
    ----------
    groups : int
    transposed : bool
        Stored as (in, out/groups, *kernel).
    dims : int
        Of the kernel; 0 for a linear layer.
    bilinear : bool
        Stored as (out, in1, in2) and read as linear in the products of both inputs.
    """

    groups: int = 1
    transposed: bool = False
    dims: int = 0
    bilinear: bool = False

    def misfit(self, stored: tuple[int, ...]) -> str | None:
        """Why a weight of this shape cannot be read so; None where it can."""
        wanted = 3 if self.bilinear else self.dims + 2
        if len(stored) != wanted or (self.transposed and stored[0] % self.groups):
            return f"its weight has the shape {stored}, which is none of filters"
        return None

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape as (out, in/groups, *kernel)."""
        first, second, *kernel = stored
        if self.bilinear:
            return first, second * kernel[0]
        if self.transposed:
            return second * self.groups, first // self.groups, *kernel
        return stored

    def arrange(self, weight: Tensor) -> Tensor:
        """Return `weight` as (out, in/groups, *kernel): a view, but for transposed groups."""
        if self.bilinear:
            return weight.flatten(1)
        if not self.transposed:
            return weight
        # (in, out/groups, ...) -> (groups, in/groups, out/groups, ...) -> (out, in/groups, ...)
        apart = weight.reshape(self.groups, -1, *weight.shape[1:])
        return apart.transpose(1, 2).flatten(0, 1)


def form_of(module: nn.Module) -> Form | None:
    """Return how the weight of `module` is read; None if it holds no filters."""
    if isinstance(module, torch.jit.ScriptModule):
        return _scripted(module)
    if isinstance(module, nn.Linear):
        return Form()
    if isinstance(module, nn.Bilinear):
        return Form(bilinear=True)
    quantised = is_torch_quantised(module)
    if quantised and hasattr(module, "in_features"):
        return Form()
    conv = nn.modules.conv.__dict__["_ConvNd"]  # the base that users' own convolutions share
    if isinstance(module, conv) or (quantised and hasattr(module, "kernel_size")):
        some: Any = module
        return Form(int(some.groups), bool(some.transposed), len(some.kernel_size))
    return None


def own_tables(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of the module itself that have two or more dimensions, or none yet."""
    found = dict(module.named_parameters(recurse=False))
    chains = getattr(module, "parametrizations", None)
    if isinstance(chains, nn.ModuleDict):
        for name, chain in chains.items():
            for original, parameter in chain.named_parameters(recurse=False):
                found[f"{name}.{original}"] = parameter
    return {name: p for name, p in found.items() if is_lazy(p) or p.dim() >= 2}


def holds_packed(module: nn.Module) -> bool:
    """Whether this is a quantised module of torch.ao with weights inside."""
    return is_torch_quantised(module) and any(hasattr(module, name) for name in _PACKED)


def why_no_filters(module: nn.Module, tables: Iterable[tuple[str, Tensor]]) -> str:
    """Say why a module that holds tables of numbers is not scored."""
    kind = kind_of(module)
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) or kind.startswith("Embedding"):
        return f"{kind}: a table of vectors, no filters"
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)) or kind in ("LSTM", "GRU", "RNN"):
        return f"{kind}: recurrent weights, no filters"
    if isinstance(module, nn.MultiheadAttention):
        return f"{kind}: projections to queries, keys and values, no filters"
    if isinstance(module, nn.LayerNorm) or "Norm" in kind:
        return f"{kind}: scales element by element, no filters"
    if form_of(module) is None and kind in (*_CONVS, *_TRANSPOSED, "Linear", "Bilinear"):
        return f"{kind} traced by torch.jit without its groups: pass the model before tracing"
    names = ", ".join(
        name if is_lazy(table) else f"{name} ({'×'.join(map(str, table.shape))})"
        for name, table in tables
    )
    return f"{kind}: uses {names or 'packed weights'} in a way that convlens does not know"


def _scripted(module: nn.Module) -> Form | None:
    kind = kind_of(module)
    if kind in ("Linear", "NonDynamicallyQuantizableLinear"):
        return Form()
    if kind == "Bilinear":
        return Form(bilinear=True)
    groups = _script_groups(module) if kind in (*_CONVS, *_TRANSPOSED) else None
    return None if groups is None else Form(groups, kind in _TRANSPOSED, int(kind[-2]))


def _script_groups(module: Any) -> int | None:
    """Return the groups of a TorchScript convolution, which tracing leaves in the graph only."""
    groups = getattr(module, "groups", None)
    if isinstance(groups, int):
        return groups
    with suppress(Exception):  # TorchScript raises what it likes where there is no graph
        for node in module.graph.nodes():
            if node.kind() == "aten::_convolution":
                groups = list(node.inputs())[_SCRIPT_GROUPS_AT].toIValue()
    return groups if isinstance(groups, int) else None
