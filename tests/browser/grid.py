"""Finds the filters in a picture of a gallery by its gaps, and reads the colours of their taps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float64]
Interval = tuple[int, int]

LABELS = 20
"""Pixels above the filters, where the inputs are numbered."""

OUTLINES = 4
"""Pixels that the outline of a sparse filter may add to it, on both sides together."""


@dataclass(frozen=True)
class Grid:
    """Where the rows and the columns of filters begin and end, in device pixels."""

    pixels: Pixels
    rows: list[Interval]
    columns: list[Interval]


def find_grid(pixels: Pixels, ground: Sequence[int]) -> Grid:
    """Find the filters as what lies between lines of nothing but ground.

    The line of labels above the filters is left out, and what is left of them has another size:
    filters are the intervals of the most frequent length.
    """
    drawn = (np.abs(pixels - np.asarray(ground, float)).max(2) > 0).astype(bool)
    drawn[:LABELS] = False
    rows = _most_alike(_intervals(drawn[:, drawn.shape[1] // 8 :].any(1)))
    columns = _most_alike(_intervals(drawn[rows[0][0] : rows[-1][1]].any(0)))
    return Grid(pixels, rows, columns)


def taps_of(grid: Grid, height: int, width: int) -> Pixels:
    """Return the colour in the middle of each tap: (rows, columns, height, width, 3)."""
    y = _middles(grid.rows, height)
    x = _middles(grid.columns, width)
    return grid.pixels[y[:, None, :, None], x[None, :, None, :]]


def _intervals(filled: npt.NDArray[np.bool_]) -> list[Interval]:
    steps = np.flatnonzero(np.diff(np.concatenate(([0], filled.astype(int), [0]))))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def _most_alike(intervals: list[Interval]) -> list[Interval]:
    lengths = [end - start for start, end in intervals]
    usual = max(set(lengths), key=lambda length: (lengths.count(length), length))
    return [pair for pair in intervals if abs(pair[1] - pair[0] - usual) <= OUTLINES]


def _middles(intervals: list[Interval], taps: int) -> npt.NDArray[np.int64]:
    parts = (np.arange(taps) + 0.5) / taps
    bounds = np.asarray(intervals, float)
    return np.floor(bounds[:, :1] + (bounds[:, 1:] - bounds[:, :1]) * parts).astype(np.int64)
