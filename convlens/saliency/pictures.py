"""The maps of a Saliency, in matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from convlens.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from convlens.saliency.result import Floats, Saliency

__all__ = ["draw"]

_SHOWN = 24  # inputs in one figure
_COLUMNS = 6


def draw(
    saliency: Saliency, ax: Axes | None, inputs: Any, *, shared: bool, percentile: float
) -> Figure:
    """Draw on `ax`, side by side, or on a new figure that pyplot does not know."""
    from convlens.plotting import figure_of, new_figure

    if not 0 < percentile <= 100:
        raise ArgumentError(f"percentile is {percentile!r}; it must be above 0 and at most 100.")
    maps = saliency.map()[:_SHOWN]
    grey = None if inputs is None else _grey(inputs, saliency)[:_SHOWN]
    limits = _limits(maps, shared=shared, percentile=percentile)
    signed = bool((maps < 0).any())
    if ax is not None:
        _show(
            ax,
            np.hstack(list(maps)),
            None if grey is None else np.hstack(list(grey)),
            float(limits.max()),
            signed,
        )
        return figure_of(ax)
    columns = min(_COLUMNS, len(maps))
    lines = -(-len(maps) // columns)
    figure = new_figure((1.5 * columns + 0.9, 1.7 * lines + 0.5))
    axes = np.atleast_1d(np.asarray(figure.subplots(lines, columns, squeeze=False))).ravel()
    image: Any = None
    for i, one in enumerate(axes):
        if i >= len(maps):
            one.axis("off")
            continue
        under = None if grey is None else grey[i]
        image = _show(one, maps[i], under, float(limits[i]), signed)
        one.set_title(_caption(saliency, i), fontsize="x-small")
    figure.suptitle(repr(saliency), fontsize="x-small")
    if shared:
        figure.colorbar(image, ax=list(axes), shrink=0.8)
    return figure


def _show(ax: Axes, values: Floats, under: Floats | None, limit: float, signed: bool) -> Any:
    if under is not None:
        ax.imshow(under, cmap="gray", interpolation="nearest")
    image = ax.imshow(
        values,
        cmap="RdBu_r" if signed else "magma",
        vmin=-limit if signed else 0.0,
        vmax=limit,
        alpha=0.7 if under is not None else None,
        interpolation="nearest",
    )
    ax.set_xticks([])
    ax.set_yticks([])
    return image


def _limits(maps: Floats, *, shared: bool, percentile: float) -> Floats:
    sizes = np.abs(maps).reshape(len(maps), -1)
    if shared:
        return np.full(len(maps), max(float(np.percentile(sizes, percentile)), 1e-30), np.float32)
    return np.maximum(np.percentile(sizes, percentile, axis=1), 1e-30).astype(np.float32)


def _caption(saliency: Saliency, i: int) -> str:
    if saliency.target is None:
        return saliency.target_name if saliency.channel is None else f"channel {saliency.channel}"
    words = f"class {saliency.target[i]}"
    if saliency.score is not None:
        words += f", score {saliency.score[i]:.3g}"
    return words


def _grey(inputs: Any, saliency: Saliency) -> Floats:
    values = inputs.detach().cpu().numpy() if isinstance(inputs, Tensor) else np.asarray(inputs)
    if values.shape[1:] != saliency.input_shape or len(values) < len(saliency):
        sizes = " x ".join(str(size) for size in values.shape)
        wanted = " x ".join(str(size) for size in saliency.input_shape)
        raise ArgumentError(
            f"inputs are {sizes}; they must be the {len(saliency)} inputs of {wanted} that the "
            "maps are of."
        )
    return values.mean(1).astype(np.float32)
