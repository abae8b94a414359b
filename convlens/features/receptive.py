"""Which input pixels a position of a layer can see: measured, and exact."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor

from convlens.errors import ForwardError
from convlens.features.tap import Tap
from convlens.similarity.capture import is_out_of_memory

__all__ = ["ReceptiveField"]

_BLOCKS = 16  # into so many parts an axis is cut at first
_AT_ONCE = 32  # marked pictures in one pass

Span = tuple[int, int]


class ReceptiveField:
    """Finds the box of input pixels that each position of a layer depends on.

    Marks rows and columns of the input with NaN, which every operation hands on to exactly what
    depends on it, through weights of zero, ReLUs and maxima alike; where the layer shows NaN, it
    sees the mark. No formula for each kind of layer is needed, and residual sums, dilation,
    attention and pooling to one pixel come out right.

    Parameters
    ----------
    tap : Tap
        To be used inside ``tap.held()``.
    image : Tensor
        (1, channels, h, w), one input that the model takes, on its device.
    positions : sequence of int
        Shape of the layer's map, (rows, columns); () where it has no positions.

    Attributes
    ----------
    note : str or None
        Why boxes are the whole picture though they may be smaller.
    """

    def __init__(self, tap: Tap, image: Tensor, positions: Sequence[int]) -> None:
        self._tap, self._image = tap, image
        self._shape = (int(image.shape[2]), int(image.shape[3]))
        self._maps = len(positions) == 2
        self._at_once = _AT_ONCE
        self._spans: dict[tuple[int, int], Span] = {}
        self.note: str | None = None
        if self._maps and not self._shows_all(torch.full_like(image, math.nan)):
            self._maps = False
            self.note = (
                f"{tap.key} hides what it sees (it drops or refuses NaN, as quantised models do): "
                "boxes are the whole picture"
            )

    def boxes(self, positions: Iterable[tuple[int, int]]) -> dict[tuple[int, int], list[int]]:
        """Return (top, left, bottom, right) of each position, the last two exclusive."""
        wanted = list(dict.fromkeys(positions))
        for axis in (0, 1) if self._maps else ():
            places = {place[axis] for place in wanted if (axis, place[axis]) not in self._spans}
            if places:
                self._measure(axis, sorted(places))
        whole = [(0, self._shape[0]), (0, self._shape[1])]
        found: dict[tuple[int, int], list[int]] = {}
        for place in wanted:
            (top, bottom), (left, right) = (
                self._spans.get((axis, place[axis]), whole[axis]) for axis in (0, 1)
            )
            found[place] = [top, left, bottom, right]
        return found

    def _measure(self, axis: int, places: list[int]) -> None:
        """Find the first and last mark that each place sees: coarse strips, then single lines."""
        length = self._shape[axis]
        width = max(1, math.ceil(length / _BLOCKS))
        strips = [(start, min(start + width, length)) for start in range(0, length, width)]
        seen = self._sees(axis, strips, places)
        ends = {place: self._ends(strips, seen[place]) for place in places}
        if width > 1:
            lines = sorted(
                {line for span in ends.values() for strip in span for line in range(*strip)}
            )
            singles = [(line, line + 1) for line in lines]
            seen = self._sees(axis, singles, places)
            for place in places:
                ends[place] = self._ends(singles, seen[place])
        for place, (first, last) in ends.items():
            self._spans[axis, place] = (first[0], last[1])

    @staticmethod
    def _ends(strips: list[Span], seen: list[bool]) -> tuple[Span, Span]:
        hit = [strip for strip, sees in zip(strips, seen, strict=True) if sees]
        return (hit[0], hit[-1]) if hit else ((0, 0), (0, 0))

    def _sees(self, axis: int, strips: list[Span], places: list[int]) -> dict[int, list[bool]]:
        """Say for each place which of the marked strips it sees."""
        found: dict[int, list[bool]] = {place: [] for place in places}
        left = list(strips)
        while left:
            some = left[: self._at_once]
            marked = self._image.repeat(len(some), 1, 1, 1)
            for row, (first, last) in enumerate(some):
                marked[row].narrow(1 + axis, first, last - first).fill_(math.nan)
            try:
                shown = self._shows(marked).any(2 - axis)  # (strips, places along the axis)
            except Exception as error:
                if not is_out_of_memory(error) or len(some) == 1:
                    raise
                self._at_once = len(some) // 2
                continue
            for place in places:
                found[place] += cast("list[bool]", shown[:, place].tolist())
            left = left[len(some) :]
        return found

    def _shows_all(self, marked: Tensor) -> bool:
        try:
            return bool(self._shows(marked).all())
        except ForwardError:  # it checks its inputs
            return False

    def _shows(self, marked: Tensor) -> Tensor:
        """Return (n, rows, columns): where the layer shows NaN."""
        with torch.no_grad():
            return self._tap.emit(marked).isnan().any(1)
