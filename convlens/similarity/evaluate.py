"""Every row with every column, under one measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from convlens.similarity import profiles
from convlens.similarity.linalg import on_threads
from convlens.similarity.measures import Measure, Profile, Values
from convlens.similarity.profiles import Sample

__all__ = ["evaluate"]

_LARGE = 1 << 20  # elements of which one layer keeps all threads busy, and copies take memory


def evaluate(
    measure: Measure,
    rows: Sequence[Sample],
    columns: Sequence[Sample],
    values: Values,
) -> tuple[Tensor, Tensor | None, dict[int, str], dict[int, str]]:
    """Compare every row with every column.

    Parameters
    ----------
    measure : Measure
    rows, columns : sequence of Sample
        The same object twice for a model with itself, which then costs half.
    values : mapping
        Of the parameters, complete.

    Returns
    -------
    matrix, reverse
        float64 (rows, columns) on the CPU, NaN where there is no value; `reverse` is the other
        direction of a directed measure, else None.
    row_reasons, column_reasons
        By position, why a layer has no value.
    """
    first, row_reasons = _profiles(measure, rows, values)
    same = columns is rows
    second, column_reasons = (first, row_reasons) if same else _profiles(measure, columns, values)
    matrix = torch.full((len(rows), len(columns)), math.nan, dtype=torch.float64)
    reverse = matrix.clone() if measure.directed else None
    # Layers can only be compared over the same samples: positions may differ in number.
    for size in sorted({rows[i].n for i in first} & {columns[j].n for j in second}):
        these = [i for i in first if rows[i].n == size]
        those = these if same else [j for j in second if columns[j].n == size]
        left = [first[i] for i in these]
        right = left if same else [second[j] for j in those]
        found, back = measure.combine(left, right)
        at = torch.tensor(these)[:, None], torch.tensor(those)[None, :]
        matrix[at] = found
        if reverse is not None and back is not None:
            reverse[at] = back
    return matrix, reverse, row_reasons, column_reasons


def _profiles(
    measure: Measure, samples: Sequence[Sample], values: Values
) -> tuple[dict[int, Profile], dict[int, str]]:
    found: dict[int, Profile] = {}
    reasons: dict[int, str] = {}
    calls = [(partial(_profile, measure, sample, values), _elements(sample)) for sample in samples]
    for place, profile in enumerate(on_threads(calls)):
        if isinstance(profile, str):
            reasons[place] = profile
        else:
            found[place] = profile
    return found, reasons


def _elements(sample: Sample) -> int:
    """Return how many elements its profile is made of; 0 where all threads should make it."""
    values = sample.features if sample.gram is None else sample.gram.values
    if values is None or values.device.type != "cpu" or values.numel() > _LARGE:
        return 0
    return values.numel()


def _profile(measure: Measure, sample: Sample, values: Values) -> Profile | str:
    """Return the profile, or why there is none."""
    if sample.n < 4:
        return f"{sample.n} samples: at least 4 are needed"
    try:
        return measure.profile(sample, values)
    except profiles.UnscoredError as reason:
        return str(reason)
