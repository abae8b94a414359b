"""What the cloud of a layer's coefficients looks like: the paper's sun, spikes, symbol, point."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.filterdb.coefficients import Coefficients
from convlens.filterdb.job import Tick
from convlens.filterdb.measuring import measure_coefficients
from convlens.filterdb.part import Part
from convlens.filterdb.quality import measure_quality
from convlens.filterdb.scan import Running

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PHENOTYPES", "Phenotypes", "classify", "measure_phenotype"]

Floats = npt.NDArray[np.float64]

PHENOTYPES = {
    "sun": "one round cloud: ordinary",
    "spikes": "hot spots in the cloud: few kinds of filters, low diversity",
    "symbol": "several clouds, or one beside the centre",
    "point": "most filters are next to nothing: sparsity",
    "unclear": "too few filters to tell",
}

FEWEST = 128
"""Filters below which a histogram of 70 bins is mostly noise."""

_POINT = 0.5  # sparsity
_SPIKES = 0.15  # share of filters above a smooth curve, beyond what chance puts there
_BIMODAL = 5 / 9  # Sarle's coefficient of a uniform distribution
_BESIDE = 0.6  # standard deviations from the centre of all filters


@dataclass(frozen=True, eq=False)
class Phenotypes:
    """A word for each layer, and the figures behind it.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row for each layer: `phenotype`, and `sparsity`, `spikes` (share of filters in bins
        above a smooth curve through their neighbours, less what chance puts there), `bimodality`
        (Sarle's coefficient), `off_centre` (distance from the mean of all filters in standard
        deviations), each the largest along a component, weighted by its variance.
    """

    frame: pd.DataFrame = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Give a copy of `frame`."""
        return cast(Any, self.frame).copy()

    @property
    def counts(self) -> dict[str, int]:
        """Layers of each phenotype."""
        found = cast(Any, self.frame)["phenotype"].value_counts().to_dict()
        return {name: int(found[name]) for name in PHENOTYPES if name in found}

    def __repr__(self) -> str:
        return f"Phenotypes({', '.join(f'{n} {name}' for name, n in self.counts.items())})"


def measure_phenotype(
    part: Part, running: Running, **options: Any
) -> Generator[Tick, None, Phenotypes]:
    """Tell the phenotype of every layer.

    The paper gives the four in words and pictures; the thresholds here are ours.
    """
    quality = yield from measure_quality(part, running)
    coefficients = yield from measure_coefficients(part, running, "layer", **options)
    frame = part.frame()
    figures = classify(coefficients, cast(Any, quality.frame)["sparsity"].to_numpy())
    for name, values in figures.items():
        frame[name] = values
    return Phenotypes(frame)


def classify(found: Coefficients, sparsity: Floats) -> dict[str, list[Any]]:
    """Return phenotype and figures of each row of histograms."""
    middle = (found.edges[1:] + found.edges[:-1]) / 2
    n = found.n.astype(np.float64)
    weights = found.pca.explained_variance_ratio / found.pca.explained_variance_ratio.max()
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = found.counts / n[:, None, None]
        mean = shares @ middle
        apart = middle - mean[..., None]
        variance = (shares * apart**2).sum(-1)
        skew = (shares * apart**3).sum(-1) / variance**1.5
        kurtosis = (shares * apart**4).sum(-1) / variance**2
        bimodality = (((skew**2 + 1) / kurtosis) * (weights > 0.25)).max(1)
        beside = (np.abs(mean) / np.sqrt(found.pca.explained_variance) * weights).max(1)
    spikes = (_spikes(found) * weights).max(1)
    words: list[str] = []
    for row, size in enumerate(n.tolist()):
        if size < FEWEST:
            words.append("unclear")
        elif sparsity[row] >= _POINT:
            words.append("point")
        elif spikes[row] > _SPIKES:
            words.append("spikes")
        elif bimodality[row] > _BIMODAL or beside[row] > _BESIDE:
            words.append("symbol")
        else:
            words.append("sun")
    return {
        "phenotype": words,
        "sparsity": sparsity.tolist(),
        "spikes": spikes.tolist(),
        "bimodality": bimodality.tolist(),
        "off_centre": beside.tolist(),
    }


def _spikes(found: Coefficients) -> Floats:
    """Return the share of filters above a curve smoothed over 2.5 bins, less that of chance."""
    bins = found.counts.shape[-1]
    places = cast(Any, np.arange(bins))
    apart = np.subtract.outer(places, places)
    kernel = np.exp(-0.5 * (apart / 2.5) ** 2)
    kernel = kernel / kernel.sum(0)
    n = np.maximum(found.n, 1)[:, None, None]
    smooth = found.counts @ kernel
    above = np.clip(found.counts - smooth, 0, None).sum(-1)
    # of a Poisson count of mean m, half of E|count - m|: about sqrt(m / 2 pi)
    chance = np.sqrt(smooth / (2 * np.pi)).sum(-1)
    return np.clip(above - chance, 0, None) / n[..., 0]
