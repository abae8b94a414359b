"""The inputs of a Lens one by one: as pictures, with what the models make of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlens.activations import run, untouched
from convlens.errors import ArgumentError
from convlens.similarity.batches import part, tensors
from convlens.similarity.capture import fitted
from convlens.widget.analysis import Progress
from convlens.widget.answers import Answer, Steps
from convlens.widget.held import Holding, arguments
from convlens.widget.pixels import Pixels, as_pixels, find_pixels
from convlens.widget.snapshots import Snapshots
from convlens.widget.sources import Sources
from convlens.widget.upload import read_image

__all__ = ["PAGE", "Strip", "thumbnail"]

PAGE = 48
THUMBNAIL = 64
"""Largest side in pixels; smaller inputs keep their size."""
_AT_ONCE = 16


@dataclass
class Strip:
    """The inputs of a Lens, read as far as memory allows, and files that were dropped on it.

    Attributes
    ----------
    sources
        What the Lens was given.
    mean, std
        As the user gave them; see `find_pixels`.
    """

    kinds: ClassVar[tuple[str, ...]] = ("inputs", "picture", "upload")

    sources: Sources
    mean: list[float] | None = None
    std: list[float] | None = None
    held: Holding = field(init=False)
    snapshots: Snapshots = field(init=False)
    _scores: dict[tuple[str, int], Tensor] = field(default_factory=dict[tuple[str, int], Tensor])

    def __post_init__(self) -> None:
        self.held = Holding(self.sources)
        self.snapshots = Snapshots(self.sources.sides)

    @property
    def pixels(self) -> Pixels:
        """How inputs become pixels."""
        few, drawn = self.held.few(64)
        return find_pixels(self.held.images(few, drawn=drawn), self.mean, self.std)

    def forget(self) -> None:
        """Forget what the models made of the inputs: their weights have changed."""
        self._scores.clear()

    # -- answers ---------------------------------------------------------------------------

    def answer(self, kind: str, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Answer a request of one of `kinds`."""
        if kind == "inputs":
            return (yield from self.page(params["start"]))
        if kind == "picture":
            return (yield from self.picture(params["index"]))
        return (yield from self.upload(params["name"], params["data"]))

    def answers(self, pictured: Iterable[int]) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        """Give the pages that were read, and inputs in full: kind, parameters, answer."""
        known = 0
        while self._is_scored(known):
            known += 1
        for start in range(0, known, PAGE):
            header, arrays = self._rows(range(start, min(known, start + PAGE)))
            yield "inputs", {"start": start}, ({**header, "total": known}, arrays)
        for index in filter(self._is_scored, sorted(set(pictured))):
            yield "picture", {"index": index}, self._picture(index)

    def page(self, start: int) -> Steps:
        """Answer a page of inputs: thumbnails, labels and predictions."""
        while self.held.given < start + PAGE and self.held.read():
            yield
        known = self.held.known
        if start >= known:
            raise ArgumentError(f"start must be below {known}, the number of inputs, not {start}.")
        stop = min(known, start + PAGE)
        if self.held.given < stop and not self.held.ended:
            stop = self.held.given
        yield from self._predict(range(start, stop))
        return self._rows(range(start, stop))

    def picture(self, index: int) -> Steps:
        """Answer one input as the model takes it, and the scores of every class."""
        while self.held.given <= index and self.held.read():
            yield
        self.held.check(index)
        yield from self._predict([index])
        return self._picture(index)

    def _picture(self, index: int) -> Answer:
        arrays: dict[str, npt.NDArray[Any]] = {"image": _float32(self.held.image(index)[0])}
        for side in self.sources.sides:
            scores = self._scores[side, index]
            if scores.numel():
                arrays["scores" if side == "model" else "reference_scores"] = _float32(scores)
        header = {
            "index": index,
            "label": self.held.label(index),
            "name": self.held.name(index),
            "shape": list(self.held.image(index).shape[1:]),
            **self._scale(),
        }
        return header, arrays

    def upload(self, name: str, data: str) -> Steps:
        """Take an image file as one more input, and answer its row."""
        while self.held.read():
            yield
        pixels = self.pixels
        one, drawn = self.held.few(1)
        if not _is_one_tensor(one, drawn=drawn):
            raise ArgumentError(
                "The model of this Lens takes more than one image at a time: "
                "files can be dropped only where it takes one."
            )
        image = self.held.images(one, drawn=drawn)
        if pixels.how == "stretched":
            raise ArgumentError(
                "Say the mean and std of the inputs first: without them it is not known how "
                "an image file becomes what the model takes."
            )
        _, channels, height, width = image.shape
        read = read_image(data, name, channels, (height, width))
        yield
        index = self.held.add(pixels.take(read).to(image.device, image.dtype), name)
        yield from self._predict([index])
        return self._rows(range(index, index + 1))

    def _rows(self, indices: range) -> Answer:
        pixels = self.pixels
        images = [pixels.show(self.held.image(index).cpu()) for index in indices]
        size = thumbnail(images[0])
        small = torch.cat(
            [
                one if one.shape[2:] == size else F.interpolate(one, size, mode="area")
                for one in images
            ]
        )
        labels = [self.held.label(index) for index in indices]
        arrays: dict[str, npt.NDArray[Any]] = {
            "thumbnails": cast(Any, as_pixels(small)).numpy(),
            "labels": np.array([-1 if x is None else x for x in labels], dtype=np.int32),
        }
        classes = 0
        for side in self.sources.sides:
            rows = [self._scores[side, index] for index in indices]
            if all(row.numel() for row in rows):
                classes = rows[0].numel()
                prefix = "" if side == "model" else "reference_"
                best = [int(row.argmax()) for row in rows]
                chances = [float(row[i]) for row, i in zip(rows, best, strict=True)]
                arrays[f"{prefix}predicted"] = np.array(best, dtype=np.int32)
                arrays[f"{prefix}probability"] = np.array(chances, dtype=np.float32)
        header = {
            "start": indices.start,
            "stop": indices.stop,
            "total": self.held.total,
            "given": self.held.given,
            "more": self.held.left_out,
            "shape": list(images[0].shape[1:]),
            "thumbnail": list(size),
            "classes": classes,
            "names": {str(i): name for i in indices if (name := self.held.name(i))},
            **self._scale(),
        }
        return header, arrays

    def _scale(self) -> dict[str, Any]:
        pixels = self.pixels
        return {
            "mean": list(pixels.mean),
            "std": list(pixels.std),
            "how": pixels.how,
            "scale": pixels.name,
        }

    def _is_scored(self, index: int) -> bool:
        return all((side, index) in self._scores for side in self.sources.sides)

    # -- predicting ------------------------------------------------------------------------

    def _predict(self, indices: range | list[int]) -> Generator[None]:
        """Have the models score inputs that they have not scored yet, a few a step."""
        for side in self.sources.sides:
            missing = [index for index in indices if (side, index) not in self._scores]
            if not missing:
                continue
            copy = self.snapshots.of(side)
            for group in self._together(missing):
                held, at = self.held.find(group[0])
                some = part(held.inputs, held.n, at, at + len(group))
                scores = self._scored(copy, some, len(group), drawn=held.drawn)
                for index, row in zip(group, scores, strict=True):
                    self._scores[side, index] = row
                yield

    def _together(self, indices: list[int]) -> Iterator[list[int]]:
        """Group neighbours that came in the same batch."""
        group: list[int] = []
        for index in indices:
            fits = group and index == group[-1] + 1 and len(group) < _AT_ONCE
            if group and not (fits and self.held.find(index)[0] is self.held.find(group[0])[0]):
                yield group
                group = []
            group.append(index)
        if group:
            yield group

    def _scored(self, model: nn.Module, inputs: Any, n: int, *, drawn: bool) -> Tensor:
        """Give the probability of every class, (n, classes); (n, 0) where there are no classes."""
        forward = self.sources.forward
        args = arguments(model, inputs, drawn=drawn, given=forward)
        with untouched(model, runs=True), torch.inference_mode(mode=False):
            outputs = run(model, fitted(args, model), forward)
        found = next(tensors(outputs), None)
        if found is None or found.dim() != 2 or found.shape[0] != n or found.shape[1] < 2:
            return torch.empty(n, 0)
        scores = found.detach().float().cpu()
        total = scores.sum(1)
        if bool((scores >= 0).all()) and bool(((total - 1).abs() < 1e-3).all()):
            return scores  # the model ends with a softmax of its own
        return scores.softmax(1)


def _is_one_tensor(inputs: Any, *, drawn: bool) -> bool:
    """Say whether the model takes one tensor; what a loader gives holds labels too."""
    return isinstance(inputs, Tensor) or (drawn and isinstance(inputs, (list, tuple)))


def thumbnail(images: Tensor) -> tuple[int, int]:
    """Give the height and width of what images are shown as in small."""
    height, width = images.shape[2:]
    scale = min(1.0, THUMBNAIL / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _float32(tensor: Tensor) -> npt.NDArray[np.float32]:
    return cast(Any, tensor.detach().float().cpu()).numpy()
