"""How much variance entropy random filters have, and how unusual a measured one is.

The filters of a layer are n points in K dimensions, one per tap. If every tap of every filter were
drawn independently from one normal distribution, the scatter matrix would be a Wishart matrix of
n - 1 degrees of freedom and its normalised eigenvalues would be equal but for chance. How far they
are from equal is John's test of sphericity, written with the entropy of the eigenvalues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["RandomEntropy", "compat_threshold", "random_entropy"]

Floats = npt.NDArray[np.float64]

_LN10 = math.log(10)
_SEED = 20220617  # any fixed number: the same n and K always give the same figures
_AT_ONCE = 256  # draws whose matrices are held at a time
_LEAST = 746.0  # exp(-746) is 0
_FIRST_TEST = 2  # one filter has no spread


def compat_threshold(n: int) -> float | None:
    """Return T_H(n), the entropy that torchconvquality divides by.

    Parameters
    ----------
    n : int
        Number of 3 x 3 filters.

    Returns
    -------
    float or None
        In the unit of the variance entropy (base 10); None below three filters, where the fitted
        curve is not positive.

    Notes
    -----
    Gavrikov and Keuper, CNN Filter DB, CVPR 2022: a logistic curve fitted to the least entropy of
    random 3 x 3 filters. It is no calibrated threshold: `random_entropy` is.

    Examples
    --------
    >>> round(compat_threshold(256), 5)
    0.94331
    """
    if n < 3:
        return None
    steepness = 0.88767525 * (math.log2(n) - 2.30436435)
    return 1.2618047 / (1 + math.exp(-steepness)) - 0.31050834


@dataclass(frozen=True)
class RandomEntropy:
    """The distribution of the variance entropy of `n` random filters of `taps` taps.

    Attributes
    ----------
    n, taps : int
        Number of filters, and of weights in each.
    expected : float
        Mean entropy, base 10.
    """

    n: int
    taps: int
    expected: float
    # D = ln K - H ln 10 is Gamma(shape, scale); below n = K that fits badly, so draws are kept.
    _shape: float = field(repr=False, default=0.0)
    _scale: float = field(repr=False, default=0.0)
    _draws: Floats | None = field(repr=False, compare=False, default=None)

    @cached_property
    def threshold(self) -> float:
        """The entropy that one in a hundred random layers stays below."""
        return self.quantile(0.01)

    def p_value(self, entropy: float) -> float:
        """Return the probability that random filters have this entropy or less."""
        if self._draws is not None:
            # The sum of K rounded terms: ties (two filters always have 0) must count as ties.
            below = np.searchsorted(self._draws, entropy + 1e-12, side="right")
            return (1 + int(below)) / (1 + len(self._draws))
        deficit = max(0.0, math.log(self.taps) - entropy * _LN10)
        return _gamma_tail(self._shape, deficit / self._scale)

    def quantile(self, alpha: float) -> float:
        """Return the entropy that random filters stay below with probability `alpha`."""
        if self._draws is not None:
            return float(np.quantile(self._draws, alpha))
        deficit = _gamma_exceeded(self._shape, alpha) * self._scale
        return (math.log(self.taps) - deficit) / _LN10


@lru_cache(maxsize=4096)
def random_entropy(n: int, taps: int) -> RandomEntropy | None:
    """Return how the variance entropy of random filters is distributed.

    Parameters
    ----------
    n : int
        Number of filters.
    taps : int
        Weights per filter, K.

    Returns
    -------
    RandomEntropy or None
        None for fewer than two filters or taps, which have no spread to speak of.

    Notes
    -----
    For n >= 4 K, (n - 1) K (ln K - H ln 10) is chi-squared with (K - 1)(K + 2) / 2 degrees of
    freedom (John, Biometrika 1972). Below that the distribution is drawn: the eigenvalues of a
    Wishart matrix are those of a random tridiagonal one (Dumitriu and Edelman, J. Math. Phys.
    2002), which takes microseconds a draw. The draws use their own generator with a fixed seed;
    nobody's random state is touched.

    Examples
    --------
    >>> null = random_entropy(256, 9)
    >>> round(null.quantile(0.01), 5)
    0.94124
    >>> null.p_value(0.85) < 0.001
    True
    """
    if n < _FIRST_TEST or taps < _FIRST_TEST:
        return None
    if n >= 4 * taps:
        freedom = (taps - 1) * (taps + 2) / 2
        shape, scale = freedom / 2, 2 / ((n - 1) * taps)
        return RandomEntropy(n, taps, (math.log(taps) - shape * scale) / _LN10, shape, scale)
    draws = np.sort(_draw_entropies(n, taps))
    expected = float(draws.mean())
    if n <= taps:
        return RandomEntropy(n, taps, expected, _draws=draws)
    deficits = math.log(taps) - draws * _LN10
    mean, variance = float(deficits.mean()), float(deficits.var(ddof=1))
    return RandomEntropy(n, taps, expected, mean * mean / variance, variance / mean)


def _gamma_tail(shape: float, x: float) -> float:
    """Return P(X > x) for X of the standard gamma distribution."""
    # Of trained filters it is mostly less than any float: Chernoff's bound tells at once.
    if x > shape and x - shape - shape * math.log(x / shape) > _LEAST:
        return 0.0
    # torch's, to about 1e-9: scipy's would take 0.2 s to import before the first layer is measured.
    a, b = (torch.full((), value, dtype=torch.float64, device="cpu") for value in (shape, x))
    return cast(Tensor, torch.special.gammaincc(a, b)).item()


def _gamma_exceeded(shape: float, alpha: float) -> float:
    """Return the x with P(X > x) = alpha, by Newton's method from Wilson and Hilferty's guess."""
    normal = NormalDist().inv_cdf(1 - alpha)
    x = shape * (1 - 1 / (9 * shape) + normal / (3 * math.sqrt(shape))) ** 3
    for _ in range(20):
        density = math.exp((shape - 1) * math.log(x) - x - math.lgamma(shape))
        step = (_gamma_tail(shape, x) - alpha) / density
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x


def _draw_entropies(n: int, taps: int) -> Floats:
    """Draw the variance entropy of n random filters, many times."""
    large, small = max(n - 1, taps), min(n - 1, taps)
    # All draws together should stay within a quarter of a second.
    draws = int(np.clip(8_000_000 // small**2, 199, 3999))
    rng = np.random.default_rng([_SEED, n, taps])
    step = np.arange(small)
    # B B^T of the bidiagonal B with chi-distributed entries, diagonal and off-diagonal.
    squared = rng.chisquare(large - step, size=(draws, small))
    lower = rng.chisquare(small - 1 - step[:-1], size=(draws, small - 1))
    off = np.sqrt(squared[:, :-1] * lower)
    diagonal = squared
    diagonal[:, 1:] += lower
    eigenvalues = np.concatenate(
        [
            _of_tridiagonal(diagonal[start : start + _AT_ONCE], off[start : start + _AT_ONCE])
            for start in range(0, draws, _AT_ONCE)
        ]
    )
    share = np.clip(eigenvalues, 0, None)
    share /= share.sum(axis=1, keepdims=True)
    logs = np.log10(share, out=np.zeros_like(share), where=share > 0)
    return -(share * logs).sum(axis=1)


def _of_tridiagonal(diagonal: Floats, off: Floats) -> Floats:
    """Return the eigenvalues of symmetric matrices (m, k, k) from their two diagonals."""
    # LAPACK's own routine for these is up to twice as fast, and takes 0.2 s to import with scipy's.
    count, size = diagonal.shape
    matrices = np.zeros((count, size, size))
    place = np.arange(size, dtype=np.int64)
    matrices[:, place, place] = diagonal
    matrices[:, place[1:], place[:-1]] = off  # the lower triangle is all that is read
    return cast(Floats, np.linalg.eigvalsh(matrices))
