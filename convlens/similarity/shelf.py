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

    def keep(self, matrix: Tensor) -> Tensor:
        """Return a copy of `matrix`, good until the shelf is cleared; itself if not on the CPU."""
        if matrix.device.type != "cpu":  # accelerators' memory is pooled by size
            return matrix
        kind = (matrix.shape, matrix.dtype)
        places = self._rows.setdefault(kind, [])
        at = self._taken.get(kind, 0)
        self._taken[kind] = at + 1
        if at == len(places):
            places += torch.empty(_PLACES, *matrix.shape, dtype=matrix.dtype).unbind()
        return places[at].copy_(matrix)

    def clear(self) -> None:
        """Use the same room for the next batch."""
        self._taken.clear()
