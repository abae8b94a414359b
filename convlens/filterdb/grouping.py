"""Take layers by what is said of them, and split them into groups."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.errors import ArgumentError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_column", "groups_of", "model_names", "queried"]

Places = npt.NDArray[np.int64]

_MANY = 20  # different numbers, from which on they are put into ranges
_RANGES = 10


def check_column(frame: Any, name: object) -> str:
    """Return the name of a column, or raise ArgumentError with those that there are."""
    names = [str(column) for column in frame.columns]
    if not isinstance(name, str) or name not in names:
        near = nearest(name, names)
        raise ArgumentError(
            f"There is no column {name!r}.{near or ' There are ' + ', '.join(names[:12]) + '.'}"
        )
    return name


def queried(frame: Any, query: str) -> Any:
    """Return the rows that meet a query, at least one.

    Raises
    ------
    ArgumentError
        If the query cannot be read, or no row meets it.
    """
    try:
        kept: Any = frame.query(query, engine="python")
    except Exception as error:  # pandas and its parser raise nearly anything
        names = ", ".join(str(column) for column in frame.columns[:12])
        raise ArgumentError(
            f"The query {query!r} cannot be answered ({type(error).__name__}: {error}); the "
            f"columns are {names}."
        ) from error
    if not len(kept):
        raise ArgumentError(f"No layer meets {query!r}: look at .layers for what there is.")
    return kept


def groups_of(frame: Any, by: str, bins: int | None = None) -> tuple[list[str], list[Places]]:
    """Name the groups of a column, and say which rows of `frame`, by place, are in each.

    Parameters
    ----------
    frame : pandas.DataFrame
        Layers.
    by : str
        A column, or ``"all"``, ``"model"``, ``"layer"``.
    bins : int, optional
        Ranges of equal width for numbers.

    Raises
    ------
    ArgumentError
        If there is no such column.
    """
    import pandas as pd

    if by == "all":
        return ["all"], [np.arange(len(frame))]
    if by == "layer" and "layer" not in frame.columns:
        depth = frame["conv_depth"].astype(str)
        return _unique(model_names(frame) + " " + depth), [np.array([i]) for i in range(len(frame))]
    if by == "layer":
        names = model_names(frame) + " " + frame["layer"].astype(str)
        return _unique(names), [np.array([i]) for i in range(len(frame))]
    if by == "model" and "model" not in frame.columns:
        keys = cast(Any, model_names(frame))
    else:
        keys = frame[check_column(frame, by)]
    numbers = pd.api.types.is_float_dtype(keys) and keys.notna().any()
    if bins is not None and not pd.api.types.is_numeric_dtype(keys):
        raise ArgumentError(f"bins is for numbers, and {by!r} holds text: leave it out.")
    if bins is not None or (numbers and keys.nunique() > _MANY):
        count = _RANGES if bins is None else bins
        edges = np.linspace(float(keys.min()), float(keys.max()), count + 1)
        labels = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges.tolist())]
        above = cast(Any, np.searchsorted(edges, keys.to_numpy(), side="right"))
        place = np.clip(above - 1, 0, count - 1)
        found = [np.flatnonzero((place == number) & keys.notna()) for number in range(count)]
        kept = [number for number in range(count) if len(found[number])]
        return [labels[number] for number in kept], [found[number] for number in kept]
    codes, values = cast(Any, pd).factorize(keys, sort=True, use_na_sentinel=True)
    names = [str(value) for value in values]
    places = [np.flatnonzero(codes == number) for number in range(len(names))]
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        names.append("not said")
        places.append(unknown)
    return names, places


def model_names(frame: Any) -> pd.Series[str]:
    """Name the model of each row, by what is unique."""
    ids = frame["model_id"]
    for column in ("Name", "model"):
        if column in frame.columns and frame[column].notna().all():
            names = frame[column].astype(str)
            if names.groupby(ids).first().is_unique:
                return names
    return "model " + ids.astype(str)


def _unique(names: pd.Series[str]) -> list[str]:
    repeat = names.groupby(names).cumcount()
    return [
        name if not count else f"{name} ({count + 1})"
        for name, count in zip(names.tolist(), repeat.tolist(), strict=True)
    ]
