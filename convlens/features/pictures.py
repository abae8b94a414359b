"""Grids of pictures, in matplotlib and HTML."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from convlens.features.result import Features

__all__ = ["draw_features", "draw_grid", "png_html"]

_ACROSS = 8
_SHOWN = 64
_MUTED = "#5f6873"


def draw_features(features: Features, ax: Axes | None) -> Figure:
    """Draw every picture with its channel and what it reached."""
    titles = [
        f"{channel}: never fires" if reason else f"{channel}: {value:.3g}"
        for channel, value, reason in zip(
            features.channels, features.activation, features.reasons, strict=True
        )
    ]
    faded = [reason is not None for reason in features.reasons]
    across = features.variants if 1 < features.variants <= _ACROSS else _ACROSS
    title = f"{features.layer}, {features.objective}"
    return draw_grid(list(features.pictures), titles, ax, across=across, title=title, faded=faded)


def draw_grid(
    pictures: Sequence[npt.NDArray[Any]],
    titles: Sequence[str],
    ax: Axes | None,
    *,
    title: str,
    across: int = _ACROSS,
    faded: Sequence[bool] = (),
    cmap: str = "gray",
    limits: tuple[float, float] = (0, 255),
) -> Figure:
    """Draw pictures in rows of `across`, each under its title; no more than fit a page.

    Parameters
    ----------
    pictures : sequence of ndarray
        (h, w, 3), (h, w, 1) or (h, w), sizes may differ.
    titles : sequence of str
    ax : matplotlib Axes or None
        Drawn upon; None makes a new figure.
    """
    from convlens.plotting import figure_of, new_figure

    count = min(len(pictures), max(_SHOWN, across))
    across = max(1, min(across, count))
    rows = math.ceil(count / across)
    if ax is None:
        ax = new_figure((1.1 * across + 0.2, 1.3 * rows + 0.4)).add_subplot()
    ax.axis("off")
    left = f" (first {count} of {len(pictures)})" if count < len(pictures) else ""
    ax.set_title(title + left, loc="left", fontsize=10, fontweight="bold")
    for place in range(count):
        row, column = divmod(place, across)
        box = (column / across, 1 - (row + 0.98) / rows, 0.94 / across, 0.8 / rows)
        inset = ax.inset_axes(box)
        picture = pictures[place]
        if picture.ndim == 3 and picture.shape[2] == 1:
            picture = picture[..., 0]
        dim = 0.35 if place < len(faded) and faded[place] else 1.0
        inset.imshow(
            picture, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest", alpha=dim
        )
        inset.set_title(titles[place], fontsize=7, color=_MUTED, pad=2)
        inset.set(xticks=[], yticks=[])
        for spine in inset.spines.values():
            spine.set_visible(False)
    return figure_of(ax)


def png_html(figure: Any, said: str, notes: Sequence[str]) -> str:
    """Return a figure as HTML, with a line above and notes below."""
    data = base64.b64encode(figure._repr_png_()).decode("ascii")
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    picture = f'<img alt="{escape(said)}" src="data:image/png;base64,{data}">'
    return f"<p>{escape(said)}</p>{picture}" + (f"<ul>{items}</ul>" if items else "")
