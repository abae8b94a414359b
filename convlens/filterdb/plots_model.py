"""A model's layers against a database, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from convlens.filterdb.model_drift import ModelDrift
from convlens.filterdb.summary import BANDS, DEPTHS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_model"]


def plot_model(found: ModelDrift, axes: Any = None) -> Figure:
    """Draw drift over the layers with its floor; below, entropy and sparsity in their bands."""
    import seaborn as sns

    from convlens.plotting import figure_of, new_figure

    if axes is None:
        axes = cast(Any, new_figure((7.2, 6.6))).subplots(3, 1)
    place = np.arange(len(found.layers))
    top = axes[0]
    frame = cast(Any, found.to_frame())
    top.bar(place, frame["drift"], color=np.where(frame["is_noise"], "#b9c1ca", "#2a78c2"))
    top.plot(place, frame["floor"], "_", color="#1b1f24", markersize=9, label="floor: noise")
    top.vlines(place, frame["floor"], frame["floor_high"], color="#1b1f24", linewidth=0.8)
    top.set_xticks(place, frame.index, rotation=90, fontsize="xx-small")
    top.set_ylabel("drift")
    top.set_title(f"{found.model} against {found.summary.title}", fontsize="small", loc="left")
    top.legend(fontsize="x-small", frameon=False)
    for ax, name in zip(axes[1:], reversed(BANDS), strict=False):
        low, median, high = found.summary.band(name)
        ax.fill_between(DEPTHS, low, high, color="#e8f4ec", label="5 % to 95 % of layers")
        ax.plot(DEPTHS, median, color="#7fb795", linewidth=1)
        ax.scatter(frame["depth_norm"], frame[name], s=16, color="#2a78c2", zorder=3)
        ax.set_ylabel(name)
    axes[-1].set_xlabel("normalised depth of the convolution")
    axes[1].legend(fontsize="x-small", frameon=False)
    for ax in axes:
        sns.despine(ax=ax)
    return figure_of(top)
