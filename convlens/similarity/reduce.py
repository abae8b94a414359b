"""From what a layer emits to a matrix of samples by features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convlens.errors import ArgumentError, nearest
from convlens.similarity.measures import Reduce

__all__ = ["GRID", "Reduction", "first_tensor"]

GRID = 4
"""Positions per side that `reduce="positions"` pools every layer to."""

_REDUCTIONS = ("flatten", "mean", "positions")
_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention, nn.RNNBase)


@dataclass(frozen=True)
class Reduction:
    """How activations (n, ...) become a matrix (rows, features).

    Attributes
    ----------
    name : str
        "flatten": every unit at every position is a feature. "mean": features are channels,
        averaged over positions. "positions": features are channels, and each position of each
        sample is a row.
    grid : int or None
        Positions per side for "positions", to which maps of any size are averaged, so that layers
        of different resolution can be compared; None takes every position as it is.
    """

    name: Reduce
    grid: int | None = GRID

    def __post_init__(self) -> None:
        if self.name not in _REDUCTIONS:
            raise ArgumentError(
                f"reduce is {self.name!r}; it must be 'flatten', 'mean' or 'positions'."
                f"{nearest(self.name, _REDUCTIONS)}"
            )
        if self.grid is not None and (isinstance(self.grid, bool) or not self.grid >= 1):
            raise ArgumentError(
                f"grid is {self.grid!r}; it must be a whole number above 0 or None."
            )

    def __str__(self) -> str:
        if self.name != "positions":
            return "flattened" if self.name == "flatten" else "mean over positions"
        return f"positions on a {self.grid} x {self.grid} grid" if self.grid else "all positions"

    def __call__(self, x: Tensor, module: nn.Module) -> Tensor:
        """Return the matrix of one layer's output, as a view where that is possible."""
        if self.name == "flatten" or x.dim() <= 2:
            return flattened(x)
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()
        if channels_last(module, x):
            x = x.movedim(-1, 1)
        if self.name == "mean":
            return x.flatten(2).mean(2)
        if self.grid is not None:
            x = _pooled(x, self.grid)
        return x.flatten(2).transpose(1, 2).reshape(-1, x.shape[1])


def flattened(x: Tensor) -> Tensor:
    """Return `x` (n, ...) as (n, p), features in the order of memory: no copy of channels_last."""
    if x.dim() <= 2 or x.is_contiguous():
        return x.reshape(x.shape[0], -1)
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).flatten(1)
    order = sorted(range(1, x.dim()), key=lambda d: -x.stride(d))
    return x.permute(0, *order).reshape(x.shape[0], -1)


def channels_last(module: nn.Module, x: Tensor) -> bool:
    """Say whether features are the last dimension: tokens (n, t, d) and what linear layers give."""
    if isinstance(module, _LAST):
        return True
    # of three dimensions only what works along one axis, Conv1d and its like, has channels first
    return x.dim() == 3 and "1d" not in type(module).__name__.lower()


def _pooled(x: Tensor, grid: int) -> Tensor:
    spatial = x.dim() - 2
    if spatial == 1:
        # as many rows as a map has, so that tokens and maps can be compared
        return F.adaptive_avg_pool1d(x, grid * grid)
    if spatial == 2:
        return F.adaptive_avg_pool2d(x, grid)
    if spatial == 3:
        return F.adaptive_avg_pool3d(x, grid)
    return x


def first_tensor(output: Any) -> Tensor | None:
    """Return the tensor that a layer gives: the first of a tuple, mapping or ModelOutput."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        parts = list(cast("Mapping[Any, Any]", output).values())
    elif isinstance(output, (list, tuple)):
        parts = list(cast("Sequence[Any]", output))
    else:
        return None
    for part in parts:
        found = first_tensor(part)
        if found is not None:
            return found
    return None
