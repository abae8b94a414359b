"""Loops over filters of 3 x 3 that numba compiles: imported only where it is installed.

Each goes through rows as they lie in a file, 512 filters at a time: turned into columns in a
processor's nearest cache, where all that follows works on several filters at once. They hold no
lock, so that threads run side by side, and are compiled once for each kind of processor and kept
on disk.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numba
import numpy as np

__all__ = ["BLOCK", "TAPS", "count", "extremes", "moments"]

TAPS = 9
BLOCK = 512
_FEW = 24  # filters of a block that are done one by one sooner than all of it at once

_SMALLEST = float(np.finfo(np.float64).tiny)
# Sums may be taken in another order and products fused with them; what is not finite is told by its
# bits and never computed with.
_REORDER = {"reassoc", "contract", "nsz", "nnan"}


def _compiled(function: Any, *, reorder: bool = True) -> Any:
    compile_it = cast(Any, numba.njit)
    how = {"nogil": True, "fastmath": _REORDER if reorder else False, "error_model": "numpy"}
    try:
        return compile_it(cache=True, **how)(function)
    except RuntimeError:  # no folder that can be written to: compiled anew by each process
        return compile_it(**how)(function)


@_compiled
def _load(bits: Any, start: int, size: int, columns: Any, peaks: Any, mask: int, inf: int) -> int:
    """Turn rows into columns without those that are not finite; return how many there are.

    Of numbers without their sign the bits have the same order as the numbers, and those of infinity
    and NaN are the largest.
    """
    for i in range(size):
        for k in range(TAPS):
            columns[k, i] = bits[start + i, k]
    for i in range(size):
        peak = columns[0, i] & mask
        for k in range(1, TAPS):
            peak = max(peak, columns[k, i] & mask)
        peaks[i] = peak
    worst = peaks[0]
    for i in range(1, size):
        worst = max(worst, peaks[i])
    if worst < inf:
        return size
    kept = 0
    for i in range(size):
        if peaks[i] < inf:
            peaks[kept] = peaks[i]
            for k in range(TAPS):
                columns[k, kept] = columns[k, i]
            kept += 1
    return kept


@_compiled
def moments(
    bits: Any, columns: Any, values: Any, peaks: Any, tops: Any, mask: int, inf: int, scale: bool,
    shift: Any, sums: Any, gram: Any,
) -> int:  # fmt: skip
    """Add up finite filters and the products of their weights, less `shift`; return their number.

    `values` and `tops` are the memory of `columns` and `peaks` read as numbers. `shift` becomes the
    first filter, so that filters which are alike have no spread at all.
    """
    scaled = np.empty((TAPS, BLOCK))
    inverse = np.ones(BLOCK)
    n = 0
    for start in range(0, len(bits), BLOCK):
        size = _load(bits, start, min(BLOCK, len(bits) - start), columns, peaks, mask, inf)
        if size == 0:
            continue
        if scale:
            for i in range(size):
                inverse[i] = 1.0 / max(np.float64(tops[i]), _SMALLEST)
        if n == 0:
            for k in range(TAPS):
                shift[k] = np.float64(values[k, 0]) * inverse[0]
        n += size
        for k in range(TAPS):
            away = shift[k]
            total = 0.0
            for i in range(size):
                value = np.float64(values[k, i]) * inverse[i] - away
                scaled[k, i] = value
                total += value
            sums[k] += total
        # Three rows with three columns at a time: six numbers loaded for nine products.
        for j in range(0, TAPS, 3):
            for k in range(0, j + 1, 3):
                s00 = s01 = s02 = s10 = s11 = s12 = s20 = s21 = s22 = 0.0
                for i in range(size):
                    a0, a1, a2 = scaled[j, i], scaled[j + 1, i], scaled[j + 2, i]
                    b0, b1, b2 = scaled[k, i], scaled[k + 1, i], scaled[k + 2, i]
                    s00 += a0 * b0
                    s01 += a0 * b1
                    s02 += a0 * b2
                    s10 += a1 * b0
                    s11 += a1 * b1
                    s12 += a1 * b2
                    s20 += a2 * b0
                    s21 += a2 * b1
                    s22 += a2 * b2
                gram[j, k] += s00
                gram[j, k + 1] += s01
                gram[j, k + 2] += s02
                gram[j + 1, k] += s10
                gram[j + 1, k + 1] += s11
                gram[j + 1, k + 2] += s12
                gram[j + 2, k] += s20
                gram[j + 2, k + 1] += s21
                gram[j + 2, k + 2] += s22
    return n


@_compiled
def _scale(values: Any, tops: Any, size: int, least: float, scaled: Any, aside: Any) -> None:
    """Divide filters by their largest weight, in single precision.

    `aside` is 2 where that is no good since the largest weight is below `least`, the smallest
    number that has an inverse; else 0.
    """
    inverse = np.ones(BLOCK, values.dtype)
    whole = inverse[0]  # of the same precision, or the division is in double
    for i in range(size):
        inverse[i] = whole / max(tops[i], least)
        aside[i] = 2.0 if 0 < tops[i] < least else 0.0
    for k in range(TAPS):
        for i in range(size):
            scaled[k, i] = values[k, i] * inverse[i]


@_compiled
def _project(scaled: Any, size: int, basis: Any, shift: Any, found: Any) -> None:
    """Give coefficients of scaled filters in single precision."""
    for j in range(TAPS):
        # By name: out of an array they would be loaded anew for each filter.
        b0, b1, b2, b3, b4 = basis[j, 0], basis[j, 1], basis[j, 2], basis[j, 3], basis[j, 4]
        b5, b6, b7, b8, away = basis[j, 5], basis[j, 6], basis[j, 7], basis[j, 8], shift[j]
        for i in range(size):
            found[j, i] = (
                b0 * scaled[0, i] + b1 * scaled[1, i] + b2 * scaled[2, i] + b3 * scaled[3, i]
                + b4 * scaled[4, i] + b5 * scaled[5, i] + b6 * scaled[6, i] + b7 * scaled[7, i]
                + b8 * scaled[8, i] + away
            )  # fmt: skip


@partial(_compiled, reorder=False)  # divided before they are added up: sums may overflow
def _exact(values: Any, top: float, i: int, basis: Any, shift: Any, j: int) -> float:
    """Give one coefficient of one filter in double precision."""
    inverse = 1.0 / max(np.float64(top), _SMALLEST)
    total = shift[j]
    for k in range(TAPS):
        total += basis[j, k] * (np.float64(values[k, i]) * inverse)
    return total


@_compiled
def _far(scaled: Any, size: int, centre: Any, limit: float, aside: Any) -> int:
    """Mark filters further than `limit` from the centre by an `aside` of 1; return how many."""
    apart = np.zeros(BLOCK, np.float32)
    for k in range(TAPS):
        middle = centre[k]
        for i in range(size):
            apart[i] += (scaled[k, i] - middle) ** 2
    square = np.float32(limit * limit if limit > 0 else -1.0)
    found = 0
    for i in range(size):
        found += (apart[i] >= square) | (aside[i] > 0)
    if found:
        for i in range(size):
            if apart[i] >= square:
                aside[i] += 1
    return found


@_compiled
def extremes(
    bits: Any, columns: Any, values: Any, peaks: Any, tops: Any, mask: int, inf: int, least: float,
    basis: Any, shift: Any, rough_basis: Any, rough_shift: Any, error: float,
    centre: Any, reach: float,
) -> tuple[float, float]:  # fmt: skip
    """Find the least and the greatest coefficient in double precision.

    A coefficient is no larger than `reach` times the filter's distance from the centre: where few
    are as far as the extremes so far, only those are looked at. Else all, in single precision,
    whose `error` is known; and what that leaves open, once more in double.
    """
    low, high = np.inf, -np.inf
    scaled = np.empty((TAPS, BLOCK), np.float32)
    found = np.empty((TAPS, BLOCK), np.float32)
    aside = np.empty(BLOCK, np.float32)
    under, over = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for start in range(0, len(bits), BLOCK):
        size = _load(bits, start, min(BLOCK, len(bits) - start), columns, peaks, mask, inf)
        _scale(values, tops, size, least, scaled, aside)
        again = _far(scaled, size, centre, (min(-low, high) - error) / reach, aside)
        if again > _FEW:
            _project(scaled, size, rough_basis, rough_shift, found)
            under[:size] = over[:size] = found[0, :size]
            for j in range(1, TAPS):
                for i in range(size):
                    under[i] = min(under[i], found[j, i])
                    over[i] = max(over[i], found[j, i])
        for i in range(size if again else 0):
            if aside[i] == 0:
                continue
            if again <= _FEW or under[i] - error < low or over[i] + error > high or aside[i] > 1:
                for j in range(TAPS):
                    value = _exact(values, tops[i], i, basis, shift, j)
                    low = min(low, value)
                    high = max(high, value)
    return low, high


@_compiled
def count(
    bits: Any, columns: Any, values: Any, peaks: Any, tops: Any, mask: int, inf: int, least: float,
    basis: Any, shift: Any, rough_basis: Any, rough_shift: Any, error: float, counts: Any,
) -> None:  # fmt: skip
    """Count places, which `basis` and `shift` give in bins, by component.

    In single precision, and once more in double where its `error` leaves open on which side of an
    edge a place is.
    """
    bins = counts.shape[1]
    places = np.empty((TAPS, BLOCK), np.float32)
    scaled = np.empty((TAPS, BLOCK), np.float32)
    index = np.empty((TAPS, BLOCK), np.uint32)
    aside = np.empty(BLOCK, np.float32)
    half = np.float32(0.5)
    end = np.float32(bins - 0.5)
    clear = np.float32(0.5 - error)
    for start in range(0, len(bits), BLOCK):
        size = _load(bits, start, min(BLOCK, len(bits) - start), columns, peaks, mask, inf)
        _scale(values, tops, size, least, scaled, aside)
        _project(scaled, size, rough_basis, rough_shift, places)
        for j in range(TAPS):
            for i in range(size):
                # What lies beyond the ends is put into the middle of the first or last bin.
                place = min(max(places[j, i], half), end)
                whole = np.int32(place)
                index[j, i] = whole
                aside[i] = max(aside[i], abs(place - np.float32(whole) - half))
        again = 0
        for i in range(size):
            again += aside[i] > clear
        if again:
            for i in range(size):
                if aside[i] > clear:
                    for j in range(TAPS):
                        place = _exact(values, tops[i], i, basis, shift, j)
                        index[j, i] = np.int32(min(max(place, 0.5), bins - 0.5))
        for i in range(size):
            for j in range(TAPS):
                counts[j, index[j, i]] += 1
