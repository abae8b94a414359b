"""How far apart two samples of one and the same distribution are: the floor below any drift.

Drift adds up (P - Q)(log P - log Q) over bins. Were the filters of two groups dealt out to them
anew at random, the count of a bin in the one would be hypergeometric, and that in the other what is
left of the two together. Mean and variance of each term are sums over that one count, so no
permutation has to be drawn; the tests hold the figures to permutations that are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

__all__ = ["LEVEL", "Floor", "Shares", "floor_between", "floor_of_shares", "shares_of"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

LEVEL = 0.01
"""How often noise alone exceeds what is called the floor's upper end."""

_EPS = float(np.finfo(np.float32).eps)
_MANY = 60.0  # expected counts from which on a count is as good as normal
_TOP = 140  # and below that, it is never larger than this
_HERMITE = np.polynomial.hermite_e.hermegauss(24)
_NODES = _HERMITE[0]
_NORMAL = _HERMITE[1] / _HERMITE[1].sum()


@dataclass(frozen=True)
class Floor:
    """Drift that sampling alone makes.

    Attributes
    ----------
    mean : float
        What to expect.
    high : float
        Exceeded once in a hundred times.
    shape, scale : float
        Of the gamma distribution that has this mean and variance.
    """

    mean: float
    high: float
    shape: float = 1.0
    scale: float = 0.0

    def p(self, drift: float) -> float:
        """Return how often noise alone gives a drift as large as this."""
        from scipy import stats

        if self.scale == 0:
            return float(drift <= 0)
        return float(stats.gamma.sf(drift, self.shape, scale=self.scale))


def floor_between(one: Counts, other: Counts, span: tuple[float, float], weights: Floats) -> Floor:
    """Return the drift that dealing out the filters of two groups at random gives.

    Parameters
    ----------
    one, other : ndarray of int64
        (components, bins), the counts of the two.
    span : (float, float)
        Of the bins.
    weights : ndarray
        (components,), as drift weighs them.

    Returns
    -------
    Floor
        The mean is that of all permutations. For its spread, bins and components are taken as
        independent of each other, and the sum as gamma distributed.

    Notes
    -----
    It is the noise of drawing single filters: that the filters of a layer belong together, and
    differ from those of another, is not in it.
    """
    if one[0].sum() > other[0].sum():
        one, other = other, one
    n, m = int(one[0].sum()), int(other[0].sum())
    together = one + other
    common, where = np.unique(together, return_inverse=True)
    mean, square = _of_bins(common, n, m, _EPS * (span[1] - span[0]) / one.shape[-1])
    places = where.reshape(together.shape)
    return _gamma(mean[places], square[places], weights)


def _of_bins(common: Counts, n: int, m: int, empty: float) -> tuple[Floats, Floats]:
    """Return mean and mean square of the term of bins that hold `common` filters of both."""
    mean, square = np.zeros(len(common)), np.zeros(len(common))
    share = common / (n + m)
    expected = n * share
    few = (common > 0) & (expected <= _MANY)
    if few.any():
        count = np.arange(min(n, _TOP) + 1)[None, :]
        own = common[few][:, None]
        weight = _hypergeometric(count, n + m, own, n)
        rest = np.maximum(own - count, 0)
        term = _term(count / n, rest / m, empty)
        mean[few], square[few] = (weight * term).sum(1), (weight * term**2).sum(1)
    many = expected > _MANY
    if many.any():
        spread = np.sqrt(n * share * (1 - share) * (m / max(n + m - 1, 1)))[many]
        count = np.clip(expected[many, None] + spread[:, None] * _NODES, 0.5, None)
        rest = np.clip(common[many, None] - count, 0.5, None)
        term = _term(count / n, rest / m, empty)
        mean[many], square[many] = term @ _NORMAL, term**2 @ _NORMAL
    return mean, square


def _hypergeometric(count: Any, whole: int, marked: Any, drawn: int) -> Floats:
    """Return the chance of `count` marked ones among `drawn` of `whole` with `marked` of them."""
    from scipy.special import gammaln

    def ways(n: Any, k: Any) -> Any:
        inside = (k >= 0) & (k <= n)
        k = np.where(inside, k, 0)
        found = cast(Any, gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
        return np.where(inside, found, -np.inf)

    chance = ways(marked, count) + ways(whole - marked, drawn - count) - ways(whole, drawn)
    return np.exp(chance)


def _term(p: Floats, q: Floats, empty: float) -> Floats:
    p, q = np.where(p > 0, p, empty), np.where(q > 0, q, empty)
    return (p - q) * (np.log(p) - np.log(q))


def _gamma(mean: Floats, square: Floats, weights: Floats) -> Floor:
    from scipy import stats

    expected = float((weights * mean.sum(-1)).sum())
    variance = np.maximum(square - mean**2, 0.0)
    spread = float((weights**2 * variance.sum(-1)).sum())
    if expected <= 0 or spread <= 0:
        return Floor(max(expected, 0.0), max(expected, 0.0))
    shape, scale = expected**2 / spread, spread / expected
    return Floor(expected, float(stats.gamma.isf(LEVEL, shape, scale=scale)), shape, scale)


# Of many groups: each against what all of them have in common. ----------------------------------

Shares = Floats
"""E[P^a log^b P] of the share P of each bin, for a, b from 0 to 2: (3, 3, components, bins)."""


def shares_of(n: int, pooled: Counts, span: tuple[float, float]) -> Shares:
    """Return the moments of the shares that `n` filters of a known distribution have in its bins.

    Parameters
    ----------
    n : int
    pooled : ndarray of int64
        (components, bins), counts of so many filters that they are as good as the distribution.
    span : (float, float)
    """
    from scipy import stats

    share = pooled / pooled.sum(-1, keepdims=True)
    empty = _EPS * (span[1] - span[0]) / pooled.shape[-1]
    found = np.zeros((3, 3, *share.shape))
    few = (share > 0) & (share * n <= _MANY)
    if few.any():
        count = np.arange(min(n, _TOP) + 1)
        weight = np.asarray(stats.binom.pmf(count, n, share[few][:, None]))
        _fill(found, few, np.where(count > 0, count / n, empty), weight)
    many = share * n > _MANY
    if many.any():
        own = share[many][:, None]
        value = own + np.sqrt(own * (1 - own) / n) * _NODES
        _fill(found, many, np.maximum(value, 0.5 / n), _NORMAL)
    return found


def _fill(found: Floats, where: npt.NDArray[np.bool_], value: Floats, weight: Floats) -> None:
    log = np.log(value)
    for a in range(3):
        for b in range(3):
            found[a, b][where] = (weight * value**a * log**b).sum(-1)


def floor_of_shares(p: Shares, q: Shares, weights: Floats) -> Floor:
    """Return the drift to expect between two samples whose shares have these moments."""
    mean = p[1, 1] - p[1, 0] * q[0, 1] - q[1, 0] * p[0, 1] + q[1, 1]
    square = np.zeros_like(mean)
    binomial = (1.0, -2.0, 1.0)
    for a in range(3):  # (P - Q)^2
        for b in range(3):  # (log P - log Q)^2
            square += binomial[a] * binomial[b] * p[a, b] * q[2 - a, 2 - b]
    return _gamma(mean, square, weights)
