"""Room for the Gram matrices of one batch, away from the activations they are made of."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Shelf"]

_PLACES = 64  # made at a time


class Shelf:
    """Keeps small matrices side by side.

    Each where it was computed would lie in the room that some activation left a moment before, and
    what is left of that is too small for the next activation: the process would grow by one
    activation per layer, though none of them is kept.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[torch.Size, torch.dtype], list[Tensor]] = {}
        self._taken: dict[tuple[torch.Size, torch.dtype], int] = {}

    def free(self, n: int) -> Tensor:
        """Return the place (n, n) that the next such matrix is kept in: it may be made there."""
        return self._next(torch.Size((n, n)), torch.float32)

    def keep(self, matrix: Tensor) -> Tensor:
        """Return a copy of `matrix`, good until the shelf is cleared.

        Itself if it is in its place already, or not on the CPU.
        """
        if matrix.device.type != "cpu":  # accelerators' memory is pooled by size
            return matrix
        place = self._next(matrix.shape, matrix.dtype)
        self._taken[matrix.shape, matrix.dtype] += 1
        return matrix if matrix is place else place.copy_(matrix)

    def _next(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        places = self._rows.setdefault((shape, dtype), [])
        at = self._taken.setdefault((shape, dtype), 0)
        if at == len(places):
            places += torch.empty(_PLACES, *shape, dtype=dtype).unbind()
        return places[at]

    def clear(self) -> None:
        """Use the same room for the next batch."""
        self._taken.clear()
