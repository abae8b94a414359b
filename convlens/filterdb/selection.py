"""What is in a filter database, and how to take parts of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.errors import ArgumentError, nearest
from convlens.filterdb import grouping
from convlens.filterdb.layout import INDEX
from convlens.filterdb.part import Part
from convlens.filterdb.reading import chunks_of, close_files
from convlens.filterdb.scan import Running

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self

__all__ = ["Selection"]


class Selection:
    """Layers of a file: listed, read, selected, grouped."""

    def __init__(self, part: Part, running: Running) -> None:
        self._part = part
        self._running = running

    # What is in it ------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The file."""
        return self._part.layout.path

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of a filter."""
        return self._part.layout.kernel

    @property
    def notes(self) -> tuple[str, ...]:
        """What is out of the ordinary about the file."""
        unassigned = self._part.layout.unassigned
        return (f"{unassigned:,} filters belong to no layer",) if unassigned else ()

    @property
    def n(self) -> int:
        """Number of filters, those with a NaN included."""
        return int(self._part.sizes.sum())

    def __len__(self) -> int:
        return len(self._part.rows)

    @property
    def layers(self) -> pd.DataFrame:
        """One row for each layer: place in its model, `filters`, and all metadata."""
        return self._part.frame()

    @property
    def models(self) -> pd.DataFrame:
        """One row for each model: number of layers and filters, and what is said of all of it."""
        frame = cast(Any, self.layers)
        groups = frame.groupby("model_id", sort=False)
        found = groups.agg(layers=("filters", "size"), filters=("filters", "sum"))
        of_layers = {*INDEX, "filters", "layer", "shape", "groups"}
        for name in frame.columns:
            if name not in of_layers:
                found[name] = groups[name].first()
        return found

    def read(self, layer: int) -> npt.NDArray[Any]:
        """Read the filters of one layer.

        Parameters
        ----------
        layer : int
            An index of `layers`.

        Returns
        -------
        ndarray
            (filters, height, width), as stored.

        Raises
        ------
        ArgumentError
            If there is no such row here.
        """
        if layer not in set(self._part.rows.tolist()):
            raise ArgumentError(
                f"There is no layer {layer!r} here; the rows are those of .layers.index."
            )
        start, stop = self._part.layout.spans[layer].tolist()
        chunks = chunks_of(np.array([[start, stop]]), [0], max(1, stop - start))
        none: npt.NDArray[Any] = np.empty((0, self._part.taps), self._part.layout.dtype)
        source = self._part.source
        try:
            parts: list[Any] = [rows.copy() for chunk in chunks for _, rows in source.read(chunk)]
        finally:
            close_files()
        return np.concatenate([none, *parts]).reshape(-1, *self.kernel)

    # Parts of it --------------------------------------------------------------------------------

    def select(self, query: str | None = None, /, **equal: Any) -> Self:
        """Take the layers that meet a condition.

        Parameters
        ----------
        query : str, optional
            As for ``DataFrame.query`` on `layers`: ``"Task == 'Classification' and
            conv_depth_norm < 0.1"``; a name with blanks stands in backticks.
        **equal : object
            Columns and the value, or list of values, that they must have:
            ``select(**{"Visual Category": ["medical ct", "medical mri"]})``.

        Returns
        -------
        FilterDB

        Raises
        ------
        ArgumentError
            If a column does not exist, the query cannot be read, or no layer meets it.
        """
        frame = cast(Any, self.layers)
        for name, wanted in equal.items():
            column = frame[grouping.check_column(frame, name)]
            several = isinstance(wanted, list | tuple | set | frozenset)
            values = list(cast(Any, wanted)) if several else [wanted]
            kept = frame[column.isin(values)]
            if not len(kept):
                have = [str(value) for value in column.drop_duplicates().head(6)]
                raise ArgumentError(
                    f"No layer has {name!r} {wanted!r}: there are {', '.join(have)}."
                    f"{nearest(wanted, [str(value) for value in column.unique()])}"
                )
            frame = kept
        if query is not None:
            frame = grouping.queried(frame, query)
        return type(self)(
            Part(self._part.store, frame.index.to_numpy(dtype=np.int64)), self._running
        )

    def group_by(self, column: str, bins: int | None = None) -> Mapping[str, Self]:
        """Split by the values of a column.

        Parameters
        ----------
        column : str
            Of `layers`; ``"model"`` and ``"layer"`` stand for each of those.
        bins : int, optional
            Ranges of equal width for a column of numbers; default: 10 where there are more than 20
            different ones.

        Returns
        -------
        dict of str to FilterDB
            In the order of the names, or numbers.
        """
        names, places = grouping.groups_of(self.layers, column, bins)
        return {
            name: type(self)(Part(self._part.store, self._part.rows[rows]), self._running)
            for name, rows in zip(names, places, strict=True)
        }

    def __repr__(self) -> str:
        height, width = self.kernel
        models = self._part.layout.meta["model_id"].iloc[self._part.rows].nunique()
        return (
            f"{type(self).__name__}({self.path.name}: {self.n:,} filters of {height} x {width}, "
            f"{len(self)} layer{'s' * (len(self) != 1)} of {models} model{'s' * (models != 1)})"
        )

    def _repr_html_(self) -> str:
        table = self.models.to_html(max_rows=12, max_cols=10, na_rep="–")
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<p>{escape(repr(self))}</p>{table}" + (f"<ul>{notes}</ul>" if notes else "")

    def __iter__(self) -> Iterator[int]:
        return iter(self._part.rows.tolist())
