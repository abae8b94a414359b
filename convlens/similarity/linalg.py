"""torch.linalg with types: torch leaves them unsaid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_torch: Any = torch.linalg


def svd(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the thin U, S, V^T of `x`, singular values descending."""
    u, s, vh = _torch.svd(x, full_matrices=False)
    return u, s, vh


def eigh(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues, ascending, and eigenvectors of the symmetric `x`."""
    values, vectors = _torch.eigh(x)
    return values, vectors


def singular_values(x: Tensor) -> Tensor:
    """Return the singular values of each matrix of `x` (..., m, n)."""
    return _torch.svdvals(x)


def length(x: Tensor, dim: int | None = None) -> Tensor:
    """Return the Euclidean length of all of `x`, or along `dim`, which is kept."""
    return _torch.vector_norm(x, dim=dim, keepdim=dim is not None)
