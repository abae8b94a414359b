"""What is computed of each chunk of filters, by torch, in float64, on any device.

Or, on a CPU, by compiled loops, which give the same figures: see `convlens.filterdb.compiled`.

A chunk comes as rows (n, taps) and is worked on as columns (taps, n), in blocks that stay in a
processor's cache. Filters with a NaN or an infinity are counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convlens.filterdb import compiled
from convlens.filterdb.compiled import COMPILED
from convlens.filterdb.sums import Sums, merged

__all__ = ["coefficients_of", "count_bins", "extremes_of", "sizes_of", "sums_of"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[Any]

_BLOCK = 1 << 13  # filters whose columns in float64 fill half of a cache of 1 MB
_SMALLEST = float(np.finfo(np.float64).tiny)


def sums_of(rows: Rows, device: str, *, scale: bool = True) -> tuple[Sums, int]:
    """Return count, mean and scatter of filters, each first divided by its largest weight.

    Parameters
    ----------
    rows : ndarray of float32 or float64
        (n, taps).
    device : str
        Of torch; or ``"compiled"``, here as below.
    scale : bool, default True
        f / max |f|; False takes them as they are.

    Returns
    -------
    Sums
    int
        Filters left out since they hold a NaN or an infinity.
    """
    if (loops := _loops(rows, device)) is not None:
        return compiled.sums_of(loops, rows, scale=scale)
    taps = rows.shape[1]
    parts: list[Sums] = []
    bad = 0
    for columns, inverse, left_out in _blocks(rows, device):
        bad += left_out
        n = columns.shape[1]
        if not n:
            continue
        if scale:
            columns.mul_(inverse)
        # Of one of them first: filters that are alike to the last bit then have no spread at all.
        shift = None if scale else columns[:, :1].clone()
        if shift is not None:
            columns = columns - shift
        mean = columns.mean(1)
        gram = columns @ columns.T
        scatter = gram.addr_(mean, mean, alpha=-n)
        if shift is not None:
            mean = mean + shift[:, 0]
        parts.append(Sums(n, _numpy(mean), _numpy(scatter)))
    return merged(parts, taps), bad


def coefficients_of(rows: Rows, basis: Floats, mean: Floats, device: str) -> Floats:
    """Return the coefficients of scaled filters in a basis: (f / max|f| - mean) . component.

    Parameters
    ----------
    rows : ndarray
        (n, taps).
    basis : ndarray
        (components, taps), one component a row.
    mean : ndarray
        (taps,).
    device : str

    Returns
    -------
    ndarray of float64
        (filters that are finite, components).
    """
    project, shift = _projection(basis, mean, device)
    found = [np.empty((0, len(basis)))]
    for columns, inverse, _ in _blocks(rows, device):
        found.append(_numpy((project @ columns).mul_(inverse).add_(shift).T))
    return np.concatenate(found)


def extremes_of(rows: Rows, basis: Floats, mean: Floats, device: str) -> tuple[float, float]:
    """Return the least and the greatest of all coefficients; (inf, -inf) of no filters."""
    if (loops := _loops(rows, device)) is not None and len(basis) == rows.shape[1]:
        return compiled.extremes_of(loops, rows, basis, mean)
    project, shift = _projection(basis, mean, device)
    low, high = np.inf, -np.inf
    for columns, inverse, _ in _blocks(rows, device):
        if columns.shape[1]:
            found = (project @ columns).mul_(inverse)
            low = min(low, float((found.amin(1) + shift[:, 0]).min()))
            high = max(high, float((found.amax(1) + shift[:, 0]).max()))
    return low, high


def count_bins(
    rows: Rows, basis: Floats, mean: Floats, span: tuple[float, float], bins: int, device: str
) -> npt.NDArray[np.int64]:
    """Count coefficients in bins of equal width.

    Two components share one index (bin of the one times `bins`, plus bin of the other), so that
    half as many have to be counted; the sums over rows and columns give each one's own counts.

    Parameters
    ----------
    rows : ndarray
        (n, taps).
    basis, mean : ndarray
        As in `coefficients_of`.
    span : (float, float)
        Where the bins begin and end; what lies beyond is counted in the first and last.
    bins : int
    device : str

    Returns
    -------
    ndarray of int64
        (components, bins).
    """
    low, high = span
    scale = bins / (high - low) if high > low else 0.0
    count = len(basis)
    if (loops := _loops(rows, device)) is not None and count == rows.shape[1]:
        inside = basis * scale
        found = compiled.count_bins(loops, rows, inside, -(inside @ mean) - low * scale, bins)
        if found is not None:
            return found
    device = _torch_device(device)
    project, shift = _projection(basis * scale, mean, device)
    shift = shift - low * scale
    pairs, odd = divmod(count, 2)
    size = bins * bins
    total = torch.zeros(pairs * size + odd * bins, dtype=torch.int64, device=device)
    start = torch.arange(pairs, dtype=torch.float64, device=device).mul_(size).unsqueeze(1)
    for columns, inverse, _ in _blocks(rows, device):
        if not columns.shape[1]:
            continue
        places = (project @ columns).mul_(inverse).add_(shift).clamp_(0, bins - 0.5)
        index = torch.empty((pairs + odd, columns.shape[1]), dtype=torch.int32, device=device)
        # As integers they are cut off, which is the floor of the second of each pair too.
        first = places[0 : 2 * pairs : 2].floor_().mul_(bins).add_(start)
        index[:pairs] = first.add_(places[1 : 2 * pairs : 2])
        if odd:
            index[pairs] = places[-1].add_(pairs * size)
        total += torch.bincount(index.view(-1), minlength=len(total))
    counts: npt.NDArray[np.int64] = cast(Any, total).cpu().numpy()
    joint = counts[: pairs * size].reshape(pairs, bins, bins)
    found = np.empty((count, bins), dtype=np.int64)
    found[0 : 2 * pairs : 2] = joint.sum(2)
    found[1 : 2 * pairs : 2] = joint.sum(1)
    if odd:
        found[-1] = counts[pairs * size :]
    return found


def sizes_of(rows: Rows, device: str, *, keep: bool = False) -> tuple[Floats, int, float]:
    """Return how large filters are.

    Parameters
    ----------
    rows : ndarray
        (n, taps).
    device : str
    keep : bool, default False
        Give peaks of filters that are not finite too, as they are, so that there is one each.

    Returns
    -------
    ndarray of float64
        The largest absolute weight of each filter.
    int
        Weights of finite filters that are exactly 0.
    float
        The sum of squares of theirs.
    """
    found = np.abs(rows).max(1, initial=0.0).astype(np.float64)
    finite = np.isfinite(found)
    kept = rows if finite.all() else rows[finite]
    zeros = kept.size - int(np.count_nonzero(kept))
    flat = kept.reshape(-1).astype(np.float64)
    return (found if keep else found[finite]), zeros, float(flat @ flat)


def _loops(rows: Rows, device: str) -> Any:
    return compiled.loops_for(rows) if device == COMPILED else None


def _torch_device(device: str) -> str:
    return "cpu" if device == COMPILED else device


def _projection(basis: Floats, mean: Floats, device: str) -> tuple[Tensor, Tensor]:
    device = _torch_device(device)
    project = torch.from_numpy(np.ascontiguousarray(basis)).to(device)
    shift = torch.from_numpy(-(basis @ mean)).to(device).unsqueeze(1)
    return project, shift


def _blocks(rows: Rows, device: str) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Give columns in float64 (taps, n), 1 / max |f| of each, and how many were left out."""
    device = _torch_device(device)
    whole = torch.from_numpy(rows if rows.flags.writeable else rows.copy())
    step = _BLOCK if device == "cpu" else max(1, len(rows))
    for start in range(0, len(rows), step):
        part = whole[start : start + step]
        columns = torch.empty((part.shape[1], part.shape[0]), dtype=torch.float64, device=device)
        columns.copy_(part.to(device).T)
        peaks = torch.maximum(columns.amax(0), columns.amin(0).neg_())
        bad = 0
        if not bool(torch.isfinite(peaks.sum())):
            finite = torch.isfinite(peaks)
            bad = int((~finite).sum())
            columns, peaks = columns[:, finite], peaks[finite]
        yield columns, peaks.clamp_(min=_SMALLEST).reciprocal_(), bad


def _numpy(tensor: Tensor) -> Floats:
    return cast(Any, tensor).cpu().numpy()
