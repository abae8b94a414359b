"""The principal components of a set of filters."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.errors import ArgumentError
from convlens.filterdb.sums import Sums

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PCA", "pca_of"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PCA:
    """Principal components of filters that were each divided by their largest weight.

    Attributes
    ----------
    components : ndarray of float64
        (taps, taps), one component a row, that of the greatest variance first; of each the largest
        loading is positive.
    mean : ndarray of float64
        (taps,), of the scaled filters.
    explained_variance : ndarray of float64
        (taps,), variance along each component, with n - 1.
    n : int
        Filters.
    left_out : int
        Filters left out since they hold a NaN or an infinity.
    kernel : (int, int)
        Size of a filter.
    """

    components: Floats = field(repr=False)
    mean: Floats = field(repr=False)
    explained_variance: Floats = field(repr=False)
    n: int
    left_out: int
    kernel: tuple[int, int]

    @property
    def explained_variance_ratio(self) -> Floats:
        """(taps,), the shares of the variance, which sum to 1; all 0 where nothing varies."""
        whole = self.explained_variance.sum()
        return self.explained_variance / whole if whole else np.zeros_like(self.mean)

    @property
    def eigenimages(self) -> Floats:
        """(taps, height, width), the components as pictures."""
        return self.components.reshape(-1, *self.kernel)

    def to_frame(self) -> pd.DataFrame:
        """Give a row for each component: its share of the variance, and its loadings."""
        import pandas as pd

        height, width = self.kernel
        taps = [f"({row}, {column})" for row in range(height) for column in range(width)]
        frame = cast(Any, pd.DataFrame(self.components, columns=pd.Index(taps)))
        frame.insert(0, "explained_variance_ratio", self.explained_variance_ratio)
        return frame.rename_axis("component")

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the eigenimages, each with its share of the variance."""
        from convlens.filterdb.plots import plot_eigenimages

        return plot_eigenimages(self, ax)

    def __repr__(self) -> str:
        shares = ", ".join(f"{share:.1%}" for share in self.explained_variance_ratio[:3])
        left = f", {self.left_out:,} left out" if self.left_out else ""
        height, width = self.kernel
        return f"PCA({self.n:,} filters of {height} x {width}{left}: {shares}, ...)"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.to_frame().round(3).to_html()}"


def pca_of(sums: Sums, left_out: int, kernel: tuple[int, int]) -> PCA:
    """Turn count, mean and scatter into principal components.

    Raises
    ------
    ArgumentError
        If there are fewer than two filters.
    """
    if sums.n < 2:
        bad = f" ({left_out:,} hold NaN or infinity)" if left_out else ""
        raise ArgumentError(
            f"Principal components need at least 2 filters, and there {_are(sums.n)}{bad}: "
            "select more."
        )
    values, vectors = np.linalg.eigh(sums.scatter / (sums.n - 1))
    values = cast(Any, np.clip(values[::-1], 0, None))
    components = cast(Any, vectors).T[::-1]
    largest = np.abs(components).argmax(1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return PCA(
        components=np.ascontiguousarray(components * signs[:, None]),
        mean=sums.mean,
        explained_variance=np.ascontiguousarray(values),
        n=sums.n,
        left_out=left_out,
        kernel=kernel,
    )


def _are(n: int) -> str:
    return "is 1" if n == 1 else "are none"
