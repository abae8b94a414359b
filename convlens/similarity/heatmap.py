"""The heatmap of a Similarity, in matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convlens.similarity.measures import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from convlens.similarity.result import Similarity

_LABELS = 40  # as many fit beside a figure; of more layers, every other, third, ... is named


def draw(similarity: Similarity, ax: Axes | None, *, fit: bool) -> Figure:
    """Draw on `ax`, or on a new figure that pyplot does not know; cells without a value hatched."""
    from matplotlib.patches import Rectangle

    from convlens.plotting import figure_of, new_figure

    rows, columns = similarity.matrix.shape
    if ax is None:
        size = (1.5 + 0.16 * min(columns, 60), 1.5 + 0.16 * min(rows, 60))
        ax = new_figure((max(4.5, size[0]), max(3.6, size[1]))).add_subplot()
    low, high = _range(similarity, fit=fit)
    image: Any = ax.imshow(
        np.ma.masked_invalid(similarity.matrix),
        cmap="magma",
        vmin=low,
        vmax=high,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    hatch: dict[str, Any] = {"hatch": "////", "facecolor": "none", "edgecolor": "0.6", "lw": 0}
    for i, j in np.argwhere(np.isnan(similarity.matrix)).tolist():
        ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **hatch))
    _name(ax.set_xticks, similarity.columns, rotation=90)
    _name(ax.set_yticks, similarity.rows)
    ax.set_xlabel(similarity.reference)
    ax.set_ylabel(similarity.model)
    ax.set_title(similarity.estimator, fontsize="small")
    ax.figure.colorbar(image, ax=ax, label=MEASURES[similarity.measure].title)
    return figure_of(ax)


def _range(similarity: Similarity, *, fit: bool) -> tuple[float, float]:
    values = similarity.matrix[np.isfinite(similarity.matrix)]
    distance = MEASURES[similarity.measure].identical == 0
    if values.size and (fit or distance):
        return (0.0 if distance and not fit else float(values.min())), float(values.max())
    return 0.0, 1.0


def _name(set_ticks: Any, keys: Sequence[str], **style: Any) -> None:
    step = -(-len(keys) // _LABELS) or 1
    places = list(range(0, len(keys), step))
    set_ticks(places, [keys[place] for place in places], fontsize="x-small", **style)
