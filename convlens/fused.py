"""Passes over weights that are compiled by numba; `convlens.compiled` says when they are used.

Importing this module compiles them, or loads what an earlier process compiled. Arithmetic may be
reordered, which vectors need, but NaN and infinity keep their meaning.
"""

# What numba makes of these functions is not for a type checker to follow.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["lengths", "look", "overlap", "sparse_moments"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_BLOCK = 128  # filters whose taps lie side by side in the first cache at a time
_PIECE = 1024  # weights that are squared at a time

# Without the interpreter's lock, so that layers are measured on several threads.
_compiled: Any = numba.njit
_how = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz"},
}


@_compiled("void(f4[:, ::1], f8[:, ::1], f8[::1])", **_how)
def _add(block: Floats, gram: Doubles, total: Doubles) -> None:
    """Add up x x^T (lower half) and x of the filters that are the columns of `block`."""
    taps, _ = block.shape
    for tap in range(taps):
        plain = np.float32(0)
        for i in range(_BLOCK):
            plain += block[tap, i]
        total[tap] += plain
        for other in range(tap + 1):
            product = np.float32(0)
            for i in range(_BLOCK):
                product += block[tap, i] * block[other, i]
            gram[tap, other] += product


@_compiled("UniTuple(f8, 3)(f4[:, ::1], f4[::1], f8[:, ::1], f8[::1])", **_how)
def look(rows: Floats, peaks: Floats, gram: Doubles, total: Doubles) -> tuple[float, float, float]:
    """Find the peak of each filter in `rows` (n, K), and add up x x^T (lower half) and x.

    Returns the sum of absolute values, the largest, and the number of zeros.
    """
    n, taps = rows.shape
    flat = rows.reshape(n * taps)
    block = np.zeros((taps, _BLOCK), np.float32)
    peak = np.empty(_BLOCK, np.float32)
    size = np.empty(_BLOCK, np.float32)
    l1, high, zeros = 0.0, np.float32(0), 0
    for start in range(0, n, _BLOCK):
        count = min(_BLOCK, n - start)
        if count < _BLOCK:
            block[:] = 0
            zeros -= taps * (_BLOCK - count)
        piece = flat[start * taps : (start + count) * taps]
        for tap in range(taps):
            for i in range(count):
                block[tap, i] = piece[i * taps + tap]
        _add(block, gram, total)
        peak[:] = 0
        size[:] = 0
        for tap in range(taps):
            none = 0
            for i in range(_BLOCK):
                value = abs(block[tap, i])
                size[i] += value
                peak[i] = max(value, peak[i])
                none += value == 0
            zeros += none
        sizes = np.float32(0)
        for i in range(_BLOCK):
            sizes += size[i]
        l1 += sizes
        for i in range(count):
            peaks[start + i] = peak[i]
            high = max(peak[i], high)
    return l1, float(high), float(zeros)


@_compiled("i8(f4[:, ::1], f4[::1], f4, b1[::1], f8[:, ::1], f8[::1])", **_how)
def sparse_moments(
    rows: Floats,
    peaks: Floats,
    limit: float,
    mask: npt.NDArray[np.bool_],
    gram: Doubles,
    total: Doubles,
) -> int:
    """Mark the filters whose peak is below `limit`, add up their x x^T and x, and count them."""
    n, taps = rows.shape
    flat = rows.reshape(n * taps)
    block = np.empty((taps, _BLOCK), np.float32)
    places = np.empty(n, np.int64)
    count = 0
    for i in range(n):
        sparse = peaks[i] < limit
        mask[i] = sparse
        places[count] = i  # overwritten unless it is: quicker than a branch
        count += sparse
    for start in range(0, count, _BLOCK):
        found = min(_BLOCK, count - start)
        if found < _BLOCK:
            block[:] = 0
        for i in range(found):
            at = places[start + i] * taps
            for tap in range(taps):
                block[tap, i] = flat[at + tap]
        _add(block, gram, total)
    return count


@_compiled("void(u2[:, ::1], f4[::1])", **_how)
def lengths(rounded: npt.NDArray[np.uint16], into: Floats) -> None:
    """Find the Euclidean norms of rows that are given as the bits of bfloat16."""
    rows, width = rounded.shape
    bits = np.empty(_PIECE, np.uint32)
    values = bits.view(np.float32)
    for row in range(rows):
        square = 0.0
        for start in range(0, width, _PIECE):
            count = min(_PIECE, width - start)
            piece = rounded[row, start : start + count]
            for i in range(count):
                bits[i] = np.uint32(piece[i]) << np.uint32(16)
            part = np.float32(0)
            for i in range(count):
                part += values[i] * values[i]
            square += part
        into[row] = np.sqrt(square)


@_compiled("f8(u2[:, ::1], f4[::1], i8)", **_how)
def overlap(products: npt.NDArray[np.uint16], inverse: Floats, start: int) -> float:
    """Sum |cosine| over ordered pairs of different rows, given a block of their products.

    `products` are the bits of bfloat16, (m, start + m): those of the rows from `start` on with all
    rows before them and with each other. `inverse` holds one over the length of each row.
    """
    count, width = products.shape
    bits = np.empty(width, np.uint32)
    values = bits.view(np.float32)
    whole = 0.0
    for i in range(count):
        for j in range(width):  # without the sign
            bits[j] = np.uint32(products[i, j] & np.uint16(0x7FFF)) << np.uint32(16)
        part = np.float32(0)
        for j in range(start + i):
            part += values[j] * inverse[j]
        whole += 2 * part * inverse[start + i]
    return whole
