"""Inner products of samples, compiled by numba; `convlens.compiled` says when they are used.

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

__all__ = ["centred_products"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_TILE = 4  # rows by rows whose products fit into registers

_compiled: Any = numba.njit


@_compiled("void(f4[:, ::1], i8, i8, i8, i8, f8[:, ::1])", **HOW)
def _tile(x: Floats, i: int, j: int, start: int, stop: int, into: Doubles) -> None:
    """Multiply the four rows from `i` on with the four from `j` on: each is loaded four times less.

    The columns from `start` to `stop` are summed in float32.
    """
    a, b, c, d = x[i, start:stop], x[i + 1, start:stop], x[i + 2, start:stop], x[i + 3, start:stop]
    e, f, g, h = x[j, start:stop], x[j + 1, start:stop], x[j + 2, start:stop], x[j + 3, start:stop]
    ae = af = ag = ah = be = bf = bg = bh = np.float32(0)
    ce = cf = cg = ch = de = df = dg = dh = np.float32(0)
    for t in range(stop - start):
        p, q, r, s = a[t], b[t], c[t], d[t]
        u, v, w, z = e[t], f[t], g[t], h[t]
        ae, af, ag, ah = ae + p * u, af + p * v, ag + p * w, ah + p * z
        be, bf, bg, bh = be + q * u, bf + q * v, bg + q * w, bh + q * z
        ce, cf, cg, ch = ce + r * u, cf + r * v, cg + r * w, ch + r * z
        de, df, dg, dh = de + s * u, df + s * v, dg + s * w, dh + s * z
    into[i, j], into[i, j + 1], into[i, j + 2], into[i, j + 3] = ae, af, ag, ah
    into[i + 1, j], into[i + 1, j + 1], into[i + 1, j + 2], into[i + 1, j + 3] = be, bf, bg, bh
    into[i + 2, j], into[i + 2, j + 1], into[i + 2, j + 2], into[i + 2, j + 3] = ce, cf, cg, ch
    into[i + 3, j], into[i + 3, j + 1], into[i + 3, j + 2], into[i + 3, j + 3] = de, df, dg, dh


@_compiled("void(f4[:, ::1], i8, i8, i8, f8[:, ::1])", **HOW)
def _add_products(x: Floats, begin: int, end: int, width: int, k: Doubles) -> None:
    """Add to `k` the inner products of the rows over the columns from `begin` to `end`."""
    n, _ = x.shape
    part = np.zeros((n, n))
    for start in range(begin, end, width):
        stop = min(end, start + width)
        for row in range(0, n, _TILE):
            # the last tiles overlap those before where `n` is no multiple: the same values again
            i = min(row, n - _TILE)
            for column in range(0, row + 1, _TILE):
                _tile(x, i, min(column, n - _TILE), start, stop, part)
        for i in range(n):
            for j in range(i + 1):
                k[i, j] += part[i, j]


@_compiled("b1(f4[:, ::1], i8, i8, f4[:, ::1])", **HOW)
def centred_products(x: Floats, first: int, width: int, into: Floats) -> bool:
    """Find H x x^T H of the rows of `x` (n, p), n at least 4; False where float32 does not do.

    That is where the means outweigh what differs between the rows, which the products of the
    `first` columns may already tell. `width` columns at a time are summed in float32.
    """
    n, p = x.shape
    k = np.zeros((n, n))
    rows = np.empty(n)
    done = 0
    for end in (first, p):
        if end == done:
            continue
        _add_products(x, done, end, width, k)
        done = end
        trace = total = 0.0
        for i in range(n):
            for j in range(i):
                k[j, i] = k[i, j]
        for i in range(n):
            rows[i] = k[i].sum()
            total += rows[i]
            trace += k[i, i]
        if not trace - total / n >= trace / (4 if end == p else 8):  # NaN too
            return False
    for i in range(n):
        rows[i] = rows[i] / n - total / (2 * n * n)
    for i in range(n):
        for j in range(n):
            into[i, j] = k[i, j] - rows[i] - rows[j]
    return True
