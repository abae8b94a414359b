"""The arithmetic behind the quality figures: plain functions on weight tensors.

Everything runs on the tensor's own device and asks it for a handful of numbers at a time. Squares
are taken in float32 only after the weights were brought to a magnitude that allows it, and summed
in blocks, so that entropies hold to about 1e-7.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import grad

from convlens import compiled
from convlens.errors import ArgumentError

__all__ = [
    "Look",
    "Moments",
    "Rounded",
    "as_rows",
    "bits_of",
    "clean_moments",
    "float32_is_exact",
    "look_at",
    "moments_of",
    "norm",
    "parts",
    "scaled",
    "sparse_in",
    "undisturbed",
    "variance_entropy",
    "zeros_in",
]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_SUMMED = 1 << 18  # filters summed in float32 before float64 takes over
_SMALL = 1 << 17  # weights below which float64 costs nothing
_CACHED = 1 << 18  # weights that stay in a core's cache from one operation to the next
_COMPILED = range(2, 65)  # taps for which the compiled pass is the quicker
_NO_BITS = np.empty((0, 0), np.uint16)
_LINE = 32  # numbers of 2 bytes in a line of the cache
_SAFE = (1e-12, 1e12)  # largest weights whose squares float32 can hold, tiny neighbours included


@dataclass(frozen=True)
class Look:
    """What a look at every weight tells."""

    peaks: Tensor
    """The largest absolute value in each filter, (n,)."""
    high: float
    """The largest of all."""
    l1: float
    """The sum of all absolute values: infinite or NaN where a weight is."""
    has_zeros: bool
    """Whether a weight is exactly zero."""
    moments: Moments | None = None
    """The sums over the filters, where they came with the look."""
    rounded: Rounded | None = None
    """The outputs in bfloat16, where they came with the look."""


@dataclass(frozen=True)
class Rounded:
    """The output filters of a layer, rounded to bfloat16."""

    rows: Tensor
    """Each flattened output filter, (out, p)."""
    lengths: Tensor
    """Their Euclidean norms."""
    exact: Tensor
    """Their norms before rounding."""


def as_rows(weight: Tensor) -> Tensor:
    """Return a weight (out, inputs, *kernel) as filters (n, K): float32 or float64, contiguous."""
    taps = math.prod(weight.shape[2:])
    count = math.prod(weight.shape[:2])
    if weight.dtype not in (torch.float32, torch.float64):
        weight = weight.float()
    return weight.reshape(count, taps).contiguous()


def look_at(rows: Tensor, outputs: int = 0) -> Look:
    """Find the sizes of the filters in `rows`, which is not empty.

    Where `outputs` are given, and a compiled pass does it, they are rounded to bfloat16 as well.
    """
    n, taps = rows.shape
    if _suits(rows) and (known := _compiled_look(rows, outputs)) is not None:
        return known
    step = max(64, _CACHED // taps // 64 * 64) if rows.device.type == "cpu" else _SUMMED
    # One small place for absolute values: fresh memory costs more than what is done with them.
    sizes = rows.new_empty(min(step, n), taps)
    peaks: list[Tensor] = []
    found: list[Tensor] = []
    for part in parts(rows, step):
        size = torch.abs(part, out=sizes[: len(part)])
        peaks.append(_peaks(size))
        found += (size.sum(), size.amin())
    whole = torch.cat(peaks)
    high, *rest = cast("list[float]", torch.stack((whole.max(), *found)).tolist())
    return Look(whole, high, sum(rest[::2]), not all(rest[1::2]))


def _suits(rows: Tensor) -> bool:
    """Whether the compiled passes are there for filters such as these."""
    plain = rows.device.type == "cpu" and rows.dtype == torch.float32
    return plain and rows.shape[1] in _COMPILED and compiled.passes() is not None


def _compiled_look(rows: Tensor, outputs: int) -> Look | None:
    """Look and sum up at once; None where the sums mean nothing, as with weights not finite."""
    passes = cast(Any, compiled.passes())
    n, taps = rows.shape
    peaks, gram, total = np.empty(n, np.float32), np.zeros((taps, taps)), np.zeros(taps)
    bits = _bits_for(outputs, rows.numel() // outputs) if outputs else _NO_BITS
    squares = np.zeros((2, outputs))
    l1, high, low = passes.look(rows.numpy(), peaks, gram, total, bits, squares)
    if not math.isfinite(l1):
        return None
    rounded = None
    if outputs:
        exact, lengths = torch.from_numpy(np.sqrt(squares).astype(np.float32))
        # torch takes no unsigned numbers for bfloat16, but signed ones of the same bits.
        values = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)
        rounded = Rounded(values, lengths, exact)
    return Look(torch.from_numpy(peaks), high, l1, low == 0, Moments(n, gram, total), rounded)


def _bits_for(outputs: int, width: int) -> npt.NDArray[np.uint16]:
    """Make place for the bits of bfloat16."""
    # Where a cache line begins: products of what is elsewhere take half as long again. Not of
    # torch, whose memory of that size is fresh each time.
    place = np.empty(outputs * width + _LINE, np.uint16)
    start = -place.ctypes.data % (2 * _LINE) // 2
    return place[start : start + outputs * width].reshape(outputs, width)


def zeros_in(rows: Tensor) -> int:
    """Count the weights that are exactly zero."""
    return rows.numel() - int(rows.count_nonzero())


def _peaks(sizes: Tensor) -> Tensor:
    """Return the largest value in each row, none of which is negative."""
    if sizes.shape[1] == 1:
        return sizes.view(-1).clone()
    if sizes.device.type != "cpu":
        return sizes.amax(1)
    # Pooling takes half the time of a maximum over so short a dimension.
    batch = sizes.view(math.gcd(len(sizes), 64), 1, -1)
    return torch.max_pool1d(batch, sizes.shape[1], sizes.shape[1]).view(-1)


def scaled(rows: Tensor, high: float) -> tuple[Tensor, float]:
    """Bring `rows`, the largest of which is `high`, to a size whose squares are safe.

    Returns also what they were divided by.
    """
    if high == 0 or rows.dtype == torch.float64 or _SAFE[0] < high < _SAFE[1]:
        return rows, 1.0
    return rows / high, high


@dataclass(frozen=True)
class Moments:
    """Sums over filters, from which the scatter matrix follows."""

    count: int
    gram: Floats
    """Sum of x x^T over the filters x, (K, K)."""
    total: Floats
    """Sum of x, (K,)."""
    shift: Tensor | None = None
    """What was subtracted from every filter first, (K,)."""

    @cached_property
    def scatter(self) -> Floats:
        """The centred scatter matrix, (K, K)."""
        if self.count == 0:
            return np.zeros_like(self.gram)
        return self.gram - np.outer(self.total, self.total) / self.count

    @property
    def length(self) -> float:
        """The Euclidean norm of all weights."""
        squares = float(np.trace(self.gram))
        if self.shift is not None:
            shift = cast(Floats, self.shift.cpu().double().numpy())
            squares += float(shift @ (2 * self.total + self.count * shift))
        return math.sqrt(squares)


def moments_of(rows: Tensor, plain: Moments | None = None) -> Moments:
    """Sum up filters (n, K), shifted first where their mean is large against their spread.

    `plain` are their sums without a shift where these are known.
    """
    plain = plain or _moments(rows)
    spread = float(np.trace(plain.scatter))
    size = float(np.trace(plain.gram))
    if size - spread <= 4 * spread or size == 0:
        return plain
    # What is left of x x^T after subtracting the mean would be rounding noise: subtract it before.
    wide = rows if rows.device.type == "mps" else rows.double()
    shift = wide.mean(0).to(rows.dtype)
    shifted = _moments(rows - shift, shift)
    if float(np.trace(shifted.scatter)) <= torch.finfo(rows.dtype).eps ** 2 * size:
        # Filters that are equal to the last bit.
        return Moments(shifted.count, np.zeros_like(shifted.gram), shifted.total * 0, shift)
    return shifted


def sparse_in(rows: Tensor, look: Look, limit: float) -> tuple[Mask, Moments | None]:
    """Mark the filters that stay below `limit`; give their sums too where these cost nothing."""
    n, taps = rows.shape
    if look.moments is None:
        return cast(Mask, (look.peaks < limit).cpu().numpy()), None
    mask, gram, total = np.empty(n, np.bool_), np.zeros((taps, taps)), np.zeros(taps)
    passes = cast(Any, compiled.passes())
    found = (rows.numpy(), look.peaks.numpy(), np.float32(limit), mask, gram, total)
    return mask, Moments(passes.sparse_moments(*found), gram, total)


def clean_moments(
    rows: Tensor, moments: Moments, mask: Mask, part: Moments | None = None
) -> Moments:
    """Return the moments without the filters in `mask`, whose sums without a shift are `part`."""
    count = int(np.count_nonzero(mask))
    if count == 0:
        return moments
    if 2 * count <= len(rows):
        # Few to leave out: take their part away.
        if part is None or moments.shift is not None:
            places = torch.from_numpy(np.flatnonzero(mask)).to(rows.device)
            filters = rows.index_select(0, places)
            part = _moments(filters if moments.shift is None else filters - moments.shift)
        left = moments.count - count
        clean = Moments(left, moments.gram - part.gram, moments.total - part.total)
        if np.trace(clean.scatter) > 0.1 * np.trace(moments.scatter):
            return clean
    return moments_of(rows[torch.from_numpy(~mask).to(rows.device)])


def variance_entropy(moments: Moments) -> tuple[float, tuple[float, ...]]:
    """Return the entropy (base 10) of the eigenvalues of the scatter matrix, and their shares.

    The shares descend and sum to 1; without any spread all of them are 0, and so is the entropy.
    """
    scatter = moments.scatter
    if not np.isfinite(scatter).all():  # they were finite a moment ago: somebody trains
        raise ArgumentError("Weights turned NaN or infinite while they were measured.")
    values = np.clip(np.linalg.eigvalsh(scatter)[::-1], 0, None)
    whole = float(values.sum())
    if whole == 0:
        return 0.0, (0.0,) * len(values)
    shares = values / whole
    positive = shares[shares > 0]
    return float(-(positive * np.log10(positive)).sum()), tuple(shares.tolist())


def float32_is_exact() -> bool:
    """Whether products of float32 matrices are computed in float32, as they are by default."""
    try:
        chosen = [torch.get_float32_matmul_precision() == "highest"]
    except RuntimeError:  # set by the newer way only
        return False
    for backend in (torch.backends, torch.backends.mkldnn):
        scopes = (backend, getattr(backend, "conv", None), getattr(backend, "matmul", None))
        chosen += [getattr(x, "fp32_precision", "none") in ("none", "ieee") for x in scopes]
    return all(chosen)


def norm(tensor: Tensor, dim: int | None = None) -> Tensor:
    """Return the Euclidean norm, of everything or along one dimension."""
    return cast(Tensor, torch.linalg.vector_norm(tensor, dim=dim))


def parts(tensor: Tensor, size: int) -> tuple[Tensor, ...]:
    """Split along the first dimension into views of at most `size`."""
    return cast("tuple[Tensor, ...]", tensor.split(size))


def bits_of(rounded: Tensor) -> npt.NDArray[np.uint16]:
    """Return the memory of contiguous bfloat16, which NumPy has no name for, as integers."""
    return cast("npt.NDArray[np.int16]", rounded.view(torch.int16).numpy()).view(np.uint16)


def _moments(rows: Tensor, shift: Tensor | None = None) -> Moments:
    taps = rows.shape[1]
    gram, total = np.zeros((taps, taps)), np.zeros(taps)
    for part in parts(rows, _SUMMED):
        squares, sums = _sums(part)
        gram += squares
        total += sums
    return Moments(len(rows), gram, total, shift)


def _sums(rows: Tensor) -> tuple[Floats, Floats]:
    """Return rows^T rows and the sum of rows."""
    device, taps = rows.device.type, rows.shape[1]
    precise = device == "cuda" or rows.dtype == torch.float64 or rows.numel() <= _SMALL
    slow = device == "cpu" and not torch.backends.mkldnn.is_available()
    if precise or slow or (device == "cpu" and not float32_is_exact()):
        wide = (rows if device == "cuda" else rows.cpu()).double()
        return _numpy(wide.T @ wide), _numpy(wide.sum(0))
    blocks = rows[: len(rows) // 64 * 64].view(64, -1, taps)
    sums = _numpy(blocks.view(-1, 64 * taps).sum(0)).reshape(64, taps).sum(0)
    if taps == 1:
        squares = np.square(_numpy(norm(blocks.view(64, -1), dim=1))).sum().reshape(1, 1)
    elif device == "cpu":
        # A tall, narrow product is what BLAS is worst at, and what the weight gradient of a 1 x 1
        # convolution over 64 pictures is made for: six times as fast, and more precise.
        pictures = blocks.unsqueeze(2).permute(0, 3, 1, 2)
        gram = cast(Tensor, grad.conv2d_weight(pictures, (taps, taps, 1, 1), pictures))
        squares = _numpy(gram.view(taps, taps))
    else:
        squares = _numpy(torch.bmm(blocks.mT, blocks)).sum(0)
    rest = rows[len(rows) // 64 * 64 :]
    if len(rest):
        more, others = _sums(rest)
        return squares + more, sums + others
    return squares, sums


def _numpy(tensor: Tensor) -> Floats:
    return cast(Floats, tensor.cpu().double().numpy())


@contextmanager
def undisturbed(weight: Tensor) -> Generator[None]:
    """Without autograd, and in the precision we ask for, whatever the caller's context is."""
    kind = weight.device.type
    mixed = torch.autocast(kind, enabled=False) if kind in ("cpu", "cuda") else nullcontext()
    with torch.no_grad(), mixed:
        yield
