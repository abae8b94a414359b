"""The inputs of a Lens that excite a channel most, and where on one of them it fires."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor

from convlens.features import Search, activation_maps
from convlens.similarity.batches import part
from convlens.widget.analysis import Progress
from convlens.widget.answers import Answer, Steps
from convlens.widget.beside import Beside, smaller
from convlens.widget.held import Holding, arguments
from convlens.widget.pixels import as_pixels

__all__ = ["Exciting"]

_REPORT_EVERY = 0.12
_TOGETHER_BYTES = 256 * 2**20
_LARGEST = 320  # side of a picture that is sent, in pixels
_AT_ONCE = 64  # inputs of a batch that has to be split
_MOST = 9


@dataclass
class Exciting:
    """The searches made so far, each kept so that it can be gone on with.

    Attributes
    ----------
    beside
        The models.
    """

    beside: Beside
    _searches: dict[tuple[Any, ...], Search] = field(default_factory=dict[tuple[Any, ...], Search])

    def forget(self) -> None:
        """Forget what was found: the weights have changed."""
        self._searches.clear()

    def search(self, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Look through the inputs, one batch a step, from where it was stopped."""
        yield from self.beside.read()
        layer, channel = params["layer"], params["channel"]
        searches = {side: self._search(side, layer, channel) for side in self.beside.sides}
        looking = [search for search in searches.values() if isinstance(search, Search)]
        reported = 0.0
        while looking := [search for search in looking if not search.finished]:
            for search in looking:
                next(search.steps(), None)
                yield
            if time.monotonic() - reported > _REPORT_EVERY:
                progress(*self._excited(searches, params))
                reported = time.monotonic()
        return self._excited(searches, params)

    def maps(self, params: Mapping[str, Any]) -> Steps:
        """Answer the activation maps of a channel on one input."""
        layer, channel, index = params["layer"], params["channel"], params["input"]
        beside, held = self.beside, self.beside.strip.held
        while held.given <= index and held.read():
            yield
        sample, drawn = held.sample(index)
        picture = smaller(self._picture(held.image(index)), _LARGEST)[0]
        arrays: dict[str, npt.NDArray[Any]] = {"picture": picture}
        sides: list[dict[str, Any]] = []
        for side in beside.sides:
            if reason := beside.why_not(side, layer, channel):
                sides.append(beside.shown(side, reason) | {"extent": [0, 0]})
                continue
            model, given = beside.model(side), beside.sources.forward
            batch = arguments(model, sample, drawn=drawn, given=given)
            key = beside.key(side, layer)
            found = activation_maps(model, batch, key, [channel], forward=given).values[0, 0]
            found = found.reshape(-1, found.shape[-1]) if found.ndim else found.reshape(1, 1)
            sides.append(beside.shown(side, None) | {"extent": list(found.shape)})
            arrays[f"{side}_map"] = np.ascontiguousarray(found, dtype=np.float32)
            yield
        return {**params, "extent": list(picture.shape), "sides": sides}, arrays

    def _search(self, side: str, layer: str, channel: int) -> Search | str:
        """Give the search for a channel: one for all of a layer, where memory allows."""
        beside = self.beside
        if reason := beside.why_not(side, layer, channel):
            return reason
        held = beside.strip.held
        few, drawn = held.few(1)
        size = held.images(few, drawn=drawn).nbytes
        together = _MOST * size * beside.channels(side, layer) <= _TOGETHER_BYTES
        key = (side, layer, None if together else channel)
        search = self._searches.pop(key, None)
        if search is None:
            search = Search(
                beside.model(side),
                _Each(held),
                beside.key(side, layer),
                None if together else [channel],
                _MOST,
                forward=beside.sources.forward,
            )
        self._searches[key] = search
        while len(self._searches) > 6:
            del self._searches[next(iter(self._searches))]
        return search

    def _excited(self, searches: Mapping[str, Search | str], params: Mapping[str, Any]) -> Answer:
        beside, held = self.beside, self.beside.strip.held
        sides: list[dict[str, Any]] = []
        arrays: dict[str, npt.NDArray[Any]] = {}
        for side, search in searches.items():
            if isinstance(search, str) or not search.samples:
                reason = search if isinstance(search, str) else None
                sides.append(beside.shown(side, reason) | {"extent": [0, 0, 3], "items": []})
                continue
            found = search.result()
            row = found.channels.index(params["channel"])
            places = [index for index in found.index[row].tolist() if index >= 0]
            if not places:  # NaN excites nobody
                sides.append(beside.shown(side, None) | {"extent": [0, 0, 3], "items": []})
                continue
            images = [held.image(index) for index in places]
            pictures = np.concatenate([smaller(self._picture(one), _LARGEST) for one in images])
            items = [
                {"index": index, "value": value, "box": _shares(box, image)}
                for index, value, box, image in zip(
                    places,
                    found.activation[row].tolist(),
                    found.box[row].tolist(),
                    images,
                    strict=False,
                )
            ]
            extent = list(pictures.shape[1:])
            sides.append(beside.shown(side, None) | {"extent": extent, "items": items})
            arrays[f"{side}_pictures"] = pictures
        runs = [search for search in searches.values() if isinstance(search, Search)]
        header = {
            **params,
            "done": sum(run.samples for run in runs),
            "total": None if held.total is None else held.given * len(runs),
            "label": "inputs that excite it",
            "seen": max((run.samples for run in runs), default=0),
            "more": held.left_out,
            "finished": all(run.finished for run in runs),
            "sides": sides,
        }
        return header, arrays

    def _picture(self, image: Tensor) -> npt.NDArray[np.uint8]:
        shown = as_pixels(self.beside.strip.pixels.show(image.cpu()))
        return cast("Any", shown).numpy()


class _Each:
    """The inputs of a Lens from the first on; what was not read yet is read."""

    def __init__(self, held: Holding) -> None:
        self._held = held

    def __iter__(self) -> Iterator[Any]:
        start = 0
        while start < self._held.given or self._held.read():
            held, _ = self._held.find(start)
            for first in range(0, held.n, _AT_ONCE):
                yield part(held.inputs, held.n, first, min(held.n, first + _AT_ONCE))
            start += held.n


def _shares(box: list[int], image: Tensor) -> list[float]:
    """Give a box in shares of the picture: top, left, bottom, right."""
    if min(box) < 0:
        return [0.0, 0.0, 1.0, 1.0]
    height, width = image.shape[2:]
    top, left, bottom, right = box
    return [top / height, left / width, bottom / height, right / width]
