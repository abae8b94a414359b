"""What can be measured of a part of a database: as generators that yield after every chunk."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np

from convlens.errors import ArgumentError, nearest
from convlens.filterdb import grouping
from convlens.filterdb.coefficients import BINS, Coefficients
from convlens.filterdb.drift import Drift, drift_of
from convlens.filterdb.job import Tick
from convlens.filterdb.kernels import Extremes, Histograms, Moments, sums_at
from convlens.filterdb.part import Part
from convlens.filterdb.pca import PCA, pca_of
from convlens.filterdb.scan import Running
from convlens.filterdb.summary import Summary
from convlens.filterdb.sums import merged

__all__ = ["measure_coefficients", "measure_drift", "measure_pca", "measure_span"]

Span = tuple[float, float]


def measure_pca(part: Part, running: Running) -> Generator[Tick, None, PCA]:
    """Find the principal components."""
    state = yield from part.measured(Moments(part.taps), running)
    sums = merged((sums_at(state, row) for row in part.rows.tolist()), part.taps)
    return pca_of(sums, int(state["left_out"][part.rows].sum()), part.kernel)


def measure_span(part: Part, running: Running, pca: PCA) -> Generator[Tick, None, Span]:
    """Find the least and the greatest coefficient."""
    state = yield from part.measured(Extremes(pca.components, pca.mean), running)
    low = float(state["low"][part.rows].min(initial=np.inf))
    high = float(state["high"][part.rows].max(initial=-np.inf))
    if low > high:
        raise ArgumentError("None of these filters is finite, so that nothing can be counted.")
    # as NumPy does where all values are one
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def measure_coefficients(
    part: Part,
    running: Running,
    by: str = "layer",
    pca: PCA | None = None,
    span: Span | None = None,
    bins: int = BINS,
) -> Generator[Tick, None, Coefficients]:
    """Count the coefficients in bins, by group."""
    names, places = grouping.groups_of(part.frame(), by)
    _check_bins(bins, span)
    if pca is None:
        pca = yield from measure_pca(part, running)
    if pca.kernel != part.kernel:
        raise ArgumentError(
            f"These filters are {part.kernel[0]} x {part.kernel[1]}, and the basis is of "
            f"{pca.kernel[0]} x {pca.kernel[1]}."
        )
    if span is None:
        span = yield from measure_span(part, running, pca)
    kernel = Histograms(pca.components, pca.mean, (float(span[0]), float(span[1])), bins)
    state = yield from part.measured(kernel, running)
    counts = np.stack([state["counts"][part.rows[rows]].sum(0) for rows in places])
    return Coefficients(tuple(names), counts, pca, kernel.span, by)


def measure_drift(
    part: Part,
    running: Running,
    by: str = "model",
    against: Part | Summary | str | None = None,
    pca: PCA | None = None,
    span: Span | None = None,
    bins: int = BINS,
) -> Generator[Tick, None, Drift]:
    """Compare groups with each other, with one of them, or with other filters."""
    reference: Coefficients | None = None
    if isinstance(against, Summary):
        pca, span, bins = against.pca, against.span, against.counts.shape[2]
        reference = against.coefficients("all")
    elif isinstance(against, Part):
        if pca is None:
            pca = yield from measure_pca(against, running)
        if span is None:
            one = yield from measure_span(part, running, pca)
            other = yield from measure_span(against, running, pca)
            span = min(one[0], other[0]), max(one[1], other[1])
        reference = yield from measure_coefficients(against, running, "all", pca, span, bins)
    found = yield from measure_coefficients(part, running, by, pca, span, bins)
    if isinstance(against, str):
        if against not in found.names:
            raise ArgumentError(
                f"No group by {by!r} is called {against!r}.{nearest(against, found.names)}"
            )
        place = found.names.index(against)
        reference = replace(found, names=(against,), counts=found.counts[place : place + 1])
    empty = int((found.n == 0).sum())
    return drift_of(found, reference, (f"{empty} groups hold no finite filter",) if empty else ())


def _check_bins(bins: object, span: Any) -> None:
    if isinstance(bins, bool) or not isinstance(bins, int) or not 2 <= bins <= 1000:
        raise ArgumentError(f"bins must be a whole number from 2 to 1000, not {bins!r}.")
    if span is not None and not (len(span) == 2 and span[0] < span[1]):
        raise ArgumentError(f"span must be (low, high) with low < high, not {span!r}.")
