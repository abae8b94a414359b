"""What stands where in the file: filters, and which of them belong to which layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.filterdb.errors import FilterDBError
from convlens.filterdb.frames import read_frame
from convlens.filterdb.journal import recover

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INDEX", "Layout", "read_layout"]

INDEX = ("model_id", "conv_depth", "conv_depth_norm")
_FILTERS = ("filters", "filter")
_RENAMED = {"Datatype": "Visual Category"}  # what v0.1.0 called it
_SPAN = re.compile(r"\s*(-?\d+)\s*:\s*(-?\d+)\s*")


@dataclass(frozen=True, eq=False)
class Layout:
    """One file: where its filters are, and its layers.

    Attributes
    ----------
    path : pathlib.Path
    dataset : str
        ``"filters"`` or ``"filter"``.
    n : int
        Number of filters.
    kernel : tuple of int
        (height, width).
    dtype : str
        ``"float32"`` or ``"float64"``.
    meta : pandas.DataFrame
        One row for each layer: `model_id`, `conv_depth`, `conv_depth_norm`, the metadata.
    spans : ndarray of int64
        (layers, 2): the first filter of each layer, and one beyond the last.
    unassigned : int
        Filters that no layer claims.
    """

    path: Path
    dataset: str
    n: int
    kernel: tuple[int, int]
    dtype: str
    meta: pd.DataFrame
    spans: npt.NDArray[np.int64]
    unassigned: int


def read_layout(path: Path) -> Layout:
    """Read everything of a file but its filters.

    Raises
    ------
    FilterDBError
        If it is missing, no HDF5, cut short, or not of a layout of CNN Filter DB.
    UnsafePickleError
        If its metadata holds a pickle of anything but arrays and text.
    """
    import h5py

    if not path.exists():
        raise FilterDBError(f"There is no file {str(path)!r}.")
    if path.is_dir():
        raise FilterDBError(f"{str(path)!r} is a folder; a filter database is one HDF5 file.")
    recover(path)
    if not h5py.is_hdf5(path):
        raise FilterDBError(f"{str(path)!r} is no HDF5 file{_guess(path)}.")
    try:
        with h5py.File(path, "r") as file:
            name, shape, dtype = _find_filters(path, file)
            if "meta" not in file:
                raise FilterDBError(
                    f"{str(path)!r} has filters and no /meta, which says whose they are: it holds "
                    f"{_listed(file)}."
                )
            meta = cast(Any, read_frame(file["meta"]))
    except OSError as error:
        said = str(error)
        if "truncated" in said:
            said = "it is cut short: copy or download it again"
        raise FilterDBError(f"{str(path)!r} cannot be read ({said}).") from error
    meta = _with_index_columns(path, meta)
    spans = _spans(path, meta["filter_ids"].tolist(), shape[0])
    meta = meta.drop(columns="filter_ids").rename(
        columns={old: new for old, new in _RENAMED.items() if new not in meta.columns}
    )
    claimed = int((spans[:, 1] - spans[:, 0]).sum())
    side = round(shape[1] ** 0.5)
    kernel = (shape[1], shape[2]) if len(shape) == 3 else (side, side)
    return Layout(path, name, shape[0], kernel, dtype, meta, spans, shape[0] - claimed)


def _find_filters(path: Path, file: Any) -> tuple[str, tuple[int, ...], str]:
    found = [name for name in _FILTERS if name in file]
    if not found:
        raise FilterDBError(
            f"{str(path)!r} has neither /filters nor /filter: it holds {_listed(file)}."
        )
    node = file[found[0]]
    shape = cast("tuple[int, ...]", getattr(node, "shape", ()))
    square = len(shape) == 2 and round(shape[1] ** 0.5) ** 2 == shape[1]
    if not (square or len(shape) == 3):
        raise FilterDBError(
            f"/{found[0]} of {str(path)!r} has the shape {shape}; it should be (n, height, width) "
            "or (n, taps) of square filters, (n, 9) for 3 x 3."
        )
    dtype = str(node.dtype)
    if node.dtype.kind != "f" or node.dtype.itemsize > 8:
        raise FilterDBError(
            f"/{found[0]} of {str(path)!r} holds {dtype}; filters are float32 or float64."
        )
    return found[0], shape, dtype


def _with_index_columns(path: Path, meta: Any) -> Any:
    if any(name is not None for name in meta.index.names):
        kept = [n for n in meta.index.names if n is not None and n not in meta.columns]
        meta = meta.reset_index(level=kept)
    meta = meta.reset_index(drop=True)
    needed = ("model_id", "conv_depth", "filter_ids")
    missing = [name for name in needed if name not in meta.columns]
    if missing:
        raise FilterDBError(
            f"/meta of {str(path)!r} lacks {' and '.join(missing)}: it has "
            f"{', '.join(map(str, meta.columns[:12]))}."
        )
    if "conv_depth_norm" not in meta.columns:
        deepest = meta.groupby("model_id")["conv_depth"].transform("max")
        meta["conv_depth_norm"] = (meta["conv_depth"] / deepest.where(deepest > 0, 1)).astype(float)
    others = [name for name in meta.columns if name not in INDEX]
    return meta[[*INDEX, *others]]


def _spans(path: Path, given: Sequence[Any], n: int) -> npt.NDArray[np.int64]:
    spans = np.array([_span(path, row, ids) for row, ids in enumerate(given)], dtype=np.int64)
    spans = spans.reshape(-1, 2)
    outside = np.flatnonzero((spans[:, 0] < 0) | (spans[:, 1] > n))
    if len(outside):
        row = int(outside[0])
        raise FilterDBError(
            f"filter_ids of row {row} of /meta in {str(path)!r} is {given[row]!r}, and the file "
            f"holds {n:,} filters, 0 to {n - 1:,}: it is cut short, or the table is another's."
        )
    order = np.argsort(spans[:, 0], kind="stable")
    order = order[spans[order, 1] > spans[order, 0]]
    clash = np.flatnonzero(spans[order[1:], 0] < spans[order[:-1], 1])
    if len(clash):
        one, other = int(order[clash[0]]), int(order[clash[0] + 1])
        raise FilterDBError(
            f"filter_ids of rows {one} and {other} of /meta in {str(path)!r} overlap: "
            f"{given[one]!r} and {given[other]!r}. Each filter belongs to one layer."
        )
    return spans


def _span(path: Path, row: int, ids: Any) -> tuple[int, int]:
    """Turn ``"start:end"``, the end included, or a run of numbers into (start, stop)."""
    if isinstance(ids, str):
        match = _SPAN.fullmatch(ids)
        if match and int(match[2]) >= int(match[1]) - 1:
            return int(match[1]), int(match[2]) + 1
    elif isinstance(ids, Iterable):
        numbers = np.asarray(list(cast("Iterable[Any]", ids)))
        whole = numbers.ndim == 1 and numbers.dtype.kind in "iu"
        if whole and len(numbers) and (np.diff(numbers) == 1).all():
            return int(numbers[0]), int(numbers[-1]) + 1
    said = str(cast(object, ids))[:40]
    raise FilterDBError(
        f"filter_ids of row {row} of /meta in {str(path)!r} is {said!r}; it should be "
        "'start:end' with the end included, '0:47' for the first 48 filters."
    )


def _listed(file: Any) -> str:
    names = [f"/{name}" for name in file]
    return ", ".join(names[:6]) if names else "nothing"


def _guess(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"\xfd7zXZ"):
        return ": it is compressed, so unpack it first (xz -d)"
    if start.startswith(b"PK"):
        return ": it is a zip archive or a PyTorch checkpoint; give that to filterdb.export"
    return "" if start else ": it is empty"
