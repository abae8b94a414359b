"""The two models of a Lens side by side: copies to run, and what the reference lacks."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from convlens.errors import ArgumentError, UnknownLayerError
from convlens.layers import find_layers
from convlens.widget.sources import Sources
from convlens.widget.strip import Strip

__all__ = ["Beside", "smaller"]


@dataclass
class Beside:
    """A model and its reference, each as a copy that training does not notice.

    Attributes
    ----------
    sources
        What the Lens was given.
    strip
        Its inputs, and the colours to show them in.
    """

    sources: Sources
    strip: Strip
    _outputs: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    _in_graph: dict[tuple[str, str], bool] = field(default_factory=dict[tuple[str, str], bool])

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that there are: "model", and "reference" where one was given."""
        return tuple(self.sources.sides)

    def forget(self) -> None:
        """Look at the layers anew: they may have changed."""
        self._outputs.clear()

    def model(self, side: str) -> nn.Module:
        """Give a copy of the model of a side, as its weights are now."""
        return self.strip.snapshots.of(side)

    def key(self, side: str, layer: str) -> str:
        """Give the key that a layer of the model has on a side."""
        return self.sources.layer_of(side, layer)

    def channels(self, side: str, layer: str) -> int:
        """Count the outputs of a layer.

        Raises
        ------
        UnknownLayerError
            Where that side has no such layer.
        ArgumentError
            Where it cannot be known.
        """
        key = (side, layer)
        if key not in self._outputs:
            # found without running the model, layers have no calls
            found = find_layers(self.sources.sides[side])[
                re.sub(r":\d+$", "", self.key(side, layer))
            ]
            self._in_graph[key] = isinstance(found.module, fx.GraphModule)
            if not found.shape:
                raise ArgumentError(
                    f"How many channels {layer} has is not known: {found.reason or 'run it once'}."
                )
            self._outputs[key] = found.shape[0]
        return self._outputs[key]

    def why_not(self, side: str, layer: str, channel: int) -> str | None:
        """Say why the reference has no such channel; None where it has.

        Raises
        ------
        ArgumentError
            Where the model has none.
        """
        if side == "model":
            count = self.channels(side, layer)
            if channel < count:
                return self._why_unwatched(side, layer)
            raise ArgumentError(
                f"channel must be from 0 to {count - 1}, an output of {layer}, not {channel}."
            )
        try:
            count = self.channels(side, layer)
        except UnknownLayerError:
            return f"has no layer {layer}"
        except ArgumentError as error:
            return str(error)
        if channel < count:
            return self._why_unwatched(side, layer)
        return f"has {count} channels there"

    def _why_unwatched(self, side: str, layer: str) -> str | None:
        """Say why the layer's output cannot be seen: a call in an exported graph is no module."""
        if not self._in_graph[side, layer]:
            return None
        return f"computes {layer} by a call inside an exported graph, which cannot be looked into"

    def shown(self, side: str, reason: str | None) -> dict[str, Any]:
        """Give what the front end calls a side, and why it has nothing to show."""
        title = self.sources.titles[0 if side == "model" else 1]
        return {"side": side, "title": title, "reason": reason}

    def read(self) -> Generator[None]:
        """Have at least the first inputs, where there are any."""
        while self.sources.inputs is not None and not self.strip.held.given:
            self.strip.held.read()
            yield


def smaller(pictures: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Give pictures (n, h, w, colours) with no side longer than `side`."""
    height, width = pictures.shape[1:3]
    longest = max(height, width)
    if longest <= side:
        return pictures
    size = [max(1, round(length * side / longest)) for length in (height, width)]
    floats = torch.from_numpy(pictures).movedim(-1, 1).float()
    found = nn.functional.interpolate(floats, size=size, mode="area")
    return cast("Any", found.round().to(torch.uint8).movedim(1, -1).contiguous()).numpy()
