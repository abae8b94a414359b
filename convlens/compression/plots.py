"""Pictures of what compression did: loaded only when one is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import seaborn as sns
from matplotlib.gridspec import GridSpec

from convlens.compression.changes import LayerChange
from convlens.plotting import (
    EDGE,
    ENTROPY,
    FOREGROUND,
    MUTED,
    SPARSE,
    figure_of,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from convlens.compression.result import CompressionReport

__all__ = ["draw_report"]

_TITLES = {
    "cost": "Share of the output lost when this layer alone is compressed",
    "output_sqnr": "Output SQNR, all compressed (dB)",
    "isolated_sqnr": "Output SQNR, this layer alone compressed (dB)",
    "weight_sqnr": "Weight SQNR (dB)",
    "output_cosine": "Cosine of the outputs",
    "cka": "CKA with the reference",
    "exact_zeros": "Share of weights that are 0",
}
_MOST = 24  # bars in a ranking


def draw_report(report: CompressionReport, ax: Axes | None, *, by: str) -> Figure:
    """Draw the ranking, and beside it accumulated and isolated error and CKA over depth."""
    rows = report.ranking(by)[:_MOST]
    if ax is not None:
        _ranking(ax, rows, by)
        return figure_of(ax)
    figure = new_figure((11, max(4.2, 0.24 * len(rows) + 1.4)))
    grid = GridSpec(2, 2, figure, width_ratios=(1, 1.15))
    _ranking(figure.add_subplot(grid[:, 0]), rows, by)
    upper = figure.add_subplot(grid[0, 1])
    _depth(upper, figure.add_subplot(grid[1, 1], sharex=upper), report.layers)
    figure.suptitle(report.summary(), fontsize=9, color=MUTED)
    return figure


def _ranking(axes: Axes, rows: Sequence[LayerChange], by: str) -> None:
    values = [float(getattr(row, by)) for row in rows]
    shown = [value if math.isfinite(value) else 0.0 for value in values]
    axes.barh(range(len(rows)), shown, color=SPARSE, height=0.75)
    axes.set_yticks(range(len(rows)), [row.key for row in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_title(_TITLES[by], fontsize=9, color=FOREGROUND, loc="left")
    for place, value in enumerate(values):
        if math.isinf(value):
            axes.annotate("unchanged", (0, place), fontsize=7, color=MUTED, va="center")
    sns.despine(ax=axes)


def _depth(upper: Axes, lower: Axes, layers: Sequence[LayerChange]) -> None:
    depth = range(len(layers))
    for name, colour, label in (
        ("output_sqnr", ENTROPY, "all compressed (accumulated)"),
        ("isolated_sqnr", SPARSE, "this layer alone"),
    ):
        values = [getattr(layer, name) for layer in layers]
        finite = [value if math.isfinite(value) else math.nan for value in values]
        upper.plot(depth, finite, "o-", color=colour, label=label, markersize=3, linewidth=1.2)
    upper.set_title("SQNR of each layer's output (dB)", fontsize=9, loc="left")
    upper.legend(fontsize=7, frameon=False)
    cka = [layer.cka for layer in layers]
    error = [0.0 if math.isnan(layer.cka_stderr) else layer.cka_stderr for layer in layers]
    lower.errorbar(depth, cka, error, fmt="o-", color=ENTROPY, markersize=3, linewidth=1.2)
    lower.axhline(1, color=EDGE, linewidth=0.8)
    upper.tick_params(labelbottom=False)
    lower.set_title("CKA with the reference", fontsize=9, loc="left")
    lower.set_xticks(depth, [layer.key for layer in layers], rotation=90, fontsize=6)
    sns.despine(ax=upper)
    sns.despine(ax=lower)
