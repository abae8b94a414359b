"""Pictures of result objects, by matplotlib: loaded only when one is asked for.

Figures are made without pyplot, so that nothing global changes and a worker thread may draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from convlens.filters import Filters, Scale, Sort
    from convlens.scores import LayerQuality, Quality

__all__ = ["Picture", "figure_of", "new_axes", "plot_filters", "plot_quality"]

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

ENTROPY, SPARSE = "#2a78c2", "#d06a00"
FOREGROUND, MUTED, LINE, EDGE = "#1b1f24", "#5f6873", "#dfe3e8", "#b9c1ca"
GOOD_BAND, RANDOM_BAND = "#e8f4ec", "#fbeaea"

_SHOWN = 64  # outputs and inputs in a gallery


class Picture(Figure):
    """A figure that a notebook shows as it is, whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        data = BytesIO()
        self.savefig(data, format="png", dpi=144, bbox_inches="tight")
        return data.getvalue()


def new_figure(
    size: tuple[float, float], layout: Literal["constrained"] | None = "constrained"
) -> Picture:
    """Make a figure of `size` inches that belongs to nobody."""
    figure = Picture(figsize=size, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def new_axes(size: tuple[float, float]) -> Axes:
    """Make a figure of `size` inches with one set of axes, and return those."""
    axes = new_figure(size).add_subplot()
    sns.despine(ax=axes)
    return axes


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes belong to."""
    figure = axes.figure
    while isinstance(figure, SubFigure):
        figure = figure.figure
    return figure


def plot_quality(quality: Quality, ax: Axes | Sequence[Axes] | None = None) -> Figure:
    """Draw entropy, and below it sparsity, of the layers in order."""
    layers = [layer for layer in quality.layers if layer.reason is None and layer.taps > 1]
    if ax is None:
        figure = new_figure((float(np.clip(0.16 * len(layers), 7.5, 16)), 4.6))
        grid = GridSpec(2, 1, figure, height_ratios=(1.6, 1))
        upper = figure.add_subplot(grid[0])
        places: list[Axes] = [upper, figure.add_subplot(grid[1], sharex=upper)]
    else:
        places = [ax] if isinstance(ax, Axes) else list(ax)
    _entropy_bars(places[0], layers)
    if len(places) > 1:
        _sparsity_bars(places[1], layers, quality.eps)
    left_out = len(quality.layers) - len(layers)
    note = f"{left_out} layer{'s' * (left_out > 1)} without patterns left out" if left_out else ""
    _stages(places[-1], [layer.key for layer in layers], note)
    return figure_of(places[0])


def _entropy_bars(axes: Axes, layers: Sequence[LayerQuality]) -> None:
    values = [layer.entropy_share or 0.0 for layer in layers]
    top = max(1.12, *values, 0) * 1.02 if values else 1.15
    axes.axhspan(0.8, 1.0, color=GOOD_BAND, linewidth=0, zorder=0)
    axes.axhspan(1.0, top, color=RANDOM_BAND, linewidth=0, zorder=0)
    for value, word, above in (
        (1.0, "like random", True),
        (0.9, "diverse", False),
        (0.5, "redundant", False),
    ):
        axes.axhline(value, color=EDGE, linewidth=0.8, zorder=1)
        axes.annotate(
            word,
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(5, 1 if above else 0),
            textcoords="offset points",
            va="bottom" if above else "center",
            color=MUTED,
            fontsize=8,
        )
    axes.bar(range(len(values)), values, color=ENTROPY, width=0.8, zorder=2)
    axes.set(ylim=(0, top), yticks=[0, 0.5, 0.9, 1.0])
    _plain(axes, len(layers), "Variance entropy, of what random filters have")


def _sparsity_bars(axes: Axes, layers: Sequence[LayerQuality], eps: float) -> None:
    values = [100 * (layer.sparsity or 0.0) for layer in layers]
    axes.bar(range(len(values)), values, color=SPARSE, width=0.8, zorder=2)
    axes.set_ylim(0, max(5.0, 1.1 * max(values, default=0)))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.yaxis.grid(visible=True, color=LINE, zorder=0)
    title = f"Sparsity, share of filters below {100 * eps:g} % of the largest weight"
    _plain(axes, len(layers), title)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10, fontweight="bold", color=FOREGROUND)


def _plain(axes: Axes, count: int, title: str) -> None:
    _title(axes, title)
    axes.set_axisbelow(True)
    axes.set_xlim(-0.6, max(count, 1) - 0.4)
    axes.set_xticks([])
    sns.despine(ax=axes, left=True, bottom=True)
    axes.tick_params(length=0, labelsize=8, labelcolor=MUTED)


def _stages(axes: Axes, names: Sequence[str], note: str) -> None:
    """Name runs of layers under the axis; a name that does not fit beside the others is left out.

    Names are never turned: every bar has one in `to_frame`, here the parts of the net matter.
    """
    figure = figure_of(axes)
    figure.draw_without_rendering()  # the layout, and with it the width, is settled when drawn
    width = axes.get_window_extent().width / figure.dpi * 72 or 1.0
    unit = width / max(len(names), 1)  # points for each bar
    below = axes.get_xaxis_transform()
    text: dict[str, Any] = {
        "va": "top",
        "color": MUTED,
        "fontsize": 8,
        "clip_on": False,
        "transform": below,
    }
    free = -np.inf
    for label, start, stop in stages(names):
        gap = max(0.1, 1.5 / unit)
        left, right = start - 0.5 + gap, stop - 0.5 - gap
        axes.plot(
            [left, right],
            [-0.05, -0.05],
            transform=below,
            color=EDGE,
            linewidth=1.2,
            clip_on=False,
        )
        centre, half = (left + right) / 2, len(label) * 5.0 / 2 / unit
        if centre - half >= free:
            axes.text(centre, -0.09, label, ha="center", **text)
            free = centre + half + 4 / unit
    if note:
        axes.text(max(len(names), 1) - 0.6, -0.24, note, ha="right", **text)


def stages(names: Sequence[str], most: int = 14) -> list[tuple[str, int, int]]:
    """Group neighbouring layers by the start of their names.

    What all names share is left out; then as many parts of the names are used as give the most
    groups up to `most`. The front end groups alike.

    Parameters
    ----------
    names : sequence of str
        Dotted names, in order.
    most : int, default 14
        Not more groups than this, unless the first part alone makes more.

    Returns
    -------
    list of (label, start, stop)
    """
    split = [name.split(".") for name in names]
    shared = 0
    shortest = min((len(parts) for parts in split), default=1)
    while shared < shortest - 1 and len({parts[shared] for parts in split}) == 1:
        shared += 1
    found = _runs(split, shared, 1)
    for depth in range(2, 5):
        finer = _runs(split, shared, depth)
        if len(finer) > most or len(finer) > len(names) / 2 or len(found) >= 3:
            break
        found = finer
    return found


def _runs(split: Sequence[Sequence[str]], shared: int, depth: int) -> list[tuple[str, int, int]]:
    labels = [".".join(parts[shared : shared + depth]) for parts in split]
    found: list[tuple[str, int, int]] = []
    for label, run in groupby(labels):
        start = found[-1][2] if found else 0
        found.append((label, start, start + len(list(run))))
    return found


def plot_filters(filters: Filters, *, sort: Sort, scale: Scale | float, eps: float) -> Figure:
    """Draw the first filters of a layer and, above them, its eigenimages."""
    chosen, columns = _first(filters, sort)
    tiles = _tiles(filters.rows[chosen] / _limits(filters, chosen, scale)[:, None], filters.kernel)
    gallery, frames = _gallery(tiles, columns, filters.sparse(eps)[chosen])
    images = _tiles(filters.eigenimages[:9].reshape(-1, tiles[0].size), filters.kernel)
    # In inches, from the top: the eigenimages under their title, the gallery under its own.
    wide, small = 7.5, 0.62
    tall = float(np.clip(wide * gallery.shape[0] / gallery.shape[1], 0.4, 9))
    side = small * tiles.shape[2] / max(tiles.shape[1:])
    strip = small * tiles.shape[1] / max(tiles.shape[1:]) + 0.75 if len(images) else 0.0
    figure = new_figure((wide + 0.2, strip + tall + 0.4), layout=None)
    top = figure.get_figheight()
    text: dict[str, Any] = {"fontsize": 10, "fontweight": "bold", "color": FOREGROUND, "va": "top"}
    if len(images):
        heading = "Basis filters and the variance they explain"
        figure.text(0.1 / (wide + 0.2), 1 - 0.08 / top, heading, **text)
    for place, image in enumerate(images):
        left = 0.1 + (side + 0.12) * place
        axes = _at(figure, left, top - strip + 0.45, side, strip - 0.75)
        _eigenimage(axes, image, filters.explained_variance[place])
    caption = _caption(filters, len(chosen), sort, eps)
    figure.text(0.1 / (wide + 0.2), 1 - (strip + 0.08) / top, caption, **text)
    axes = _at(figure, 0.1, 0.05, wide, tall)
    axes.imshow(gallery, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor=SPARSE, linewidth=0.8))
    axes.set_axis_off()
    axes.set_anchor("NW")
    return figure


def _at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Make axes at a place in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def _first(filters: Filters, sort: Sort) -> tuple[Places, int]:
    """Choose which filters to draw, in rows of how many."""
    out, inputs = filters.weights.shape[:2]
    if sort == "position":
        rows, columns = min(out, _SHOWN), min(inputs, _SHOWN)
        places = cast(Places, np.arange(out * inputs).reshape(out, inputs)[:rows, :columns])
        # A layer of few inputs: several outputs side by side.
        beside = max(1, round(math.sqrt(rows / columns)))
        return places.reshape(-1), columns * beside
    order = filters.order(sort)
    columns = min(_SHOWN, math.ceil(math.sqrt(len(order))))
    return order[: columns * _SHOWN], columns


def _gallery(
    tiles: Floats, columns: int, sparse: npt.NDArray[np.bool_]
) -> tuple[Floats, list[Rectangle]]:
    """Lay tiles (n, height, width) out in one picture, NaN between them; frame the sparse."""
    fine = max(1, 8 // max(tiles.shape[1:]))  # pixels for a weight, so that a gap is narrower
    tiles = np.repeat(np.repeat(tiles, fine, axis=1), fine, axis=2)
    count, height, width = tiles.shape
    gap = 1 if fine < 3 else 2
    down, across = height + gap, width + gap
    rows = math.ceil(count / columns)
    padded = np.full((rows * columns, down, across), np.nan, np.float32)
    padded[:count, :height, :width] = tiles
    grid = cast(Floats, padded.reshape(rows, columns, down, across).swapaxes(1, 2))
    picture = grid.reshape(rows * down, columns * across)
    frames = [
        Rectangle((at % columns * across - 0.5, at // columns * down - 0.5), width, height)
        for at in np.flatnonzero(sparse).tolist()
    ]
    return picture, frames


def _tiles(rows: Floats, kernel: tuple[int, ...]) -> Floats:
    """Return filters (n, K) as pictures (n, height, width); slices of deeper ones side by side."""
    if len(kernel) < 2:
        return rows[:, np.newaxis]
    *deep, height, width = kernel
    slices = rows.reshape(len(rows), math.prod(deep), height, width)
    beside = cast(Floats, slices.swapaxes(1, 2))
    return beside.reshape(len(rows), height, math.prod(deep) * width)


def _eigenimage(axes: Axes, image: Floats, share: float) -> None:
    limit = float(np.abs(image).max()) or 1.0
    axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(f"{100 * share:.0f} %", fontsize=8, color=MUTED)
    sns.despine(ax=axes, left=True, bottom=True)


def _caption(filters: Filters, shown: int, sort: Sort, eps: float) -> str:
    whole, inputs = len(filters.rows), filters.weights.shape[1]
    count = f"{shown:,} of {whole:,}" if shown < whole else f"{whole:,}"
    by = f"by output, {inputs} inputs each" if sort == "position" else f"by {sort}"
    noun = "filters" if filters.kernel else "weights"
    return f"{filters.key}: {count} {noun}, {by}; framed: below {100 * eps:g} % of the largest"


def _limits(filters: Filters, chosen: Places, scale: Scale | float) -> Floats:
    """Return the value that is full colour for each filter."""
    if scale == "filter":
        limits = filters.peaks[chosen]
    else:
        limit = filters.max_abs if isinstance(scale, str) else scale
        limits = np.full(len(chosen), limit, np.float32)
    return np.where(limits > 0, limits, np.float32(1))
