"""What a comparison gives."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.errors import ArgumentError, UnknownLayerError, nearest
from convlens.similarity.measures import MEASURES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Row", "Similarity"]

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One row or column: a call of a module.

    Attributes
    ----------
    key
        Dotted name and call index, the latter only where the module is called more than once.
    name, call, kind
        The same in parts, and the module's class.
    shape
        Of one sample's output.
    same_as
        Key of an earlier row that emits the very same tensor (a container's last child).
    reason
        Why it has no values, or None.
    """

    key: str
    name: str
    call: int
    kind: str
    shape: tuple[int, ...] = ()
    same_as: str | None = None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Similarity:
    """Similarity of every layer of a model (rows) with every layer of another (columns).

    Attributes
    ----------
    matrix : ndarray
        float64 (rows, columns), NaN where there is no value: `reason` says why. Unbiased estimates
        may be slightly negative.
    stderr : ndarray
        float64 (rows, columns), standard error over batches; NaN where the estimator has none.
    reverse : ndarray or None
        The other direction of a directed measure (PWCCA weighted by the columns' layers).
    row_layers, column_layers : tuple of Row
        What the rows and columns are.
    model, reference : str
        Titles of the two sides.
    measure : str
        Its name in `convlens.similarity.MEASURES`.
    parameters : dict
        Of the measure, complete.
    n, batches, batch_size : int
        Samples used, in how many batches, of at most which size.
    reduce : str
        How activations became features, in words.
    estimator : str
        Estimator, n and batch size in one line, as a figure should state them.
    finished : bool
        False where it was stopped before the inputs ended.
    notes : tuple of str
        What was dropped, moved, unwrapped.

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> similarity = cl.compare(digits.model, digits.images[:128])
    >>> similarity.matrix.shape
    (15, 15)
    >>> round(similarity.value("conv1", "conv1"), 6)
    1.0
    """

    matrix: Matrix = field(repr=False)
    stderr: Matrix = field(repr=False)
    row_layers: tuple[Row, ...] = field(repr=False)
    column_layers: tuple[Row, ...] = field(repr=False)
    model: str
    reference: str
    measure: str
    parameters: Mapping[str, Any]
    n: int
    batches: int
    batch_size: int
    reduce: str
    finished: bool = True
    notes: tuple[str, ...] = ()
    reverse: Matrix | None = field(default=None, repr=False)
    data: str = ""
    reference_data: str = ""

    @property
    def rows(self) -> tuple[str, ...]:
        """Keys of the rows."""
        return tuple(row.key for row in self.row_layers)

    @property
    def columns(self) -> tuple[str, ...]:
        """Keys of the columns."""
        return tuple(column.key for column in self.column_layers)

    @property
    def estimator(self) -> str:
        """Say what was estimated from what."""
        title = MEASURES[self.measure].title
        batches = (
            f"{self.batches} batches of {self.batch_size}" if self.batches > 1 else "one batch"
        )
        stopped = "" if self.finished else ", stopped early"
        return f"{title}, {self.reduce}, n = {self.n:,} in {batches}{stopped}"

    def value(self, row: str, column: str) -> float:
        """Return one value by the keys of its row and column."""
        return float(self.matrix[self._at(row, self.rows), self._at(column, self.columns)])

    def reason(self, row: int | str, column: int | str) -> str | None:
        """Say why a cell has no value; None where it has one."""
        i = row if isinstance(row, int) else self._at(row, self.rows)
        j = column if isinstance(column, int) else self._at(column, self.columns)
        if not math.isnan(self.matrix[i, j]):
            return None
        for layer in (self.row_layers[i], self.column_layers[j]):
            if layer.reason is not None:
                return f"{layer.key}: {layer.reason}"
        return (
            f"{self.rows[i]} and {self.columns[j]} have different numbers of positions: pass "
            "grid=, or reduce='mean'"
        )

    @staticmethod
    def _at(key: str, keys: tuple[str, ...]) -> int:
        if key not in keys:
            raise UnknownLayerError(f"No layer here is called {key!r}.{nearest(key, keys)}")
        return keys.index(key)

    def to_frame(self) -> pd.DataFrame:
        """Return the matrix as a pandas DataFrame, rows and columns labelled by their keys."""
        import pandas as pd

        return pd.DataFrame(
            self.matrix,
            index=pd.Index(self.rows, name=self.model),
            columns=pd.Index(self.columns, name=self.reference),
        )

    def diagonal(self) -> pd.DataFrame:
        """Return each layer's similarity with its namesake: columns `similarity` and `stderr`.

        Raises
        ------
        ArgumentError
            If the two sides are not of the same architecture.
        """
        import pandas as pd

        if self.rows != self.columns:
            lone = sorted(set(self.rows) ^ set(self.columns))[:3]
            raise ArgumentError(
                "There is no diagonal: rows and columns are different layers"
                + (
                    f" ({', '.join(repr(key) for key in lone)} is on one side only)."
                    if lone
                    else "."
                )
            )
        return pd.DataFrame(
            {"similarity": self.matrix.diagonal(), "stderr": self.stderr.diagonal()},
            index=pd.Index(self.rows, name="layer"),
        )

    def plot(self, ax: Axes | None = None, *, fit: bool = False) -> Figure:
        """Draw the heatmap.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn upon; otherwise on a new figure of its own.
        fit : bool, default False
            Fit the colours to the values instead of to [0, 1].
        """
        from convlens.similarity.heatmap import draw

        return draw(self, ax, fit=fit)

    def export(self) -> dict[str, Any]:
        """Return a dict with the keys of torch_cka's ``CKA.export()``.

        Names are in the order of the matrix, which torch_cka's are not.
        """
        import torch

        return {
            "model1_name": self.model,
            "model2_name": self.reference,
            "CKA": torch.tensor(self.matrix.tolist(), dtype=torch.float64),
            "model1_layers": list(self.rows),
            "model2_layers": list(self.columns),
            "dataset1_name": self.data,
            "dataset2_name": self.reference_data,
        }

    def save(self, path: str | Path) -> None:
        """Write everything to an ``.npz`` file: arrays and JSON, nothing pickled."""
        header = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("matrix", "stderr", "reverse", "row_layers", "column_layers")
        }
        header["parameters"] = dict(self.parameters)
        header["row_layers"] = [asdict(row) for row in self.row_layers]
        header["column_layers"] = [asdict(row) for row in self.column_layers]
        arrays: dict[str, Any] = {"matrix": self.matrix, "stderr": self.stderr}
        if self.reverse is not None:
            arrays["reverse"] = self.reverse
        with Path(path).open("wb") as file:
            np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Similarity:
        """Read what `save` wrote."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
                header = cast("dict[str, Any]", json.loads(str(arrays.pop("header"))))
        except (KeyError, ValueError) as error:
            raise ArgumentError(f"{str(path)!r} holds no Similarity that save() wrote.") from error
        for side in ("row_layers", "column_layers"):
            rows = cast("list[dict[str, Any]]", header[side])
            header[side] = tuple(Row(**_with_shape(row)) for row in rows)
        header["notes"] = tuple(header["notes"])
        return cls(**header, **arrays)

    def __repr__(self) -> str:
        shape = f"{len(self.rows)} x {len(self.columns)} layers"
        return f"Similarity({self.model} and {self.reference}: {shape}; {self.estimator})"

    def _repr_html_(self) -> str:
        unscored = sum(row.reason is not None for row in (*self.row_layers, *self.column_layers))
        notes = [*self.notes, f"{unscored} layers without values"] if unscored else self.notes
        lines = "".join(f"<li>{escape(note)}</li>" for note in notes)
        frame = cast("Any", self.to_frame())
        table: str = frame.round(3).to_html(max_rows=12, max_cols=12, na_rep="–")
        return f"<p>{escape(repr(self))}</p>{table}" + (f"<ul>{lines}</ul>" if lines else "")


def _with_shape(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "shape": tuple(row["shape"])}
