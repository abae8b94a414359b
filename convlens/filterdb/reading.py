"""Filters out of a file: in pieces that belong to one layer, several of them to a chunk."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from convlens.filterdb.errors import FilterDBError
from convlens.filterdb.mapping import Extents, extents_of

__all__ = ["CHUNK", "Piece", "Source", "chunks_of"]

CHUNK = 1 << 19
"""Filters read at once: 19 MB of float32 filters of 3 x 3."""

Rows = npt.NDArray[Any]


@dataclass(frozen=True)
class Piece:
    """Filters `start` to `stop` (not included) of the file, all of one slot.

    Attributes
    ----------
    slot : int
        Where what is measured of them is added: the number of a layer, or of a group.
    start, stop : int
    """

    slot: int
    start: int
    stop: int


@dataclass(frozen=True)
class Source:
    """The filters of one file, opened when first read, once in each thread.

    Attributes
    ----------
    path : str
    dataset : str
    n, taps : int
        The shape of all filters.
    """

    path: str
    dataset: str
    n: int
    taps: int

    def read(self, pieces: tuple[Piece, ...]) -> Iterator[tuple[int, Rows]]:
        """Give each piece's slot and filters, (n, taps); neighbours are read together.

        The filters are there until the next are asked for.
        """
        extents = _opened(self.path, self.dataset)[1]
        breaks: set[int] = set()
        if extents is not None and pieces:
            breaks = extents.breaks(pieces[0].start, pieces[-1].stop)
            pieces = _cut(pieces, breaks) if breaks else pieces
        for run in _runs(pieces, breaks):
            rows = self._rows(run[0].start, run[-1].stop)
            for piece in run:
                yield piece.slot, rows[piece.start - run[0].start : piece.stop - run[0].start]

    def _rows(self, start: int, stop: int) -> Rows:
        node, extents = _opened(self.path, self.dataset)
        try:
            if extents is not None and stop > start:
                mapped = extents.view(start, stop)
                if mapped.flags.aligned:
                    return mapped.reshape(-1, self.taps)
                found = _memory(mapped.shape, mapped.dtype)
                np.copyto(found, mapped)
                return found.reshape(-1, self.taps)
            # The same memory again: to be given new pages takes as long as to be read into.
            found = _memory((stop - start, *node.shape[1:]), node.dtype)
            if stop > start:
                node.read_direct(found, np.s_[start:stop])
        except (OSError, ValueError) as error:  # the latter of a map beyond the file's end
            raise FilterDBError(
                f"Filters {start:,} to {stop:,} of {self.path!r} cannot be read ({error}): the "
                "file is damaged there."
            ) from error
        return found.reshape(len(found), self.taps)


_open = threading.local()


def _opened(path: str, dataset: str) -> tuple[Any, Extents | None]:
    """Keep the file that this thread has read last open, since opening costs as much as a chunk.

    With it, where in the file the filters are, if they can be mapped.

    Not beyond a change of it: HDF5 would go on with what it knew of the file before.
    """
    import h5py

    stat = os.stat(path)  # noqa: PTH116 - for every chunk
    state = (path, dataset, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    if getattr(_open, "state", None) != state or not _open.file:
        close_files()
        _open.file = h5py.File(path, "r")
        _open.node = _open.file[dataset]
        _open.extents = extents_of(path, _open.node)
        _open.state = state
    return _open.node, _open.extents


def _memory(shape: tuple[int, ...], dtype: Any) -> Rows:
    size = math.prod(shape)
    known = cast(Any, getattr(_open, "memory", None))
    if known is None or known.dtype != dtype.newbyteorder("=") or known.size < size:
        known = _open.memory = np.empty(size, dtype.newbyteorder("="))
    return known[:size].reshape(shape)


def close_files() -> None:
    """Close what this thread has open, and let go of its memory."""
    file = cast(Any, getattr(_open, "file", None))
    if file is not None:
        file.close()
    _open.file = _open.node = _open.extents = _open.state = _open.memory = None


def _cut(pieces: tuple[Piece, ...], breaks: set[int]) -> tuple[Piece, ...]:
    """Cut pieces where a part of the file ends and another begins."""
    found: list[Piece] = []
    for piece in pieces:
        inside = sorted(place for place in breaks if piece.start < place < piece.stop)
        ends = [piece.start, *inside, piece.stop]
        found += [Piece(piece.slot, start, stop) for start, stop in pairwise(ends)]
    return tuple(found)


def _runs(pieces: tuple[Piece, ...], breaks: set[int]) -> Iterator[list[Piece]]:
    run: list[Piece] = []
    for piece in pieces:
        if run and (piece.start != run[-1].stop or piece.start in breaks):
            yield run
            run = []
        run.append(piece)
    if run:
        yield run


def chunks_of(
    spans: npt.NDArray[np.int64], slots: Iterable[int], size: int = CHUNK
) -> list[tuple[Piece, ...]]:
    """Cut layers into chunks of `size` filters, in the order of the file.

    Parameters
    ----------
    spans : ndarray of int64
        (layers, 2): start and stop of each.
    slots : iterable of int
        The slot of each.
    size : int

    Examples
    --------
    >>> chunks_of(np.array([[0, 3], [3, 10]]), [0, 1], size=5)
    [(Piece(slot=0, start=0, stop=3), Piece(slot=1, start=3, stop=5)), \
(Piece(slot=1, start=5, stop=10),)]
    """
    found: list[tuple[Piece, ...]] = []
    waiting: list[Piece] = []
    room = size
    order = sorted(zip(spans.tolist(), slots, strict=True))
    for (start, stop), slot in order:
        while start < stop:
            end = min(stop, start + room)
            waiting.append(Piece(int(slot), start, end))
            room -= end - start
            start = end
            if room == 0:
                found.append(tuple(waiting))
                waiting, room = [], size
    if waiting:
        found.append(tuple(waiting))
    return found
