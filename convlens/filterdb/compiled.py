"""The arithmetic of large databases of 3 x 3 filters on a CPU, by loops that numba compiles.

The figures are those of torch in `convlens.filterdb.arithmetic`, some seven times as fast. Without
numba, for other sizes and on other devices, torch does it all.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from functools import cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from convlens.filterdb.sums import Sums

__all__ = ["COMPILED", "count_bins", "extremes_of", "loops_for", "serves", "sums_of"]

COMPILED = "compiled"
"""Stands where otherwise a device of torch does."""

_TAPS = 9
_BITS = {np.dtype(np.float32): np.dtype(np.int32), np.dtype(np.float64): np.dtype(np.int64)}
_ROUNDING = 16 * 2.0**-24  # of a coefficient in single precision, by the sum of what is added up
_VAGUE = 0.1  # bins, by which places must not be uncertain

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[Any]


@cache
def _numba_is_there() -> bool:
    return importlib.util.find_spec("numba") is not None


@cache
def _loops() -> Any:
    try:
        return importlib.import_module("convlens.filterdb.loops")
    except ImportError:  # numba does not take every NumPy
        return None


def serves(taps: int) -> bool:
    """Return whether filters of so many weights can be measured by compiled loops."""
    return taps == _TAPS and _numba_is_there()


def loops_for(rows: Rows) -> Any:
    """Return the compiled loops if they take these rows; else None."""
    taken = serves(rows.shape[1]) and rows.dtype in _BITS
    return _loops() if taken and rows.flags.c_contiguous and rows.flags.aligned else None


def sums_of(loops: Any, rows: Rows, *, scale: bool) -> tuple[Sums, int]:
    """Do what `arithmetic.sums_of` does."""
    shift, sums, gram = np.zeros(_TAPS), np.zeros(_TAPS), np.zeros((_TAPS, _TAPS))
    bits, memory, _ = _memory_for(loops, rows)
    n = int(loops.moments(bits, *memory, scale, shift, sums, gram))
    if not n:
        return Sums.none(_TAPS), len(rows)
    mean = sums / n
    whole = cast(Any, np.tril(gram) + np.tril(gram, -1).T)
    return Sums(n, mean + shift, whole - n * np.outer(mean, mean)), len(rows) - n


def extremes_of(loops: Any, rows: Rows, basis: Floats, mean: Floats) -> tuple[float, float]:
    """Do what `arithmetic.extremes_of` does."""
    shift = -(basis @ mean)
    bits, memory, least = _memory_for(loops, rows)
    about = (*_both(basis, shift), _error(basis, shift))
    reach = float(np.linalg.norm(basis, axis=1).max(initial=np.finfo(np.float32).tiny))
    low, high = loops.extremes(bits, *memory, least, *about, mean.astype(np.float32), reach)
    return float(low), float(high)


def count_bins(
    loops: Any, rows: Rows, basis: Floats, shift: Floats, bins: int
) -> npt.NDArray[np.int64] | None:
    """Do what `arithmetic.count_bins` does, with the basis and its shift in bins.

    None where bins are so narrow that single precision tells nothing.
    """
    error = _error(basis, shift)
    if not error < _VAGUE:
        return None
    counts = np.zeros((_TAPS, bins), np.int64)
    bits, memory, least = _memory_for(loops, rows)
    loops.count(bits, *memory, least, *_both(basis, shift), error, counts)
    return counts


def _error(basis: Floats, shift: Floats) -> float:
    return _ROUNDING * float((np.abs(basis).sum(1) + np.abs(shift)).max()) + 1e-7


def _both(basis: Floats, shift: Floats) -> tuple[Any, ...]:
    basis = np.ascontiguousarray(basis)
    return basis, shift, basis.astype(np.float32), shift.astype(np.float32)


_mine = threading.local()


def _memory_for(loops: Any, rows: Rows) -> tuple[Any, tuple[Any, ...], Any]:
    """Return the bits of rows, what this thread works in, and the least number with an inverse."""
    whole = _BITS[rows.dtype]
    known = cast("dict[Any, tuple[Any, ...]]", getattr(_mine, "memory", None) or {})
    if rows.dtype not in known:
        columns: Any = np.zeros((_TAPS, loops.BLOCK), whole)
        peaks: Any = np.zeros(loops.BLOCK, whole)
        numbers = (columns.view(rows.dtype), peaks.view(rows.dtype))
        inf: Any = np.array(np.inf, rows.dtype).view(whole)[()]
        mask = np.iinfo(whole).max
        known[rows.dtype] = (columns, numbers[0], peaks, numbers[1], whole.type(mask), inf)
        _mine.memory = known
    return rows.view(whole), known[rows.dtype], np.finfo(rows.dtype).tiny
