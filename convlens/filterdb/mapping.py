"""Filters that lie in the file as they are: mapped into memory, where HDF5 would copy them.

That is so for what is neither compressed nor checked, in one piece or in chunks of whole filters.
Everything else is read by HDF5.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Extents", "extents_of"]

_FEWEST = 1 << 12  # filters in a row, on average, for which mapping them is worth while

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Extents:
    """Where in a file the filters are.

    Attributes
    ----------
    path : str
    starts : ndarray of int64
        The first filter of each run of filters that lie one behind the other, and one beyond all.
    offsets : ndarray of int64
        Where in the file that is, in bytes.
    shape : tuple of int
        Of one filter.
    dtype : numpy.dtype
    """

    path: str
    starts: Places
    offsets: Places
    shape: tuple[int, ...]
    dtype: Any

    def breaks(self, start: int, stop: int) -> set[int]:
        """Return where a run ends and another begins, among some filters in order."""
        first, last = np.searchsorted(self.starts, (start + 1, stop))
        return set(self.starts[first:last].tolist())

    def view(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Map filters of one run; what is written to them does not reach the file.

        HDF5 puts chunks anywhere, so that the numbers may lie across the bounds of a processor's
        words: ``flags.aligned`` says so.
        """
        run = int(np.searchsorted(self.starts, start, side="right")) - 1
        row = int(np.prod(self.shape)) * self.dtype.itemsize
        offset = int(self.offsets[run]) + (start - int(self.starts[run])) * row
        before = offset % mmap.ALLOCATIONGRANULARITY
        size = (stop - start) * row
        with Path(self.path).open("rb") as file:
            memory = mmap.mmap(
                file.fileno(), before + size, access=mmap.ACCESS_COPY, offset=offset - before
            )
        ahead = getattr(mmap, "MADV_WILLNEED", None)
        if ahead is not None:
            memory.madvise(ahead)
        return (
            np.frombuffer(memory, np.uint8, size, before).view(self.dtype).reshape(-1, *self.shape)
        )


def extents_of(path: str, node: Any) -> Extents | None:
    """Find out where the filters of a dataset are; None where they cannot be mapped."""
    plain = (
        node.dtype.isnative
        and node.id.get_create_plist().get_nfilters() == 0
        and node.external is None
        and not node.is_virtual
        and node.size
    )
    found = _runs_of(node) if plain else None
    if not found:
        return None
    shape: tuple[int, ...] = tuple(node.shape)
    row = int(np.prod(shape[1:])) * node.dtype.itemsize
    n = shape[0]
    starts = np.array([*(start for start, _ in found), n], np.int64)
    offsets = np.array([offset for _, offset in found], np.int64)
    ends = offsets + np.diff(starts) * row
    if ends.max() > Path(path).stat().st_size or n < _FEWEST * len(found):
        return None
    extents = Extents(path, starts, offsets, shape[1:], node.dtype)
    # What HDF5 says of places is not the same in all its versions for a file with a header of the
    # user's before it: so look.
    for run in {0, len(found) - 1}:
        for first in (int(starts[run]), int(starts[run + 1]) - 1):
            if extents.view(first, first + 1).tobytes() != node[first : first + 1].tobytes():
                return None
    return extents


def _runs_of(node: Any) -> list[tuple[int, int]] | None:
    """Return the first filter and the offset of each run."""
    if node.chunks is None:
        offset = node.id.get_offset()
        return None if offset is None else [(0, offset)]
    rows, *rest = node.chunks
    if tuple(rest) != tuple(node.shape[1:]) or len(node) < _FEWEST:
        return None
    if node.id.get_num_chunks() != -(-len(node) // rows) or rows * 4 < _FEWEST:
        return None
    if not hasattr(node.id, "chunk_iter"):  # h5py on an HDF5 before 1.12.3
        return None
    known: list[tuple[int, int]] = []

    def note(info: Any) -> None:
        known.append((int(info.chunk_offset[0]), int(info.byte_offset)))

    node.id.chunk_iter(note)
    size = rows * int(np.prod(rest)) * node.dtype.itemsize
    runs: list[tuple[int, int]] = []
    expected = -1
    for start, offset in sorted(known):
        if offset != expected:
            runs.append((start, offset))
        expected = offset + size
    return runs
