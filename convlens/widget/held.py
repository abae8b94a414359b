"""The inputs that a Lens holds: read as far as memory allows, and files that were dropped on it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn

from convlens.activations import untouched
from convlens.errors import ArgumentError
from convlens.inputs import as_call
from convlens.similarity.batches import Stream, part, samples, taken, tensors
from convlens.widget.sources import Sources

__all__ = ["MOST", "Held", "Holding", "arguments"]

MOST = 2_048
MOST_BYTES = 256 * 2**20

_LABELS = ("label", "labels", "target", "targets", "y")


@dataclass
class Held:
    """Inputs that came together."""

    inputs: Any
    n: int
    drawn: bool
    labels: tuple[int, ...] | None = None
    name: str = ""


@dataclass
class Holding:
    """The inputs of a Lens by their place, read batch by batch.

    Attributes
    ----------
    sources
        What the Lens was given.
    """

    sources: Sources
    _held: list[Held] = field(default_factory=list[Held])
    _ends: list[int] = field(default_factory=list[int])
    _stream: Stream | None = None
    _uploads: list[Held] = field(default_factory=list[Held])

    # -- what there is ---------------------------------------------------------------------

    @property
    def total(self) -> int | None:
        """How many inputs there are, files included; None until all were read."""
        return self.known if self.ended else None

    @property
    def known(self) -> int:
        """How many inputs there are so far, files included."""
        return self.given + len(self._uploads)

    def check(self, index: int) -> None:
        """Raise ArgumentError unless there is an input `index`, of those read so far."""
        known = self.known
        if self.sources.inputs is None:
            raise ArgumentError("This Lens has no inputs: make it with Lens(model, inputs=images).")
        if not 0 <= index < known:
            raise ArgumentError(
                f"input_index must be from 0 to {known - 1}, the inputs of this Lens, not {index}."
            )

    def sample(self, index: int) -> tuple[Any, bool]:
        """Give an input as a batch of one, and whether it was drawn from a loader."""
        held, at = self.find(index)
        return part(held.inputs, held.n, at, at + 1), held.drawn

    def one(self, index: int) -> Any:
        """Give an input as the model takes it, read up to there where need be."""
        while self.given <= index and self.read():
            pass
        inputs, drawn = self.sample(index)
        args = arguments(self.sources.model, inputs, drawn=drawn, given=self.sources.forward)
        several = cast("tuple[Any, ...]", args)
        return several[0] if isinstance(args, tuple) and len(several) == 1 else several

    def image(self, index: int) -> Tensor:
        """Give an input as an image (1, channels, height, width), as the model takes it."""
        inputs, drawn = self.sample(index)
        return self.images(inputs, drawn=drawn)

    def label(self, index: int) -> int | None:
        """Give the true class of an input, where it is known."""
        held, at = self.find(index)
        if held.labels is not None:
            return held.labels[at]
        given = self.sources.labels
        uploaded = self.ended and index >= self.given
        return given[index] if given is not None and not uploaded and index < len(given) else None

    def name(self, index: int) -> str:
        """Give the name of the file that an input was; "" of others."""
        return self.find(index)[0].name

    # -- reading ---------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether all were read for which there is room."""
        return bool(self._held) and self._stream is None

    @property
    def left_out(self) -> bool:
        """Whether the loader had more than was read."""
        return self.ended and self._held[0].drawn and self._full

    @property
    def _full(self) -> bool:
        size = sum(t.nbytes for held in self._held for t in tensors(held.inputs))
        return self.given >= MOST or size >= MOST_BYTES

    @property
    def given(self) -> int:
        """How many of the inputs that the Lens was given have been read."""
        return self._ends[-1] if self._ends else 0

    def read(self) -> bool:
        """Read one more batch; False where there is none, or no room."""
        if self.ended:
            return False
        inputs = self.sources.inputs
        if inputs is None:
            self.check(0)
        if isinstance(inputs, (Tensor, tuple, Mapping)):
            whole = taken(cast(Any, inputs), self.sources.inputs_from)
            self._hold(Held(whole, samples(whole), drawn=False))
            return True
        # what a loader draws from random generators is the caller's to keep
        with untouched(nn.Identity()):
            if self._stream is None:
                self._stream = Stream(inputs)
            batch = None if self._full else self._stream.next()
        if batch is None:
            self._stream = None
            if not self._held:
                raise ArgumentError("inputs is empty: it must hold at least one batch.")
            return False
        chosen = taken(batch.inputs, self.sources.inputs_from)
        labels = None if self.sources.labels is not None else _labels_in(batch.inputs, batch.n)
        self._hold(Held(chosen, batch.n, drawn=True, labels=labels))
        return True

    def _hold(self, held: Held) -> None:
        few = part(held.inputs, held.n, 0, 1)
        self.images(few, drawn=held.drawn)
        self._held.append(held)
        self._ends.append(self.given + held.n)

    def add(self, inputs: Tensor, name: str) -> int:
        """Hold an image from a file, and return its place."""
        self._uploads.append(Held(inputs, 1, drawn=False, name=name))
        return self.known - 1

    def few(self, n: int) -> tuple[Any, bool]:
        """Give the first `n` inputs at most, and whether they were drawn from a loader."""
        self.check(0)
        first = self._held[0]
        return part(first.inputs, first.n, 0, min(first.n, n)), first.drawn

    def find(self, index: int) -> tuple[Held, int]:
        """Give what an input came in, and its place in there."""
        self.check(index)
        if index >= self.given:
            return self._uploads[index - self.given], 0
        place = bisect_right(self._ends, index)
        return self._held[place], index - (self._ends[place - 1] if place else 0)

    def images(self, inputs: Any, *, drawn: bool) -> Tensor:
        """Find the images in a batch: the first tensor of four dimensions."""
        args = arguments(self.sources.model, inputs, drawn=drawn, given=self.sources.forward)
        found = next((t for t in tensors(args) if t.dim() == 4), None)
        if found is None:
            first = next(tensors(args), None)
            shape = "no tensor" if first is None else f"of shape {tuple(first.shape)}"
            raise ArgumentError(
                f"The inputs are {shape}: this view is drawn over images, "
                "(n, channels, height, width)."
            )
        return found.detach()


def arguments(model: nn.Module, inputs: Any, *, drawn: bool, given: object) -> Any:
    """Give what of a batch goes into the model."""
    if given is not None:
        # of a list, `run` would take the first batch
        return tuple(cast("Any", inputs)) if isinstance(inputs, list) else inputs
    args, named = as_call(model, inputs, drawn=drawn)
    return named if named else args


def _labels_in(batch: Any, n: int) -> tuple[int, ...] | None:
    """Find the true classes that a loader gives with its images."""
    found: Any = None
    if isinstance(batch, Mapping):
        named = cast("Mapping[Any, Any]", batch)
        found = next((named[key] for key in _LABELS if key in named), None)
    elif isinstance(batch, (list, tuple)) and len(cast("Any", batch)) > 1:
        found = cast("Any", batch)[1]
    if not isinstance(found, Tensor) or found.shape != (n,) or found.is_floating_point():
        return None
    return tuple(cast("list[int]", found.long().tolist()))
