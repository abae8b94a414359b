"""Make the summary of a part of a database."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from convlens.filterdb import grouping
from convlens.filterdb.coefficients import BINS, Coefficients
from convlens.filterdb.job import Tick
from convlens.filterdb.measuring import measure_coefficients
from convlens.filterdb.part import Part
from convlens.filterdb.quality import measure_quality, share_of_random
from convlens.filterdb.scan import Running
from convlens.filterdb.summary import DEPTHS, QUANTILES, REACH, Summary

__all__ = ["measure_summary", "summary_of"]

_FEWEST = 16  # filters that a layer needs to count in a band: the entropy of fewer is mostly n


def measure_summary(
    part: Part, running: Running, title: str | None = None, by: str | None = None, bins: int = BINS
) -> Generator[Tick, None, Summary]:
    """Measure everything that a summary holds."""
    quality = yield from measure_quality(part, running)
    found = yield from measure_coefficients(part, running, "layer", bins=bins)
    frame = part.frame()
    groups: dict[str, npt.NDArray[np.int64]] = {}
    if by is not None:
        names, places = grouping.groups_of(frame, by)
        groups = dict(zip(names, places, strict=True))
    return summary_of(
        found,
        cast(Any, quality.frame).reset_index(drop=True),
        part.layout.path.name if title is None else title,
        groups,
    )


def summary_of(
    found: Coefficients, figures: Any, title: str, groups: dict[str, npt.NDArray[np.int64]]
) -> Summary:
    """Put together the histograms and figures of layers.

    Parameters
    ----------
    found : Coefficients
        A row for each layer.
    figures : DataFrame
        Likewise, with `model_id`, `conv_depth_norm`, `sparsity` and the entropies.
    title : str
    groups : mapping of str to ndarray
        Further groups, by the places of their layers.
    """
    depth = figures["conv_depth_norm"].to_numpy(dtype=float)
    near = [np.flatnonzero(np.abs(depth - place) <= REACH + 1e-9) for place in DEPTHS]
    named = {"all": np.arange(len(figures))}
    named |= {f"depth {place:.1f}": rows for place, rows in zip(DEPTHS, near, strict=True)}
    named |= groups
    counts = np.stack([found.counts[rows].sum(0) for rows in named.values()])
    enough = figures["filters"].to_numpy() >= _FEWEST
    values = [figures["sparsity"].to_numpy(dtype=float), share_of_random(figures).to_numpy()]
    bands = np.full((len(values), len(DEPTHS), len(QUANTILES)), np.nan)
    layers = np.zeros(len(DEPTHS), dtype=np.int64)
    for place, rows in enumerate(near):
        kept = rows[enough[rows]]
        layers[place] = len(kept)
        for figure, column in enumerate(values):
            known = column[kept][np.isfinite(column[kept])]
            if len(known):
                bands[figure, place] = np.quantile(known, QUANTILES)
    return Summary(
        title,
        found.pca,
        found.span,
        tuple(named),
        counts,
        bands,
        layers,
        int(figures["model_id"].nunique()),
    )
