"""torch.linalg with types: torch leaves them unsaid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from convlens.threads import in_order

T = TypeVar("T")

_torch: Any = torch.linalg
_WORTH = 1 << 19  # elements decomposed, some milliseconds, that threads are worth waking for
_GOOD = 300.0  # condition number whose square costs float64 less than 1e-11


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


def eigenvalues(x: Tensor) -> Tensor:
    """Return the eigenvalues of each symmetric matrix of `x` (..., n, n), ascending."""
    return _torch.eigvalsh(x)


def orthonormal(x: Tensor, condition: float) -> Tensor | None:
    """Return an orthonormal basis of the columns of `x` (n, p), a few times as fast as an SVD.

    None where the condition number may be above `condition`, at most 1e6. By Cholesky's factor of
    x^T x, twice: the first loses the square of the condition number, which the second takes back.
    """
    unit = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    for _ in range(2):
        factor, failed = _torch.cholesky_ex(x.T @ x, upper=True)
        if failed:
            return None
        inverse = _torch.solve_triangular(factor, unit, upper=True)
        largest = length(factor) * length(inverse)
        if not largest < condition:  # NaN too
            return None
        x = x @ inverse
        if largest < _GOOD:
            break
    return x


def length(x: Tensor, dim: int | None = None) -> Tensor:
    """Return the Euclidean length of all of `x`, or along `dim`, which is kept."""
    return _torch.vector_norm(x, dim=dim, keepdim=dim is not None)


def on_threads(calls: Sequence[tuple[Callable[[], T], int]]) -> Iterator[T]:
    """Make calls on several threads where that is the quicker way, and give what they return.

    A decomposition of a small matrix is as quick on one thread as on all of torch's.

    Parameters
    ----------
    calls : sequence of (callable, int)
        With the number of elements that each decomposes; 0 where the caller's thread is to do it.
    """
    if torch.get_num_threads() == 1 or sum(elements for _, elements in calls) < _WORTH:
        return (call() for call, _ in calls)
    return in_order(calls)
