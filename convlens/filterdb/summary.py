"""A database in brief: basis, histograms and quantile bands, in a file of some 100 kB."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from convlens.errors import ArgumentError, nearest
from convlens.filterdb.coefficients import Coefficients
from convlens.filterdb.errors import FilterDBError
from convlens.filterdb.pca import PCA

__all__ = ["BANDS", "DEPTHS", "Summary", "depth_group", "shipped"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

DEPTHS = np.linspace(0, 1, 11)
"""Normalised depths at which bands are given, each of the layers within 0.1 of it."""

REACH = 0.1

QUANTILES = np.linspace(0, 1, 101)

BANDS = ("sparsity", "entropy")
"""Figures that have bands; entropy is that of random filters' share."""

_NAME = "summary.npz"


@dataclass(frozen=True, eq=False)
class Summary:
    """What a model's filters can be compared with where the database itself is not at hand.

    Attributes
    ----------
    title : str
        Of what it is a summary; to be shown wherever it is used.
    pca : PCA
        The basis.
    span : (float, float)
        Of the bins.
    groups : tuple of str
        ``"all"``, ``"depth 0.0"`` to ``"depth 1.0"`` (layers within 0.1 of it), and those of a
        column if one was asked for.
    counts : ndarray of int64
        (groups, components, bins).
    bands : ndarray of float64
        (figures, depths, quantiles): of `BANDS` at each of `DEPTHS` the quantiles from 0 to 1 in
        steps of 0.01; NaN where there is no layer.
    layers : ndarray of int64
        (depths,), how many layers each band is of.
    models : int
    """

    title: str
    pca: PCA = field(repr=False)
    span: tuple[float, float]
    groups: tuple[str, ...] = field(repr=False)
    counts: Counts = field(repr=False)
    bands: Floats = field(repr=False)
    layers: Counts = field(repr=False)
    models: int

    def coefficients(self, *groups: str) -> Coefficients:
        """Return the histograms of some groups; default: of all of them."""
        names = groups or self.groups
        for name in names:
            if name not in self.groups:
                raise ArgumentError(
                    f"The summary has no group {name!r}.{nearest(name, self.groups)}"
                )
        places = [self.groups.index(name) for name in names]
        return Coefficients(tuple(names), self.counts[places], self.pca, self.span, "group")

    def band(self, figure: str, low: float = 0.05, high: float = 0.95) -> Floats:
        """Return quantiles of a figure at each of `DEPTHS`.

        Parameters
        ----------
        figure : str
            ``"sparsity"`` or ``"entropy"``.
        low, high : float
            Of the two outer quantiles.

        Returns
        -------
        ndarray
            (3, depths): low, median, high.
        """
        bands = self.bands[_band(figure)]
        return np.stack([bands[:, round(100 * q)] for q in (low, 0.5, high)])

    def rank(self, figure: str, depth: float, value: float) -> float:
        """Return the share of layers at a depth whose figure is lower; half of the equal ones too.

        Parameters
        ----------
        figure : str
            ``"sparsity"`` or ``"entropy"``.
        depth : float
            Normalised, from 0 to 1.
        value : float

        Returns
        -------
        float
            From 0 to 1; NaN where there is nothing to compare with.
        """
        place = int(np.argmin(np.abs(DEPTHS - depth)))
        quantiles: Floats = self.bands[_band(figure), place]
        if not np.isfinite(value) or not np.isfinite(quantiles).all():
            return float("nan")
        below = int(np.searchsorted(quantiles, value, side="left"))
        above = int(np.searchsorted(quantiles, value, side="right"))
        if below < above:  # equal to some
            return float((below + above - 1) / 2 / 100)
        if below in (0, len(quantiles)):
            return 0.0 if below == 0 else 1.0
        low, high = quantiles[below - 1], quantiles[below]
        return float((below - 1 + (value - low) / (high - low)) / 100)

    def save(self, path: str | Path) -> None:
        """Write everything to an ``.npz`` file: arrays and JSON, nothing pickled."""
        header = {
            "title": self.title,
            "groups": self.groups,
            "models": self.models,
            "n": self.pca.n,
            "left_out": self.pca.left_out,
            "kernel": self.pca.kernel,
            "span": self.span,
        }
        arrays = {
            "components": self.pca.components,
            "mean": self.pca.mean,
            "variance": self.pca.explained_variance,
            "counts": self.counts,
            "bands": self.bands.astype(np.float32),
            "layers": self.layers,
        }
        with Path(path).open("wb") as file:
            np.savez_compressed(file, header=np.array(json.dumps(header)), **cast(Any, arrays))

    @classmethod
    def load(cls, path: str | Path) -> Summary:
        """Read what `save` wrote.

        Raises
        ------
        FilterDBError
            If this is no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
            header: dict[str, Any] = json.loads(str(arrays["header"]))
            pca = PCA(
                arrays["components"],
                arrays["mean"],
                arrays["variance"],
                int(header["n"]),
                int(header["left_out"]),
                (int(header["kernel"][0]), int(header["kernel"][1])),
            )
            return cls(
                str(header["title"]),
                pca,
                (float(header["span"][0]), float(header["span"][1])),
                tuple(header["groups"]),
                arrays["counts"],
                arrays["bands"].astype(np.float64),
                arrays["layers"],
                int(header["models"]),
            )
        except FileNotFoundError as error:
            raise FilterDBError(f"There is no file {str(path)!r}.") from error
        except (KeyError, ValueError, TypeError, OSError, EOFError) as error:
            raise FilterDBError(f"{str(path)!r} holds no Summary that save() wrote.") from error

    def __repr__(self) -> str:
        return (
            f"Summary({self.title!r}: {self.models} models, {self.pca.n:,} filters, "
            f"{len(self.groups)} groups)"
        )


def shipped() -> Summary:
    """Return the summary that comes with convlens: of small networks that the project trained.

    It is there so that the Drift view has something to show without a download. It is no sample
    of the world's networks; make one of a real database with ``FilterDB.summary()``.

    Examples
    --------
    >>> shipped().title
    'small networks trained by the convlens project, not a sample of the world'
    """
    with resources.as_file(resources.files("convlens.filterdb") / _NAME) as path:
        return Summary.load(path)


def depth_group(depth: float) -> str:
    """Return the name of the group of layers about a normalised depth.

    Examples
    --------
    >>> depth_group(0.33)
    'depth 0.3'
    """
    return f"depth {DEPTHS[int(np.argmin(np.abs(DEPTHS - depth)))]:.1f}"


def _band(figure: str) -> int:
    if figure not in BANDS:
        raise ArgumentError(f"figure must be {' or '.join(BANDS)}, not {figure!r}.")
    return BANDS.index(figure)
