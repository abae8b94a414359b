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

from convlens.compiled import HOW

__all__ = ["lengths", "look", "overlap", "overlap_of_bfloat16", "sparse_moments"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_BLOCK = 4608  # weights whose taps lie side by side in the first cache at a time
_STEP = 128  # filters of which a block holds a multiple
_PIECE = 1152  # weights that are squared at a time

_compiled: Any = numba.njit


@_compiled("void(f4[:, ::1], f8[:, ::1], f8[::1])", **HOW)
def _add(block: Floats, gram: Doubles, total: Doubles) -> None:
    """Add up x x^T (lower half) and x of the filters that are the columns of `block`."""
    taps, width = block.shape
    threes = taps // 3 * 3
    zero = np.float32(0)
    # Three taps by three at a time: what is loaded once is multiplied three times.
    for tap in range(0, threes, 3):
        x, y, z = block[tap], block[tap + 1], block[tap + 2]
        sx = sy = sz = xx = yx = yy = zx = zy = zz = zero
        for i in range(width):
            u, v, w = x[i], y[i], z[i]
            sx, sy, sz = sx + u, sy + v, sz + w
            xx, yx, yy = xx + u * u, yx + v * u, yy + v * v
            zx, zy, zz = zx + w * u, zy + w * v, zz + w * w
        total[tap] += sx
        total[tap + 1] += sy
        total[tap + 2] += sz
        gram[tap, tap] += xx
        gram[tap + 1, tap] += yx
        gram[tap + 1, tap + 1] += yy
        gram[tap + 2, tap] += zx
        gram[tap + 2, tap + 1] += zy
        gram[tap + 2, tap + 2] += zz
        for other in range(0, tap, 3):
            a, b, c = block[other], block[other + 1], block[other + 2]
            xa = xb = xc = ya = yb = yc = za = zb = zc = zero
            for i in range(width):
                u, v, w, q, r, s = x[i], y[i], z[i], a[i], b[i], c[i]
                xa, xb, xc = xa + u * q, xb + u * r, xc + u * s
                ya, yb, yc = ya + v * q, yb + v * r, yc + v * s
                za, zb, zc = za + w * q, zb + w * r, zc + w * s
            gram[tap, other] += xa
            gram[tap, other + 1] += xb
            gram[tap, other + 2] += xc
            gram[tap + 1, other] += ya
            gram[tap + 1, other + 1] += yb
            gram[tap + 1, other + 2] += yc
            gram[tap + 2, other] += za
            gram[tap + 2, other + 1] += zb
            gram[tap + 2, other + 2] += zc
    for tap in range(threes, taps):
        plain = zero
        for i in range(width):
            plain += block[tap, i]
        total[tap] += plain
        for other in range(tap + 1):
            product = zero
            for i in range(width):
                product += block[tap, i] * block[other, i]
            gram[tap, other] += product


@_compiled("void(f8[:, ::1])", **HOW)
def _mirror(gram: Doubles) -> None:
    """Fill in the upper half of a symmetric matrix."""
    for i in range(len(gram)):
        for j in range(i):
            gram[j, i] = gram[i, j]


@_compiled("i8(i8)", **HOW)
def _width(taps: int) -> int:
    """Return how many filters of so many taps are a block."""
    return max(1, _BLOCK // taps // _STEP) * _STEP


@_compiled("void(f4[::1], f4[:, ::1], i8)", **HOW)
def _lay_out(piece: Floats, block: Floats, count: int) -> None:
    """Make the filters in `piece` the columns of `block`."""
    taps, _ = block.shape
    if taps == 9:  # the most usual number, known to the compiler
        for tap in range(9):
            for i in range(count):
                block[tap, i] = piece[i * 9 + tap]
    else:
        for tap in range(taps):
            for i in range(count):
                block[tap, i] = piece[i * taps + tap]


@_compiled("void(f4[::1], i8[::1], f4[:, ::1])", **HOW)
def _gather(flat: Floats, places: npt.NDArray[np.int64], block: Floats) -> None:
    """Make the filters at `places` the first columns of `block`."""
    taps, _ = block.shape
    if taps == 9:
        for i in range(len(places)):
            at = places[i] * 9
            for tap in range(9):
                block[tap, i] = flat[at + tap]
    else:
        for i in range(len(places)):
            at = places[i] * taps
            for tap in range(taps):
                block[tap, i] = flat[at + tap]


@_compiled("f4(f4[:, ::1], f4[::1], f4[:, ::1], i8)", **HOW)
def _sizes(block: Floats, peaks: Floats, ends: Floats, count: int) -> np.float32:
    """Find the peak of each of the first `count` columns, and return the sum of absolute values.

    `ends` keeps the largest and the smallest value of all columns at one place. Each loop is one
    that becomes vectors: the largest of an array would not.
    """
    taps, _ = block.shape
    size = np.float32(0)
    highs, lows = ends[0], ends[1]
    if taps == 9:
        for i in range(count):
            a, b, c = abs(block[0, i]), abs(block[1, i]), abs(block[2, i])
            d, e, f = abs(block[3, i]), abs(block[4, i]), abs(block[5, i])
            g, h, k = abs(block[6, i]), abs(block[7, i]), abs(block[8, i])
            size += ((a + b) + (c + d)) + ((e + f) + (g + h)) + k
            peaks[i] = max(a, b, c, d, e, f, g, h, k)
            lows[i] = min(a, b, c, d, e, f, g, h, k, lows[i])
    else:
        for i in range(count):
            peaks[i] = 0
        for tap in range(taps):
            for i in range(count):
                value = abs(block[tap, i])
                size += value
                peaks[i] = max(value, peaks[i])
                lows[i] = min(value, lows[i])
    for i in range(count):
        highs[i] = max(peaks[i], highs[i])
    return size


@_compiled("void(f4[::1], u4[::1], i8, i8, u2[:, ::1], f8[:, ::1])", **HOW)
def _round(
    flat: Floats,
    raw: npt.NDArray[np.uint32],
    start: int,
    stop: int,
    rounded: npt.NDArray[np.uint16],
    squares: Doubles,
) -> None:
    """Round weights from `start` to `stop` to the nearest bfloat16, ties to even."""
    rows, width = rounded.shape
    into = rounded.reshape(rows * width)
    bits = np.empty(_PIECE, np.uint32)
    values = bits.view(np.float32)
    while start < stop:
        row = start // width
        count = min((row + 1) * width - start, stop - start, _PIECE)
        source, plain = raw[start : start + count], flat[start : start + count]
        target = into[start : start + count]
        for i in range(count):
            odd = np.uint32((source[i] >> np.uint32(16)) & np.uint32(1))
            up = np.uint32(source[i] + np.uint32(0x7FFF) + odd)
            bits[i] = up & np.uint32(0xFFFF0000)
            target[i] = np.uint16(up >> np.uint32(16))
        exact, rough = np.float32(0), np.float32(0)
        for i in range(count):
            exact += plain[i] * plain[i]
            rough += values[i] * values[i]
        squares[0, row] += exact
        squares[1, row] += rough
        start += count


@_compiled(
    "UniTuple(f8, 3)(f4[:, ::1], f4[::1], f8[:, ::1], f8[::1], u2[:, ::1], f8[:, ::1])", **HOW
)
def look(
    rows: Floats,
    peaks: Floats,
    gram: Doubles,
    total: Doubles,
    rounded: npt.NDArray[np.uint16],
    squares: Doubles,
) -> tuple[float, float, float]:
    """Find the peak of each filter in `rows` (n, K), and add up x x^T and x.

    Where `rounded` (outputs, weights of each) is not empty, the bits of the nearest bfloat16 go
    there, and the squares of each output's weights are added up in `squares`, before rounding and
    after. Returns the sum of absolute values, the largest, and the smallest.
    """
    n, taps = rows.shape
    flat = rows.reshape(n * taps)
    raw = flat.view(np.uint32)
    width = _width(taps)
    block = np.zeros((taps, width), np.float32)
    peak = np.empty(width, np.float32)
    ends = np.empty((2, width), np.float32)
    ends[0] = 0
    ends[1] = np.inf
    l1 = 0.0
    for start in range(0, n, width):
        count = min(width, n - start)
        if count < width:
            block[:] = 0
        stop = start + count
        _lay_out(flat[start * taps : stop * taps], block, count)
        _add(block, gram, total)
        l1 += _sizes(block, peak, ends, count)
        peaks[start:stop] = peak[:count]
        if rounded.size:
            _round(flat, raw, start * taps, stop * taps, rounded, squares)
    _mirror(gram)
    return l1, float(ends[0].max()), float(ends[1].min())


@_compiled("i8(f4[:, ::1], f4[::1], f4, b1[::1], f8[:, ::1], f8[::1])", **HOW)
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
    for i in range(n):
        mask[i] = peaks[i] < limit
    # Most are not: the marks are looked at eight at a time.
    eights = mask[: n // 8 * 8].view(np.uint64)
    places = np.empty(n + 1, np.int64)
    count = 0
    for at in range(len(eights)):
        if eights[at]:
            for i in range(8):
                places[count] = 8 * at + i  # overwritten unless it is: quicker than a branch
                count += mask[8 * at + i]
    for i in range(n // 8 * 8, n):
        places[count] = i
        count += mask[i]
    width = _width(taps)
    block = np.zeros((taps, width), np.float32)
    for start in range(0, count, width):
        found = min(width, count - start)
        if found < width:
            block[:] = 0
        _gather(flat, places[start : start + found], block)
        _add(block, gram, total)
    _mirror(gram)
    return count


@_compiled("void(u2[:, ::1], f4[::1])", **HOW)
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


@_compiled("f8(f4[:, ::1], f4[::1])", **HOW)
def overlap(products: Floats, inverse: Floats) -> float:
    """Sum |cosine| over ordered pairs of different rows, given a block of their products.

    `products` (m, k) are those of some rows, of which `inverse` holds one over the length, with
    the first k of them.
    """
    rows, columns = products.shape
    whole = 0.0
    for i in range(rows):
        part = np.float32(0)
        for j in range(min(i, columns)):
            part += abs(products[i, j]) * inverse[j]
        whole += 2 * part * inverse[i]
    return whole


@_compiled("f8(u2[:, ::1], f4[::1])", **HOW)
def overlap_of_bfloat16(products: npt.NDArray[np.uint16], inverse: Floats) -> float:
    """Do so for products that are given as the bits of bfloat16."""
    rows, columns = products.shape
    bits = np.empty(columns, np.uint32)
    values = bits.view(np.float32)
    whole = 0.0
    for i in range(rows):
        count = min(i, columns)
        for j in range(count):  # without the sign
            bits[j] = np.uint32(products[i, j] & np.uint16(0x7FFF)) << np.uint32(16)
        part = np.float32(0)
        for j in range(count):
            part += values[j] * inverse[j]
        whole += 2 * part * inverse[i]
    return whole
