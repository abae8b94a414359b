"""How the coefficients of filters are spread along the principal components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.filterdb.pca import PCA

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BINS", "Coefficients", "densities", "probabilities"]

BINS = 70
"""Bins of a histogram, as in the paper."""

_EPS = float(np.finfo(np.float32).eps)

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Histograms of the coefficients of each group, or layer.

    Attributes
    ----------
    names : tuple of str
        Of the groups.
    counts : ndarray of int64
        (groups, components, bins).
    pca : PCA
        The basis.
    span : (float, float)
        Where the bins begin and end, the same for all groups and components.
    by : str
        What the groups are of.
    """

    names: tuple[str, ...]
    counts: Counts = field(repr=False)
    pca: PCA = field(repr=False)
    span: tuple[float, float]
    by: str = "layer"

    @property
    def edges(self) -> Floats:
        """(bins + 1,), the edges of the bins."""
        return np.linspace(*self.span, self.counts.shape[2] + 1)

    @property
    def n(self) -> Counts:
        """(groups,), the number of filters in each."""
        return self.counts[:, 0].sum(1)

    @property
    def density(self) -> Floats:
        """(groups, components, bins), whose integral over the span is 1; NaN of no filters."""
        return densities(self.counts, self.span)

    def to_frame(self) -> pd.DataFrame:
        """Give a row for each group, component and bin, with its count and density."""
        import pandas as pd

        groups, components, bins = self.counts.shape
        index = cast(Any, pd.MultiIndex).from_product(
            [range(groups), range(components), range(bins)], names=["group", "component", "bin"]
        )
        frame = cast(Any, pd.DataFrame)(
            {"count": self.counts.ravel(), "density": self.density.ravel()}, index=index
        ).reset_index()
        frame["group"] = np.asarray(self.names, dtype=object)[frame["group"]]
        frame.insert(3, "low", self.edges[frame["bin"]])
        frame.insert(4, "high", self.edges[frame["bin"] + 1])
        return frame

    def plot(self, ax: Sequence[Axes] | None = None) -> Figure:
        """Draw a ridge for each group in one column for each component."""
        from convlens.filterdb.plots import plot_ridges

        return plot_ridges(self, ax)

    def __repr__(self) -> str:
        low, high = self.span
        return (
            f"Coefficients({int(self.n.sum()):,} filters in {len(self.names)} groups by "
            f"{self.by}, {self.counts.shape[2]} bins from {low:.3g} to {high:.3g})"
        )


def densities(counts: Counts, span: tuple[float, float]) -> Floats:
    """Turn counts into densities over the span: their integral is 1."""
    width = (span[1] - span[0]) / counts.shape[-1] or 1.0
    with np.errstate(invalid="ignore"):
        return counts / (counts.sum(-1, keepdims=True) * width)


def probabilities(counts: Counts, span: tuple[float, float]) -> Floats:
    """Turn counts into probabilities none of which is zero: empty bins get float32's eps.

    Parameters
    ----------
    counts : ndarray of int64
        (..., bins).
    span : (float, float)
        The eps is put on the density over it, and the whole is normalised then.
    """
    density = densities(counts, span)
    density[density == 0] = _EPS
    return density / density.sum(-1, keepdims=True)
