"""A part of a file: some of its layers, and what was measured of them so far."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from convlens.filterdb.job import Tick
from convlens.filterdb.kernels import Kernel, State
from convlens.filterdb.layout import INDEX, Layout
from convlens.filterdb.reading import CHUNK, Source, chunks_of
from convlens.filterdb.scan import Running, scan

__all__ = ["Part", "Store"]

Places = npt.NDArray[np.int64]

_REMEMBERED = 256 << 20  # bytes of measurements that are kept, the newest at least

Known = tuple[npt.NDArray[np.bool_], State]


@dataclass(eq=False)
class Store:
    """What was measured of a file's layers, by measurement, so that no filter is read twice."""

    layout: Layout
    known: dict[str, Known] = field(default_factory=dict[str, Known])

    def of(self, kernel: Kernel) -> Known:
        """Return which layers were measured by a kernel, and the figures of all."""
        layers = len(self.layout.meta)
        found = self.known.pop(kernel.digest, None)
        if found is None:
            found = np.zeros(layers, dtype=np.bool_), kernel.empty(layers)
        self.known[kernel.digest] = found
        sizes = {
            digest: sum(array.nbytes for array in state.values())
            for digest, (_, state) in self.known.items()
        }
        for digest in list(self.known)[:-1]:
            if sum(sizes.values()) > _REMEMBERED:
                del self.known[digest], sizes[digest]
        return found


@dataclass(frozen=True, eq=False)
class Part:
    """Some layers of a file.

    Attributes
    ----------
    store : Store
    rows : ndarray of int64
        Which, by their places in the file's table.
    """

    store: Store
    rows: Places

    @property
    def layout(self) -> Layout:
        """The file."""
        return self.store.layout

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of a filter."""
        return self.layout.kernel

    @property
    def taps(self) -> int:
        """Weights in a filter."""
        return self.kernel[0] * self.kernel[1]

    @property
    def sizes(self) -> Places:
        """Filters of each layer."""
        spans = self.layout.spans[self.rows]
        return spans[:, 1] - spans[:, 0]

    @property
    def source(self) -> Source:
        """Where the filters are."""
        return Source(str(self.layout.path), self.layout.dataset, self.layout.n, self.taps)

    def frame(self) -> Any:
        """One row for each layer, with the number of its filters."""
        frame = cast(Any, self.layout.meta.iloc[self.rows]).copy()
        frame.insert(len(INDEX), "filters", self.sizes)
        return frame

    def measured(self, kernel: Kernel, running: Running) -> Generator[Tick, None, State]:
        """Measure the layers of which that is not known yet; return what is known of all.

        The figures of these layers are those at `rows`.
        """
        known, state = self.store.of(kernel)
        missing = self.rows[~known[self.rows]]
        if len(missing):
            chunks = chunks_of(self.layout.spans[missing], missing.tolist(), CHUNK)
            found = yield from scan(self.source, kernel, chunks, len(known), running)
            for name, array in found.items():
                state[name][missing] = array[missing]
            known[missing] = True
        return state
