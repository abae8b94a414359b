"""Write models' filters into a filter database, one model at a time, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.activations import Forward
from convlens.errors import ArgumentError, ConvlensError
from convlens.filterdb.database import FilterDB, open_database
from convlens.filterdb.errors import FilterDBError
from convlens.filterdb.frames import copy_frame_into
from convlens.filterdb.job import Job, Progress, Tick
from convlens.filterdb.journal import Transaction
from convlens.filterdb.layout import INDEX, read_layout
from convlens.filterdb.sources import Extracted, extract
from convlens.tree import kind_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["begin_export", "export"]

VERSION = "1.0.0"
_ROWS = 1 << 16  # filters in a chunk of the data set: 2.4 MB

Rows = npt.NDArray[np.float32]


def export(
    models: Any,
    path: str | Path,
    metadata: Any = None,
    *,
    kernel: int | tuple[int, int] = 3,
    inputs: Any = None,
    forward: Forward | None = None,
    existing: str = "skip",
    progress: Progress = None,
) -> FilterDB:
    """Write the filters of models into a file of CNN Filter DB's layout; add to it if it exists.

    Models are taken one at a time, and each is in the file whole or not at all: if the export is
    killed or the disk fills, the file holds the models before it, and the same call goes on.

    Parameters
    ----------
    models : mapping of str to source, or sequence of sources, or one
        A source is a ``torch.nn.Module``, a state dict, a path (``.onnx``, ``.safetensors``,
        ``.pt``, ``.pth``: tensors of four dimensions, read with ``weights_only=True``), a
        `CheckpointOf` a path and a factory, or a callable that returns one of these, so that only
        one model is in memory. Without a mapping, names are those of classes and files.
    path : str or pathlib.Path
    metadata : mapping or DataFrame, optional
        Columns for all models, ``{"Task": "Classification"}``, or a mapping by the model's name of
        such, or a frame whose index is the name. CNN Filter DB has `Name`, `Paper`,
        `Training-Dataset`, `Pretraining-Dataset`, `Visual Category`, `Task`, ...
    kernel : int or (int, int), default 3
        Size of the filters that are taken.
    inputs, forward : optional
        What the models run on, to find how deep each layer is where tracing cannot: see
        :func:`convlens.find_layers`.
    existing : {"skip", "add", "error"}, default "skip"
        What to do with a model of a name that the file has: skip it if its filters are the same
        and raise where they are not, write it again, or raise.
    progress : True or callable(job), optional

    Returns
    -------
    FilterDB
        The file, opened.

    Raises
    ------
    ArgumentError
        If an argument cannot be used.
    FilterDBError
        If a source or the file cannot be read, or not be written; what of it was written, the
        message says.
    Cancelled
        If `progress` returned False.

    Examples
    --------
    >>> import tempfile, convlens as cl
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     db = cl.filterdb.export(
    ...         {"good": cl.demo.load().model}, f"{folder}/one.h5", {"Task": "digits"}
    ...     )
    ...     db.layers[["layer", "conv_depth", "filters"]].head(2)
                 layer  conv_depth  filters
    0            conv1           0       12
    1  layer1.0.conv1           1      144

    Notes
    -----
    Gavrikov and Keuper, CNN Filter DB, CVPR 2022: ``/filters`` (n, height, width) in float32,
    ``/meta`` a frame with the index (model_id, conv_depth, conv_depth_norm) and `filter_ids`,
    ``"start:end"`` with the end included; conv_depth_norm is conv_depth divided by the deepest.
    """
    return begin_export(
        models, path, metadata, kernel=kernel, inputs=inputs, forward=forward, existing=existing
    ).run(progress)


def begin_export(
    models: Any,
    path: str | Path,
    metadata: Any = None,
    *,
    kernel: int | tuple[int, int] = 3,
    inputs: Any = None,
    forward: Forward | None = None,
    existing: str = "skip",
) -> Job[FilterDB]:
    """Prepare an export that is then done model by model: the arguments are those of `export`."""
    sources = _named(models)
    size = _kernel(kernel)
    if existing not in ("skip", "add", "error"):
        raise ArgumentError(f"existing must be 'skip', 'add' or 'error', not {existing!r}.")
    about = _Metadata(metadata, list(sources))
    target = Path(path).expanduser()
    if not target.parent.is_dir():
        raise FilterDBError(f"There is no folder {str(target.parent)!r} to write into.")
    return Job(_exported(sources, target, about, size, inputs, forward, existing))


def _exported(
    sources: Mapping[str, Any],
    path: Path,
    about: _Metadata,
    kernel: tuple[int, int],
    inputs: Any,
    forward: Forward | None,
    existing: str,
) -> Generator[Tick, None, FilterDB]:
    done = 0
    with _locked(path), _explained(path, sources) as told:
        writer = _Writer(path, kernel, existing)
        for name, source in sources.items():
            yield Tick(f"export {name}", done, len(sources))
            made = source() if _is_maker(source) else source
            try:
                found = extract(made, inputs, forward)
            except ConvlensError as error:
                raise type(error)(f"{name}: {error}") from error
            writer.write(name, found, about.of(name))
            del made, found
            done += 1
            told.append(name)
    yield Tick("export", done, len(sources))
    return open_database(path)


class _Writer:
    """Adds models to a file."""

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


def _named(models: Any) -> dict[str, Any]:
    if isinstance(models, Mapping):
        given = cast("Mapping[Any, Any]", models)
        if given and not all(hasattr(value, "dim") for value in given.values()):
            return {str(name): source for name, source in given.items()}
        if not given:
            raise ArgumentError("models is empty: pass at least one.")
    several = isinstance(models, list | tuple)
    sources = cast("list[Any]", list(cast(Any, models)) if several else [models])
    if not sources:
        raise ArgumentError("models is empty: pass at least one.")
    names: dict[str, Any] = {}
    for source in sources:
        name = _name_of(source)
        count = sum(known == name or known.startswith(f"{name} (") for known in names)
        names[f"{name} ({count + 1})" if count else name] = source
    return names


def _name_of(source: Any) -> str:
    from torch import nn

    if isinstance(source, nn.Module):
        return kind_of(source)
    path = getattr(source, "path", source)
    return Path(path).stem if isinstance(path, str | Path) else "state dict"


def _is_maker(source: Any) -> bool:
    from torch import nn

    return callable(source) and not isinstance(source, nn.Module | type)


def _kernel(kernel: Any) -> tuple[int, int]:
    sides = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
    if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
        raise ArgumentError(f"kernel must be a size like 3 or (3, 3), not {kernel!r}.")
    return cast("tuple[int, int]", sides)


class _Metadata:
    """What is said of each model, given in any of three ways."""

    def __init__(self, given: Any, names: Sequence[str]) -> None:
        import pandas as pd

        self._shared: Mapping[str, Any] = {}
        self._each: Mapping[str, Mapping[str, Any]] = {}
        if given is None:
            return
        if isinstance(given, pd.DataFrame):
            each: dict[str, Any] = {str(key): row.to_dict() for key, row in given.iterrows()}
        elif isinstance(given, Mapping):
            whole = cast("Mapping[Any, Any]", given)
            if not any(isinstance(value, Mapping) for value in whole.values()):
                self._shared = {str(key): value for key, value in whole.items()}
                return
            each = {str(key): value for key, value in whole.items()}
        else:
            raise ArgumentError(
                f"metadata must be a mapping or a frame, not a {type(given).__name__}."
            )
        missing = [name for name in names if name not in each]
        if missing:
            raise ArgumentError(
                f"metadata says nothing of {missing[0]!r}: it has {', '.join(list(each)[:6])}."
            )
        self._each = each

    def of(self, name: str) -> dict[str, Any]:
        found = dict(self._each.get(name, self._shared))
        reserved = {*INDEX, "filter_ids", "layer"} & {str(key) for key in found}
        if reserved:
            raise ArgumentError(f"metadata cannot set {sorted(reserved)[0]!r}: export does.")
        return {str(key): value for key, value in found.items()}


@contextmanager
def _explained(path: Path, sources: Mapping[str, Any]) -> Generator[list[str]]:
    """Say of a disk that failed how far the export came."""
    written: list[str] = []
    try:
        yield written
    except OSError as error:
        full = error.errno == errno.ENOSPC or "space left" in str(error)
        why = "the disk is full" if full else str(error)
        raise FilterDBError(
            f"{str(path)!r} could not be written further ({why}): it holds {len(written)} of the "
            f"{len(sources)} models, each whole. Make room and call export again, which goes on."
        ) from error


@contextmanager
def _locked(path: Path) -> Generator[None]:
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
