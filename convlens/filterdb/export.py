"""Write models' filters into a filter database, one model at a time, whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convlens.activations import Forward
from convlens.errors import ArgumentError, ConvlensError
from convlens.filterdb.database import FilterDB, open_database
from convlens.filterdb.describing import Metadata, is_maker, kernel_size, named
from convlens.filterdb.errors import FilterDBError
from convlens.filterdb.job import Job, Progress, Tick
from convlens.filterdb.sources import extract
from convlens.filterdb.writer import Writer, locked

__all__ = ["begin_export", "export"]


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
    sources = named(models)
    size = kernel_size(kernel)
    if existing not in ("skip", "add", "error"):
        raise ArgumentError(f"existing must be 'skip', 'add' or 'error', not {existing!r}.")
    about = Metadata(metadata, list(sources))
    target = Path(path).expanduser()
    if not target.parent.is_dir():
        raise FilterDBError(f"There is no folder {str(target.parent)!r} to write into.")
    return Job(_exported(sources, target, about, size, inputs, forward, existing))


def _exported(
    sources: Mapping[str, Any],
    path: Path,
    about: Metadata,
    kernel: tuple[int, int],
    inputs: Any,
    forward: Forward | None,
    existing: str,
) -> Generator[Tick, None, FilterDB]:
    done = 0
    with locked(path), _explained(path, sources) as told:
        writer = Writer(path, kernel, existing)
        for name, source in sources.items():
            yield Tick("export", done, len(sources))
            made = source() if is_maker(source) else source
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
