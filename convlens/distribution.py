"""How a layer's weights, and the peaks of its filters, are spread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convlens import measures
from convlens.errors import ArgumentError
from convlens.layers import Layer, find_layers

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 61
"""Bins of the histogram of weights; odd, so that zero lies in the middle of one."""

PEAK_BINS = 64
LOWEST_PEAK = -4.0
"""log10 below which a filter's peak falls into the first bin."""

_HUGE = 1e38  # limit of weights whose range float32 cannot hold
_CACHED = 1 << 17  # peaks that stay in a core's cache from one operation to the next


@dataclass(frozen=True, eq=False, repr=False)
class Distribution:
    """Histograms of one layer.

    Attributes
    ----------
    layer : str
        Key of the layer.
    n : int
        Number of filters counted.
    not_finite : int
        Number of further filters that hold NaN or infinity; they are left out.
    limit : float
        max |W|. The histogram of weights covers [-limit, limit].
    weights : ndarray of int64
        Counts, (61,).
    peaks : ndarray of int64
        Counts of filters by log10(max_j |w_ij| / max |W|), (64,), over [-4, 0];
        filters below -4, exact zeros among them, are in the first bin. A filter is sparse at
        `eps` where this value is below log10(eps).
    """

    layer: str
    n: int
    not_finite: int
    limit: float
    weights: npt.NDArray[np.int64]
    peaks: npt.NDArray[np.int64]

    @property
    def weight_edges(self) -> npt.NDArray[np.float64]:
        """Edges of the bins of `weights`, shape (62,)."""
        return np.linspace(-self.limit, self.limit, BINS + 1)

    @property
    def peak_edges(self) -> npt.NDArray[np.float64]:
        """Edges of the bins of `peaks` in log10, shape (65,)."""
        return np.linspace(LOWEST_PEAK, 0, PEAK_BINS + 1)

    def __repr__(self) -> str:
        return f"Distribution({self.layer!r}, {self.n:,} filters, weights within ±{self.limit:.3g})"

    def to_frame(self) -> pd.DataFrame:
        """Give the counts as a frame with columns of, low, high, count."""
        import pandas as pd

        parts = [
            pd.DataFrame({"of": of, "low": edges[:-1], "high": edges[1:], "count": counts})
            for of, edges, counts in (
                ("weights", self.weight_edges, self.weights),
                ("peaks", self.peak_edges, self.peaks),
            )
        ]
        return pd.concat(parts, ignore_index=True)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the histogram of the weights.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; by default a new figure's.
        """
        from convlens.plotting import figure_of, new_axes

        ax = ax if ax is not None else new_axes((5, 2.6))
        ax.stairs(self.weights, self.weight_edges, fill=True)
        ax.set(xlabel=f"weights of {self.layer}", ylabel="count")
        return figure_of(ax)


def measure_distribution(model: nn.Module, layer: str | int) -> Distribution:
    """Histogram a layer's effective weights and the peaks of its filters.

    Parameters
    ----------
    model : torch.nn.Module
        Any model with layers that hold weights.
    layer : str or int
        Key, name or index of the layer.

    Returns
    -------
    Distribution

    Raises
    ------
    UnknownLayerError
        With the nearest names.
    ArgumentError
        Where the layer has no readable weights.

    Examples
    --------
    >>> from torch import nn
    >>> measure_distribution(nn.Sequential(nn.Conv2d(3, 8, 3)), 0).n
    24
    """
    return distribution_of(find_layers(model)[layer])


def distribution_of(layer: Layer) -> Distribution:
    """Do the same for a layer at hand."""
    if layer.reason is not None:
        raise ArgumentError(f"{layer.key} has no distribution: {layer.reason}.")
    weight = layer.weight()
    with measures.undisturbed(weight):
        return _distribution_of(layer.key, measures.as_rows(weight))


def _distribution_of(key: str, filters: Tensor) -> Distribution:
    n = len(filters)
    # quicker than to ask every weight; a sum that overflows has them asked too
    look = measures.look_at(filters) if filters.numel() else None
    if look is None:
        peaks = filters.new_zeros(0)
    elif math.isfinite(look.l1):
        peaks = look.peaks
    else:
        filters = filters[filters.isfinite().all(dim=1)]
        peaks = filters.abs().amax(dim=1)
    limit = float(peaks.max()) if len(peaks) else 0.0
    return Distribution(
        key,
        len(peaks),
        n - len(peaks),
        limit,
        _histogram(filters, -limit, limit, BINS),
        _peak_histogram(peaks, limit),
    )


def _peak_histogram(peaks: Tensor, limit: float) -> npt.NDArray[np.int64]:
    counts = np.zeros(PEAK_BINS, dtype=np.int64)
    # in parts that stay in the cache: fresh memory costs more than a logarithm
    for part in measures.parts(peaks, _CACHED if peaks.device.type == "cpu" else len(peaks) or 1):
        # an all-zero layer has its filters in the first bin, where every exact zero is
        heights = (part / limit).log10_().clamp_(min=LOWEST_PEAK) if limit else part + LOWEST_PEAK
        counts += _histogram(heights, LOWEST_PEAK, 0.0, PEAK_BINS)
    return counts


def _histogram(values: Tensor, low: float, high: float, bins: int) -> npt.NDArray[np.int64]:
    if low == high:  # histc would choose a range of its own
        counts = np.zeros(bins, dtype=np.int64)
        counts[bins // 2] = values.numel()
        return counts
    # histc counts and divides in the dtype of its input: float32 is exact up to 2^24 a bin
    beyond = values.numel() >= 1 << 24 or high > _HUGE
    wide = values.double() if beyond and values.device.type != "mps" else values
    return torch.histc(wide, bins=bins, min=low, max=high).long().cpu().numpy()
