"""Add models to the file of a filter database, each whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.errors import ArgumentError
from convlens.filterdb.errors import FilterDBError
from convlens.filterdb.frames import copy_frame_into
from convlens.filterdb.journal import Transaction
from convlens.filterdb.layout import INDEX, read_layout
from convlens.filterdb.sources import Extracted

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Writer", "locked"]

VERSION = "1.0.0"
_ROWS = 1 << 16  # filters in a chunk of the data set: 2.4 MB

Rows = npt.NDArray[np.float32]


class Writer:
    """Adds models to a file, each whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        A database, or where there is to be one.
    kernel : (int, int)
        Size of the filters that are taken.
    existing : str
        "skip", "add" or "error": what to do with a name that the file has.
    """

    def __init__(self, path: Path, kernel: tuple[int, int], existing: str) -> None:
        import pandas as pd

        layout = read_layout(path) if path.exists() else None
        if layout is not None and layout.kernel != kernel:
            size = " x ".join(map(str, layout.kernel))
            raise FilterDBError(
                f"{str(path)!r} holds filters of {size}: a file has one size, so choose another "
                f"file, or kernel={layout.kernel}."
            )
        self._path = path
        self._kernel = kernel
        self._existing = existing
        self._layout = layout
        self._meta: Any = pd.DataFrame()
        if layout is not None:
            ids = [f"{start}:{stop - 1}" for start, stop in layout.spans.tolist()]
            self._meta = layout.meta.assign(filter_ids=ids)

    def write(self, name: str, found: Extracted, metadata: Mapping[str, Any]) -> None:
        """Add one model.

        Raises
        ------
        ArgumentError
            If it has no convolution of the size, or its name is taken.
        OSError
            If the disk is full; the file is then as before.
        """
        import pandas as pd

        rows = [
            (layer, layer.weight.reshape(-1, *self._kernel))
            for layer in found.layers
            if layer.weight.shape[2:] == self._kernel
        ]
        if not rows:
            sizes = sorted({" x ".join(map(str, c.weight.shape[2:])) for c in found.layers})
            have = f"its convolutions are {', '.join(sizes)}" if sizes else "it has none"
            size = " x ".join(map(str, self._kernel))
            raise ArgumentError(f"{name} has no convolution of {size} to export: {have}.")
        digest = _digest([filters for _, filters in rows])
        if self._has(name, digest):
            return
        start = self._end()
        deepest = max(layer.depth for layer in found.layers)
        number = 0 if self._meta.empty else int(self._meta["model_id"].max()) + 1
        total = sum(layer.weight.shape[0] * layer.weight.shape[1] for layer in found.layers)
        shared = {
            "model": name,
            "Name": name,
            **found.metadata,
            "total_filters": total,
            "3x3_filter_share": _share(found),
            "notes": "; ".join(found.notes),
            "sha256": digest,
            **metadata,
        }
        lines: list[dict[str, Any]] = []
        place = start
        for layer, filters in rows:
            lines.append(
                {
                    "model_id": number,
                    "conv_depth": layer.depth,
                    "conv_depth_norm": layer.depth / deepest if deepest else 0.0,
                    "filter_ids": f"{place}:{place + len(filters) - 1}",
                    "layer": layer.name,
                    "outputs": layer.weight.shape[0],
                    "inputs": layer.weight.shape[1],
                    **shared,
                }
            )
            place += len(filters)
        both: list[Any] = [self._meta, pd.DataFrame(lines)]
        meta = _plain(cast(Any, pd).concat(both, ignore_index=True))
        self._commit([filters for _, filters in rows], meta, start)
        self._meta = meta

    def _commit(self, rows: Sequence[Rows], meta: pd.DataFrame, start: int) -> None:
        import h5py

        if self._layout is None and not self._path.exists():
            _create(self._path, self._kernel, rows, meta)
            return
        name = "filters" if self._layout is None else self._layout.dataset
        transaction = Transaction(self._path)
        try:
            with h5py.File(transaction, "r+") as file:
                _append(file, name, rows, meta, start)
            transaction.commit()
        except BaseException:
            transaction.give_up()
            raise
        finally:
            transaction.close()

    def _end(self) -> int:
        """Where the next filter goes: behind all there are, claimed by a layer or not."""
        ids: list[str] = list(self._meta.get("filter_ids", ()))
        ends = [int(one.split(":")[1]) + 1 for one in ids]
        return max([self._layout.n if self._layout else 0, *ends])

    def _has(self, name: str, digest: str) -> bool:
        if self._existing == "add" or "model" not in self._meta.columns:
            return False
        same = self._meta[self._meta["model"] == name]
        if same.empty:
            return False
        known: set[str] = set(same["sha256"]) if "sha256" in same.columns else set()
        if self._existing == "skip" and known == {digest}:
            return True
        differs = "" if known == {digest} else " with other filters"
        raise ArgumentError(
            f"{self._path.name} has a model {name!r}{differs}: give this one another name, or "
            "existing='add' to have both."
        )


def _create(path: Path, kernel: tuple[int, int], rows: Sequence[Rows], meta: pd.DataFrame) -> None:
    """Write a new database of one model; it gets its name when it is whole."""
    import h5py

    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with h5py.File(unfinished, "w") as file:
            file.create_dataset(
                "filters",
                shape=(0, *kernel),
                maxshape=(None, *kernel),
                chunks=(_ROWS, *kernel),
                dtype="float32",
            )
            file.attrs["layout"] = f"CNN Filter DB {VERSION}"
            _append(file, "filters", rows, meta, 0)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _append(file: Any, dataset: str, rows: Sequence[Rows], meta: pd.DataFrame, start: int) -> None:
    node = file[dataset]
    node.resize(start + sum(map(len, rows)), axis=0)
    for filters in rows:
        node[start : start + len(filters)] = filters.reshape(len(filters), *node.shape[1:])
        start += len(filters)
    copy_frame_into(file, "meta", cast(Any, meta).set_index(list(INDEX)))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Make every column numbers, booleans or text, which a table can hold."""
    import pandas as pd

    found: dict[str, Any] = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
            found[str(name)] = column
            continue
        known = column.dropna()
        numbers = [isinstance(value, int | float | np.number) for value in known]
        if len(known) and all(numbers):
            found[str(name)] = column.astype(float)
        else:
            text = [value if isinstance(value, str) else _said(value) for value in column]
            found[str(name)] = np.array(text, dtype=object)
    return pd.DataFrame(found)


def _said(value: Any) -> str:
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "" if missing else str(value)


def _share(found: Extracted) -> float:
    sizes = [(layer.weight.shape[2:], layer.weight[..., 0, 0].size) for layer in found.layers]
    return sum(n for size, n in sizes if size == (3, 3)) / sum(n for _, n in sizes)


def _digest(parts: Sequence[Rows]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Keep other exports out of the file while this one writes."""
    lock = path.with_name(path.name + ".lock")
    file = lock.open("a+b")
    try:
        try:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows, where an open file cannot be replaced anyway
            pass
        except OSError as error:
            raise FilterDBError(f"Another export is writing {str(path)!r}: wait for it.") from error
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        file.close()
