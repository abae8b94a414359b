"""What a search for the most exciting inputs gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convlens.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["TopInputs"]

Integers = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class TopInputs:
    """The inputs that excite each channel most, the strongest first.

    Attributes
    ----------
    activation : ndarray
        float32 (channels, k); -inf where there were fewer inputs than k.
    index : ndarray
        int64 (channels, k): which input, counted in the order in which they came; -1 for none.
    position : ndarray
        int64 (channels, k, 2): row and column of the channel's maximum, in its map.
    box : ndarray
        int64 (channels, k, 4): top, left, bottom, right (the last two exclusive) of the input
        pixels that this position can see at all; -1 where inputs are no images.
    channels : tuple of int
    layer, kind : str
        Key of the layer, class of its module.
    by : str
        "max" or "mean": what inputs were ranked by.
    n : int
        Inputs looked at.
    model : str
        Class of the model.
    images : mapping of int to ndarray
        The inputs themselves, by their index, as they were given.
    pictures : mapping of int to ndarray
        uint8 (h, w, 3), or (h, w, 1) in grey: as a person looks at them.
    finished : bool
        False where it was stopped before the inputs ended.
    notes : tuple of str

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> top = cl.top_inputs(digits.model, digits.images, "layer1.0.conv1", [4], k=3)
    >>> [crop.shape for crop in top.crops(4)]
    [(5, 5, 1), (5, 5, 1), (5, 5, 1)]
    """

    activation: npt.NDArray[np.float32] = field(repr=False)
    index: Integers = field(repr=False)
    position: Integers = field(repr=False)
    box: Integers = field(repr=False)
    channels: tuple[int, ...]
    layer: str
    kind: str
    by: str
    n: int
    model: str
    images: Mapping[int, npt.NDArray[Any]] = field(repr=False)
    pictures: Mapping[int, Pixels] = field(repr=False)
    finished: bool = True
    notes: tuple[str, ...] = ()

    def inputs(self, channel: int) -> list[Pixels]:
        """Return the pictures of one channel, the strongest first."""
        row = self._row(channel)
        return [self._picture(index) for index in self.index[row].tolist() if index >= 0]

    def crops(self, channel: int) -> list[Pixels]:
        """Return what the exciting position of each of them can see: smaller at a border."""
        row = self._row(channel)
        found: list[Pixels] = []
        for index, box in zip(self.index[row].tolist(), self.box[row].tolist(), strict=True):
            if index >= 0:
                top, left, bottom, right = box
                found.append(self._picture(index)[top:bottom, left:right])
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with one row per channel and rank."""
        import pandas as pd

        rows, ranks = np.nonzero(self.index >= 0)
        box = self.box[rows, ranks]
        return pd.DataFrame(
            {
                "layer": self.layer,
                "channel": np.asarray(self.channels)[rows],
                "rank": ranks,
                "index": self.index[rows, ranks],
                "activation": self.activation[rows, ranks],
                "row": self.position[rows, ranks, 0],
                "column": self.position[rows, ranks, 1],
                "top": box[:, 0],
                "left": box[:, 1],
                "bottom": box[:, 2],
                "right": box[:, 3],
            }
        )

    def plot(self, ax: Axes | None = None, *, crops: bool = False) -> Figure:
        """Draw a row of inputs for each channel.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn upon; otherwise on a new figure of its own.
        crops : bool, default False
            Only what the exciting position sees.
        """
        from convlens.features.pictures import draw_grid

        shown: list[Pixels] = []
        titles: list[str] = []
        for row, channel in enumerate(self.channels):
            shown += self.crops(channel) if crops else self.inputs(channel)
            titles += [
                f"{channel}: {value:.3g}"
                for value, index in zip(
                    self.activation[row].tolist(), self.index[row].tolist(), strict=True
                )
                if index >= 0
            ]
        across = max(1, min(self.index.shape[1], 12))
        title = f"{self.layer}, top of {self.n:,} inputs"
        return draw_grid(shown, titles, ax, across=across, title=title)

    def _row(self, channel: int) -> int:
        if channel not in self.channels:
            some = ", ".join(str(one) for one in self.channels[:5])
            raise ArgumentError(f"Channel {channel} was not searched for; there are {some}.")
        return self.channels.index(channel)

    def _picture(self, index: int) -> Pixels:
        if index not in self.pictures:
            raise ArgumentError("These inputs are no images, so that there is nothing to show.")
        return self.pictures[index]

    def __repr__(self) -> str:
        count = f"{len(self.channels)} channel{'s' * (len(self.channels) != 1)}"
        stopped = "" if self.finished else ", stopped early"
        return (
            f"TopInputs({self.model}, {self.layer}: top {self.index.shape[1]} of {self.n:,} inputs "
            f"for {count} by {self.by}{stopped})"
        )

    def _repr_html_(self) -> str:
        from convlens.features.pictures import png_html

        return png_html(self.plot(), repr(self), self.notes)
