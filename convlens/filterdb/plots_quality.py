"""The paper's figures of quality: against depth, and as boxes by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from convlens.filterdb import grouping
from convlens.filterdb.quality import DatabaseQuality, share_of_random

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_boxes", "plot_depth"]

_GROUPS = 8  # colours that can be told apart


def plot_depth(
    quality: DatabaseQuality, by: str = "all", axes: Sequence[Axes] | None = None
) -> Figure:
    """Draw entropy, and below it sparsity, of each layer against its normalised depth."""
    import seaborn as sns

    from convlens.plotting import figure_of, new_figure

    frame = cast(Any, quality.frame).copy()
    frame["entropy, of random filters'"] = share_of_random(frame)
    names, places = grouping.groups_of(frame, by)
    if axes is None:
        axes = cast("Sequence[Axes]", cast(Any, new_figure((6.4, 5.2))).subplots(2, 1, sharex=True))
    colours = cast("list[Any]", sns.color_palette("colorblind", _GROUPS))
    for ax, name in zip(axes, ("entropy, of random filters'", "sparsity"), strict=False):
        for number, (group, rows) in enumerate(zip(names, places, strict=True)):
            part = frame.iloc[rows]
            style: dict[str, Any] = {"s": 14, "alpha": 0.6, "linewidth": 0}
            colour = colours[number % _GROUPS]
            ax.scatter(part["conv_depth_norm"], part[name], color=[colour], label=group, **style)
        ax.set_ylabel(name)
        sns.despine(ax=ax)
    axes[-1].set_xlabel("normalised depth of the convolution")
    if 1 < len(names) <= _GROUPS:
        axes[0].legend(fontsize="x-small", frameon=False)
    return figure_of(axes[0])


def plot_boxes(
    quality: DatabaseQuality, by: str, figure: str = "sparsity", ax: Axes | None = None
) -> Figure:
    """Draw a box of one figure over the layers of each group."""
    import seaborn as sns

    from convlens.plotting import figure_of, new_axes

    frame = cast(Any, quality.frame).copy()
    grouping.check_column(frame, figure)
    names, places = grouping.groups_of(frame, by)
    if ax is None:
        ax = new_axes((5.6, 0.34 * len(names) + 1.2))
    values = [frame[figure].iloc[rows].dropna().to_numpy() for rows in places]
    cast(Any, sns).boxplot(data=values, orient="h", ax=ax, color="#7aa6d6", fliersize=2)
    ax.set_yticks(range(len(names)), names, fontsize="x-small")
    ax.set_xlabel(figure.replace("_", " "))
    return figure_of(ax)
