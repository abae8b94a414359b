"""What a measurement has come to, kept in a file, so that a stopped one goes on."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convlens.errors import ArgumentError
from convlens.filterdb.kernels import Kernel, State
from convlens.filterdb.reading import Piece, Source

__all__ = ["Checkpoint"]

_SHARE = 0.02  # of the time may go into saving


@dataclass
class Checkpoint:
    """One measurement's state in a folder.

    Attributes
    ----------
    path : pathlib.Path
    about : str
        Which measurement of which filters: another's state is not used.
    """

    path: Path
    about: str
    _cost: float = 0.0
    _saved: float = field(default_factory=time.monotonic)

    @classmethod
    def at(
        cls,
        folder: Path | None,
        source: Source,
        kernel: Kernel,
        chunks: Sequence[tuple[Piece, ...]],
    ) -> Checkpoint | None:
        """Return the checkpoint of a measurement in a folder; None without a folder."""
        if folder is None:
            return None
        if folder.exists() and not folder.is_dir():
            raise ArgumentError(f"checkpoint must be a folder, and {str(folder)!r} is a file.")
        folder.mkdir(parents=True, exist_ok=True)
        stat = Path(source.path).stat()
        about = hashlib.sha256(
            json.dumps(
                [
                    str(Path(source.path).resolve()),
                    stat.st_size,
                    stat.st_mtime_ns,
                    kernel.digest,
                    [[(p.slot, p.start, p.stop) for p in pieces] for pieces in chunks],
                ]
            ).encode()
        ).hexdigest()
        return cls(folder / f"{kernel.digest}.npz", about)

    def load(self, state: State) -> int:
        """Fill `state` with what was kept, and return how many chunks that was."""
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                if str(kept["about"]) != self.about:
                    return 0
                for name, array in state.items():
                    array[...] = kept[name]
                return int(kept["chunks"])
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
            return 0  # none, or one that was cut short: begin anew

    def save(self, state: State, chunks: int) -> None:
        """Keep the state after `chunks` chunks, whole or not at all."""
        began = time.monotonic()
        unfinished = self.path.with_suffix(".unfinished")
        arrays: dict[str, Any] = {
            **state,
            "about": np.array(self.about),
            "chunks": np.int64(chunks),
        }
        with unfinished.open("wb") as file:
            np.savez(file, **arrays)
        unfinished.replace(self.path)
        self._saved = time.monotonic()
        self._cost = self._saved - began

    def save_now_and_then(self, state: State, chunks: int) -> None:
        """Keep the state if the last time was long enough ago for what it costs."""
        if time.monotonic() - self._saved > max(1.0, self._cost / _SHARE):
            self.save(state, chunks)
