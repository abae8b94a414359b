"""The n x n matrix of inner products of one layer's samples, taken without a second copy of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convlens import compiled
from convlens.similarity.linalg import length

__all__ = ["Gram", "centred_gram", "correlation_gram", "double_centred", "triangle", "u_centred"]

# Columns whose products are summed in float32, before sums of them are in float64.
_CHUNK = 2048
_CHUNK_COMPILED = 1024
# Samples times threads up to which the compiled pass is the quicker one: it has half the work, and
# one thread.
_SUITS = 128
_OFTEN = 1 << 33  # multiplications, a quarter of a second of one thread's, that loading it is worth
# Elements of one block of columns. It is centred in cache and multiplied before it leaves: the
# activations are read once, and no centred copy of them ever exists.
_BLOCK_CPU = 1 << 19
_BLOCK_ACCELERATOR = 1 << 24
_NOTHING = torch.zeros(())  # the limit where rounding is out of the question


@dataclass(frozen=True)
class Gram:
    """The inner products of every two samples.

    Attributes
    ----------
    values : Tensor
        (n, n), float32 or float64, on the device of the samples.
    features : int
        p, the number of columns that the samples had.
    limit : Tensor
        (): a trace up to which `values` hold nothing but what rounding leaves of equal samples.
        Still on its device, so that a GPU is waited for only when somebody reads it.
    kernel : str
        "linear" (inner products of centred samples) or "correlation" (of samples over features).
    """

    values: Tensor
    features: int
    limit: Tensor
    kernel: str = "linear"

    @property
    def constant(self) -> bool:
        """Whether every sample was the same, up to rounding."""
        return bool(self.values.diagonal().sum() <= self.limit)


def working_dtype(x: Tensor) -> torch.dtype:
    """Return float64 for float64, float32 for everything below it."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def centred_gram(x: Tensor, free: Callable[[int], Tensor] | None = None) -> Gram:
    """Return the Gram matrix of `x` (n, p) with the mean of each column taken off first.

    `free` gives room for it, float32 on the CPU, which may be used or not.

    Without centring, float32 loses the result: a true CKA of .62376 becomes .58926 with an offset
    of 10 and NaN with one of 100.
    """
    n, p = x.shape
    if x.dtype == torch.float32 and x.device.type == "cpu":
        quick = _centred_afterwards(x, free)
        if quick is not None:
            return quick
    dtype = working_dtype(x)
    elements = _BLOCK_CPU if x.device.type == "cpu" else _BLOCK_ACCELERATOR
    width = max(64, elements // max(1, n))
    values: Tensor | None = None
    offset: Tensor | None = None
    for start in range(0, p, width):
        block = (x if p <= width else x[:, start : start + width]).to(dtype)
        mean = block.mean(0)
        block = block - mean
        square = mean.dot(mean)
        if values is None or offset is None:
            values, offset = block @ block.T, square
        else:
            values.addmm_(block, block.T)
            offset += square
    if values is None or offset is None:
        values, offset = x.new_zeros(n, n, dtype=dtype), x.new_zeros((), dtype=dtype)
    return Gram(values, p, offset * (n * (16 * torch.finfo(dtype).eps) ** 2))


def _centred_afterwards(x: Tensor, free: Callable[[int], Tensor] | None = None) -> Gram | None:
    """Return the Gram matrix of `x` (n, p) from one reading of it, or None where that is inexact.

    H K H is the same as centring the columns, but for what float32 loses when the means outweigh
    what differs between samples. They must not by more than 3 to 1, where CKA is right to 3e-7.
    """
    n, p = x.shape
    width = max(_CHUNK, 16 * n)  # the products of all chunks take a fraction of what `x` does
    # the first part of wide ones tells when the rest is not worth multiplying
    first = p // (16 * width) * width
    if (passes := _passes_for(x)) is not None:
        into = torch.empty(n, n) if free is None else free(n)
        exact = passes.centred_products(_array(x), first, _CHUNK_COMPILED, _array(into))
        return Gram(into, p, _NOTHING) if exact else None
    k = np.zeros((n, n))
    rows, total = k[0], 0.0
    for start, stop in ((0, first), (first, p)):
        if start == stop:
            continue
        k += _products(x[:, start:stop], width)
        # NumPy, since matrices of a batch's size cost torch more to dispatch than to compute
        trace, rows = float(k.trace()), k.sum(1)
        total = float(rows.sum())
        if not trace - total / n >= trace / (4 if stop == p else 8):  # NaN too
            return None
    rows /= n
    rows -= total / (2 * n * n)
    k -= rows
    k -= rows[:, None]
    return Gram(torch.from_numpy(k.astype(np.float32)), p, _NOTHING)


class _Work:
    done = 0
    """Multiplications that the compiled pass would have halved."""


def _passes_for(x: Tensor) -> Any:
    """Return the compiled passes if they are there and take `x` (n, p); else see to it."""
    n, p = x.shape
    threads = torch.get_num_threads()
    if not (x.is_contiguous() and n >= 4 and (threads == 1 or n * threads <= _SUITS)):
        return None
    passes = compiled.passes(compiled.SAMPLES)
    if passes is None:
        _Work.done += n * n * p
        if _Work.done >= _OFTEN:
            _Work.done = 0
            compiled.load_soon(compiled.SAMPLES)
    return passes


def _products(x: Tensor, width: int) -> npt.NDArray[np.float64]:
    """Return the inner products of the rows of `x` (n, p), `width` columns summed in float32."""
    n, p = x.shape
    if p <= width:
        return _array(x @ x.T).astype(np.float64)
    end = p - p % width
    chunks = x[:, :end].view(n, end // width, width).transpose(0, 1)
    k = _array(torch.bmm(chunks, chunks.mT)).sum(0, dtype=np.float64)
    if end < p:
        k += _array(x[:, end:] @ x[:, end:].T)
    return k


def _array(x: Tensor) -> npt.NDArray[np.float32]:
    return cast("npt.NDArray[np.float32]", x.numpy())


def correlation_gram(x: Tensor) -> Gram:
    """Return Pearson's correlation between every two samples of `x` (n, p), over its features."""
    p = x.shape[1]
    x = x.to(working_dtype(x))
    sizes = length(x, dim=1)
    x = x - x.mean(1, keepdim=True)
    norms = length(x, dim=1)
    # one sample without any variation is enough to leave its row undefined
    flat: Tensor = norms <= 16 * torch.finfo(x.dtype).eps * sizes
    x = x / torch.where(flat, 1.0, norms)
    limit = torch.where(flat.any(), math.inf, -1.0)
    return Gram(x @ x.T, p, limit.to(x.dtype), "correlation")


def u_centred(k: Tensor) -> Tensor:
    """Return `k` (..., n, n) U-centred, so that inner products are unbiased HSIC times n(n-3).

    U_ij = K_ij - r_i - r_j + sum(r) / (n-1) with r_i = sum_j K_ij / (n-2), and 0 on the diagonal:
    the same as equation 3 of Nguyen, Raghu & Kornblith (ICLR 2021), in one pass.
    """
    n = k.shape[-1]
    k = k.clone()
    k.diagonal(dim1=-2, dim2=-1).zero_()
    rows = k.sum(-1, keepdim=True) / (n - 2)
    k -= rows - rows.sum(-2, keepdim=True) / (n - 1)
    k -= rows.mT
    k.diagonal(dim1=-2, dim2=-1).zero_()
    return k


def double_centred(k: Tensor) -> Tensor:
    """Return H `k` H, H = I - 1/n."""
    return k - k.mean(0, keepdim=True) - k.mean(1, keepdim=True) + k.mean()


def triangle(k: Tensor) -> Tensor:
    """Return what is above the diagonal of `k` (n, n), row by row, as one vector."""
    n = k.shape[0]
    above = torch.ones(n, n, dtype=torch.bool, device=k.device).triu_(1)
    return k[above]
