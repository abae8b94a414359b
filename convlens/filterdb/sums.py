"""Means and scatter matrices that add up over chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Sums", "merged"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sums:
    """Count, mean and scatter of a set of filters.

    Attributes
    ----------
    n : int
    mean : ndarray of float64
        (taps,).
    scatter : ndarray of float64
        (taps, taps), the sum of (x - mean)(x - mean)^T.
    """

    n: int
    mean: Floats
    scatter: Floats

    @classmethod
    def none(cls, taps: int) -> Sums:
        """Of no filters."""
        return cls(0, np.zeros(taps), np.zeros((taps, taps)))

    def plus(self, other: Sums) -> Sums:
        """Join two sets, exactly.

        M2 = M2a + M2b + d d^T n_a n_b / (n_a + n_b), d the difference of the means (T. Chan,
        G. Golub and R. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances", 1979).

        Examples
        --------
        >>> one = Sums(1, np.array([1.0]), np.zeros((1, 1)))
        >>> two = one.plus(Sums(1, np.array([3.0]), np.zeros((1, 1))))
        >>> float(two.mean[0]), float(two.scatter[0, 0])
        (2.0, 2.0)
        """
        if other.n == 0:
            return self
        if self.n == 0:
            return other
        n = self.n + other.n
        apart = other.mean - self.mean
        return Sums(
            n,
            self.mean + apart * (other.n / n),
            self.scatter + other.scatter + np.outer(apart, apart) * (self.n * other.n / n),
        )


def merged(parts: Iterable[Sums], taps: int) -> Sums:
    """Join many sets, two by two, so that rounding errors do not pile up."""
    waiting = [part for part in parts if part.n]
    while len(waiting) > 1:
        pairs = zip(waiting[::2], waiting[1::2], strict=False)
        odd = waiting[-1:] if len(waiting) % 2 else []
        waiting = [one.plus(other) for one, other in pairs] + odd
    return waiting[0] if waiting else Sums.none(taps)
