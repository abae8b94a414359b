"""Pictures of the inputs whose predicted class changed, kept as a report meets them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from convlens.compression import Assessment, Flip
from convlens.errors import ArgumentError
from convlens.similarity.batches import BATCH_SIZE, samples, taken
from convlens.widget.answers import Steps
from convlens.widget.held import MOST_BYTES
from convlens.widget.pixels import as_pixels
from convlens.widget.strip import PAGE, Strip, thumbnail

__all__ = ["MOST", "Flipped"]

MOST = 1_024
"""Flipped inputs whose pictures are kept, where they take less than `MOST_BYTES`."""


class _Drawn:
    """Batches of a loader as they are drawn; the last stays at hand."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self.last: Any = None
        self.start = self.stop = 0

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            self.last = batch
            yield batch


@dataclass
class Flipped:
    """The inputs of a report that flipped, to look at.

    A loader may give its inputs in another order each time, and more than a Lens holds: what
    flips is kept from the batch that the report was made of.

    Attributes
    ----------
    strip
        The inputs of the Lens.
    inputs
        What a report is to be made of: the inputs of the Lens, watched.
    """

    strip: Strip
    inputs: Any = field(init=False)
    _images: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    _bytes: int = 0
    _seen: int = 0

    def __post_init__(self) -> None:
        given = self.strip.sources.inputs
        if isinstance(given, Dataset):
            given = DataLoader(cast("Dataset[Any]", given), batch_size=BATCH_SIZE)
        whole = isinstance(given, (Tensor, tuple, Mapping, str, bytes))
        drawn = not whole and not hasattr(given, "__array__") and hasattr(given, "__iter__")
        self.inputs = _Drawn(given) if drawn else given

    def see(self, assessment: Assessment) -> None:
        """Keep the inputs that flipped in the step that was just done."""
        drawn = self.inputs
        # the first step draws a batch that the second runs
        if not isinstance(drawn, _Drawn) or drawn.last is None or assessment.label == "weights":
            return
        flips = assessment.result().flips
        fresh, self._seen = flips[self._seen :], len(flips)
        batch, drawn.last = taken(drawn.last, self.strip.sources.inputs_from), None
        n = samples(batch)
        drawn.start, drawn.stop = drawn.stop, drawn.stop + n
        if not fresh or self._full:
            return
        try:
            images = self.strip.held.images(batch, drawn=True)
        except ArgumentError:  # no images: nothing to look at
            return
        for flip in fresh:
            if self._full:
                return
            at = flip.index - drawn.start
            image = self._images[flip.index] = images[at : at + 1].cpu().clone()
            self._bytes += image.nbytes

    @property
    def _full(self) -> bool:
        return len(self._images) >= MOST or self._bytes >= MOST_BYTES

    def page(self, flips: Sequence[Flip], start: int) -> Steps:
        """Answer a page of flipped inputs: pictures, and whether the Lens holds each."""
        held = self.strip.held
        some = flips[start : start + PAGE]
        try:
            while held.given <= some[-1].index and held.read():
                yield
            reason = None
        except ArgumentError as error:
            reason = str(error)
        images = {} if reason else {f.index: self._image(f.index) for f in some}
        shown = {index: image for index, image in images.items() if image is not None}
        header: dict[str, Any] = {
            "stop": start + len(some),
            "reason": reason,
            "at": [place for place, flip in enumerate(some) if flip.index in shown],
            "held": [index for index, image in shown.items() if self._is_held(index, image)],
            "thumbnail": [0, 0],
        }
        arrays: dict[str, npt.NDArray[Any]] = {}
        if shown:
            arrays["thumbnails"] = self._pictures(list(shown.values()))
            header["thumbnail"] = list(arrays["thumbnails"].shape[1:3])
        yield
        return header, arrays

    def _image(self, index: int) -> Tensor | None:
        if isinstance(self.inputs, _Drawn):
            return self._images.get(index)
        return self.strip.held.image(index).cpu()

    def _is_held(self, index: int, image: Tensor) -> bool:
        """Say whether the input at that place in the strip is the one that flipped."""
        held = self.strip.held
        if index >= held.given:
            return False
        other = held.image(index).cpu()
        return other.shape == image.shape and bool(torch.equal(other, image))

    def _pictures(self, images: list[Tensor]) -> npt.NDArray[np.uint8]:
        pixels = self.strip.pixels
        size = thumbnail(images[0])
        small = [F.interpolate(pixels.show(image), size, mode="area") for image in images]
        return cast("Any", as_pixels(torch.cat(small))).numpy()
