"""Checkpoints that are whole or absent, and that hold tensors and text only."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from convlens.errors import CheckpointError

__all__ = ["read_checkpoint", "write_checkpoint"]

_KEY = "convlens"


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write a safetensors file; at any moment the whole old one or the whole new one is there.

    Raises
    ------
    CheckpointError
        If it cannot be written, for lack of space say; what was there before is still whole.
    """
    from safetensors.torch import save

    content = save(
        {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()},
        {_KEY: json.dumps(header)},
    )
    written: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}-", suffix=".part", delete=False
        ) as file:
            written = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(written).replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if written is not None:
            with contextlib.suppress(OSError):
                Path(written).unlink()
        raise CheckpointError(
            f"The checkpoint {str(path)!r} could not be written ({error.strerror or error}): make "
            "room or choose another folder, and run again to go on after the last whole one."
        ) from error


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_checkpoint` wrote; nothing in the file is executed.

    Raises
    ------
    CheckpointError
        If the file is damaged, or is none of convlens's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        opened: Any = safe_open(str(path), framework="pt")
        with opened as file:
            metadata = cast("dict[str, str]", file.metadata() or {})
            names = cast("list[str]", list(file.keys()))
            tensors = {name: cast("Tensor", file.get_tensor(name)) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{str(path)!r} is damaged, or no safetensors file ({error}): delete it to go on after "
            "the one before it."
        ) from error
    try:
        header = json.loads(metadata[_KEY])
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{str(path)!r} is a safetensors file, but no checkpoint of convlens: pass another "
            "folder."
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{str(path)!r} is no checkpoint of convlens: pass another folder.")
    return tensors, cast("dict[str, Any]", header)


def remove_parts(folder: Path) -> None:
    """Delete what a process that was killed had begun to write."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            part.unlink()


def _sync_folder(folder: Path) -> None:
    """Have the new name itself on disk, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
