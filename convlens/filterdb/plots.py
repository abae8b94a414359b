"""The figures of the paper, by matplotlib and seaborn: loaded only when one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from convlens.filterdb.coefficients import Coefficients

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from convlens.filterdb.drift import Drift
    from convlens.filterdb.pca import PCA

__all__ = [
    "plot_drift",
    "plot_eigenimages",
    "plot_explained_variance",
    "plot_pairs",
    "plot_ridges",
]

_GRID = 240  # points of a smoothed density
_RIDGES = 24  # as many fit below each other


def plot_eigenimages(pca: PCA, ax: Axes | None = None) -> Figure:
    """Draw the components in a row, dark for negative loadings, each with its share of variance."""
    from convlens.plotting import figure_of, new_figure

    if ax is None:
        ax = new_figure((1.1 * len(pca.mean) + 0.4, 1.6)).add_subplot()
    height, width = pca.kernel
    gap = 0.35
    limit = float(np.abs(pca.components).max()) or 1.0
    for number, image in enumerate(pca.eigenimages):
        left = number * (width + gap)
        ax.imshow(
            image, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=(left, left + width, 0, height)
        )
        share = f"{pca.explained_variance_ratio[number]:.1%}"
        ax.text(left + width / 2, -0.15, share, ha="center", va="top", fontsize="small")
    ax.set(xlim=(0, len(pca.mean) * (width + gap) - gap), ylim=(-0.9, height))
    ax.set_axis_off()
    return figure_of(ax)


def plot_explained_variance(groups: dict[str, PCA], ax: Axes | None = None) -> Figure:
    """Draw the cumulative share of the variance over the components, a line for each group."""
    from convlens.plotting import figure_of, new_axes

    if ax is None:
        ax = new_axes((5.2, 3.4))
    for name, pca in groups.items():
        shares = np.cumsum(pca.explained_variance_ratio)
        ax.plot(np.arange(1, len(shares) + 1), shares, marker=".", label=name)
    ax.set(xlabel="components", ylabel="explained variance, cumulative", ylim=(0, 1.02))
    ax.legend(fontsize="x-small", frameon=False)
    return figure_of(ax)


def plot_ridges(found: Coefficients, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw each group's density along each component as a ridge above the next.

    Densities are smoothed by a Gaussian kernel with Silverman's bandwidth, from the histogram.
    """
    import seaborn as sns

    from convlens.plotting import figure_of, new_figure

    rows = np.flatnonzero(found.n > 0)[:_RIDGES]
    components = found.counts.shape[1]
    if axes is None:
        size = (1.25 * components + 1.6, 0.42 * max(len(rows), 2) + 1.0)
        axes = cast(Any, new_figure(size)).subplots(1, components, sharex=True, sharey=True)
        axes = cast("Sequence[Axes]", np.atleast_1d(cast(Any, axes)).tolist())
    grid = np.linspace(*found.span, _GRID)
    colours = cast("list[Any]", sns.color_palette("viridis", max(len(rows), 1)))
    for component, ax in enumerate(axes):
        for place, row in enumerate(rows.tolist()):
            curve = smoothed(found, row, component, grid)
            base = -float(place)
            height = base + 1.6 * curve / (curve.max() or 1.0)
            ax.fill_between(grid, base, height, color=colours[place], alpha=0.8, zorder=place)
            ax.plot(grid, height, color="white", linewidth=0.8, zorder=place)
        ax.set_title(f"v{component + 1}", fontsize="small")
        ax.set_xlim(*found.span)
        ax.tick_params(labelsize="x-small")
        sns.despine(ax=ax, left=True)
    first = axes[0]
    first.set_yticks([-float(place) for place in range(len(rows))])
    labels: list[str] = [found.names[int(row)] for row in rows]
    first.set_yticklabels(labels, fontsize="x-small")
    return figure_of(first)


def smoothed(found: Coefficients, row: int, component: int, grid: Any) -> Any:
    """Return the density of one group along one component at the points of a grid.

    Silverman, Density Estimation (1986), bandwidth 0.9 min(sd, IQR / 1.34) n^(-1/5), with every
    filter at the middle of its bin.
    """
    counts = found.counts[row, component]
    middle = (found.edges[1:] + found.edges[:-1]) / 2
    n = counts.sum()
    mean = (counts * middle).sum() / n
    deviation = float(np.sqrt((counts * (middle - mean) ** 2).sum() / n))
    shares = np.cumsum(counts) / n
    quartiles = np.interp([0.25, 0.75], shares, middle)
    spread = min(deviation, float(quartiles[1] - quartiles[0]) / 1.34) or deviation
    width = max(0.9 * spread * float(n) ** -0.2, (found.edges[1] - found.edges[0]) / 2)
    kernel = np.exp(-0.5 * ((grid[:, None] - middle) / width) ** 2)
    return kernel @ counts / (n * width * np.sqrt(2 * np.pi))


def plot_drift(drift: Drift, ax: Axes | None = None) -> Figure:
    """Draw the matrix with alike groups beside each other; what is noise is hatched."""
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    from convlens.plotting import figure_of, new_figure

    rows = columns = list(range(len(drift.rows)))
    if drift.rows == drift.columns:
        rows = columns = _alike(drift.matrix)
    else:
        columns = list(range(len(drift.columns)))
    values = drift.matrix[np.ix_(rows, columns)]
    noise = drift.is_noise[np.ix_(rows, columns)]
    if ax is None:
        size = (2.4 + 0.28 * min(len(columns), 40), 1.6 + 0.28 * min(len(rows), 40))
        ax = new_figure((max(4.0, size[0]), max(2.4, size[1]))).add_subplot()
    shown = np.where(values > 0, values, np.nan)
    known = shown[np.isfinite(shown)]
    norm = LogNorm(known.min(), max(known.max(), known.min() * 1.01)) if known.size else None
    image = cast(Any, ax).imshow(
        np.ma.masked_invalid(shown), cmap="magma", norm=norm, aspect="auto"
    )
    hatch: dict[str, Any] = {"hatch": "////", "facecolor": "none", "edgecolor": "0.7", "lw": 0}
    for i, j in np.argwhere(noise).tolist():
        ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **hatch))
    for across in (True, False):
        ticks = cast(Any, ax.set_xticks if across else ax.set_yticks)
        places, names = (columns, drift.columns) if across else (rows, drift.rows)
        step = -(-len(places) // 40) or 1
        chosen = list(range(0, len(places), step))
        turned: dict[str, Any] = {"rotation": 90} if across else {}
        labels = [names[places[place]] for place in chosen]
        ticks(chosen, labels, fontsize="x-small", **turned)
    ax.set_title("Drift; hatched: no more than noise", fontsize="small", loc="left")
    ax.figure.colorbar(image, ax=ax, label="symmetric KL, weighted")
    return figure_of(ax)


def _alike(matrix: Any) -> list[int]:
    """Order groups so that alike ones are neighbours: leaves of an average-linkage tree."""
    from scipy.cluster import hierarchy
    from scipy.spatial import distance

    if len(matrix) < 3:
        return list(range(len(matrix)))
    largest = float(np.nanmax(matrix, initial=0.0))
    full = cast(Any, np.where(np.isfinite(matrix), matrix, largest))
    full = np.clip((full + full.T) / 2, 0, None)
    np.fill_diagonal(full, 0.0)
    tree = cast(Any, hierarchy).linkage(distance.squareform(full), "average", optimal_ordering=True)
    return [int(leaf) for leaf in cast(Any, hierarchy).leaves_list(tree)]


def plot_pairs(
    counts: Any, span: tuple[float, float], names: tuple[str, str], ax: Axes | None = None
) -> Figure:
    """Draw how two coefficients occur together, on a logarithmic scale.

    Parameters
    ----------
    counts : ndarray
        (bins, bins), the first component downwards.
    span : (float, float)
    names : (str, str)
        Of the two components.
    ax : Axes, optional
    """
    from matplotlib.colors import LogNorm

    from convlens.plotting import figure_of, new_axes

    if ax is None:
        ax = new_axes((4.2, 3.6))
    shown = cast(Any, np.where(counts > 0, counts, np.nan)).T
    image = cast(Any, ax).imshow(
        shown, origin="lower", extent=(*span, *span), norm=LogNorm(1, max(2, counts.max()))
    )
    ax.set(xlabel=names[0], ylabel=names[1])
    ax.figure.colorbar(image, ax=ax, label="filters")
    return figure_of(ax)
