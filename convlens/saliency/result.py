"""The result of an attribution."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from convlens.errors import ArgumentError
from convlens.saliency.methods import METHODS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Floats", "Saliency"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_ABOUT_ZERO = 1e-12


@dataclass(frozen=True)
class Saliency:
    """What each part of some inputs has to do with a target.

    Attributes
    ----------
    values : numpy.ndarray
        float32, as they are: the shape of the inputs (n, channels, height, width), or of a layer's
        outputs for Grad-CAM (n, 1, h, w) and attributions to a layer.
    method : str
    parameters : dict
        Every parameter of the method.
    target : numpy.ndarray or None
        The class of each input; None for a callable, and of a channel.
    target_name : str
        "predicted", "label", "class", or the name of the callable.
    score : numpy.ndarray or None
        The model's output for each input and its target.
    predicted, probability : numpy.ndarray or None
        The predicted class of each input and its probability; None where outputs are no classes.
    label : numpy.ndarray or None
        The true class, where it is known.
    delta : numpy.ndarray or None
        Of a method that adds up: the sum of the values less the difference of outputs that they
        should sum up to. Small is good.
    layer, channel : str or None, int or None
        What of the model it is about.
    baseline : str or None
        What the inputs were compared with.
    input_shape : tuple of int
        Of one input.
    model : str
        The model's class.
    finished : bool
        False where it was stopped: then only the first inputs are here.
    notes : tuple of str
        What was out of the ordinary.
    """

    values: Floats
    method: str
    parameters: dict[str, Any]
    target: Integers | None
    target_name: str
    score: Floats | None
    predicted: Integers | None
    probability: Floats | None
    label: Integers | None
    delta: Floats | None
    layer: str | None
    channel: int | None
    baseline: str | None
    input_shape: tuple[int, ...]
    model: str = ""
    finished: bool = True
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.values)

    @property
    def about_zero(self) -> npt.NDArray[np.bool_]:
        """Of each input, whether all values are about zero: a map would show nothing but noise."""
        return np.abs(self.values).reshape(len(self.values), -1).max(1) < _ABOUT_ZERO

    @property
    def upsampled(self) -> Floats:
        """The values at the size of the inputs, (n, channels, height, width).

        Those of a layer are interpolated: bilinearly, or as the method's parameters say.
        """
        size = self.input_shape[1:]
        if self.values.shape[2:] == size or not size or self.values.ndim != 2 + len(size):
            return self.values
        how: str = self.parameters.get("interpolate", "bilinear")
        if len(size) != 2:
            how = "nearest"
        align = {"align_corners": False} if how == "bilinear" else {}
        found = F.interpolate(torch.from_numpy(self.values), size, mode=how, **align)
        return found.numpy()

    def map(self, reduce: Literal["sum", "abs", "max"] | None = None) -> Floats:
        """Return one value per pixel, at the size of the inputs.

        Parameters
        ----------
        reduce : {"sum", "abs", "max"}, optional
            Over channels: the sum, the sum of sizes, the largest size. By default the sum where
            there are signs, and else the largest, as in Simonyan et al. 2014.

        Returns
        -------
        numpy.ndarray
            (n, height, width), float32.

        Raises
        ------
        ArgumentError
            The values are no map, or `reduce` is none of these.

        Examples
        --------
        >>> import convlens as cl
        >>> digits = cl.demo.load()
        >>> cl.attribute(digits.model, digits.images[:3], method="saliency").map().shape
        (3, 8, 8)
        """
        values = self.upsampled
        if values.ndim != 4:
            sizes = " x ".join(str(size) for size in values.shape)
            raise ArgumentError(f"The values are {sizes} and no map: use .values.")
        if reduce is None:
            reduce = "sum" if (values < 0).any() else "max"
        if reduce == "sum":
            return values.sum(1, dtype=np.float32)
        if reduce == "abs":
            return np.abs(values).sum(1, dtype=np.float32)
        if reduce == "max":
            return np.abs(values).max(1)
        raise ArgumentError(f"reduce is {reduce!r}; it must be 'sum', 'abs' or 'max'.")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per input: target, prediction, score, delta and the range of values."""
        import pandas as pd

        flat = self.values.reshape(len(self.values), -1)
        columns: dict[str, Any] = {
            "target": self.target,
            "score": self.score,
            "predicted": self.predicted,
            "probability": self.probability,
            "label": self.label,
            "delta": self.delta,
            "lowest": flat.min(1),
            "highest": flat.max(1),
            "sum": flat.sum(1),
            "mean_size": np.abs(flat).mean(1),
        }
        frame = pd.DataFrame({k: v for k, v in columns.items() if v is not None})
        frame.index.name = "input"
        return frame

    def plot(
        self,
        ax: Axes | None = None,
        inputs: Any = None,
        *,
        shared: bool = True,
        percentile: float = 99.0,
    ) -> Figure:
        """Draw the maps, over the inputs in grey where these are given.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw all maps side by side; default: a new figure.
        inputs : Tensor or array, optional
            The same inputs, drawn in grey under the maps.
        shared : bool, default True
            One scale for all maps, so that they can be compared.
        percentile : float, default 99
            Of the values' sizes, at which colours are clipped.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from convlens.saliency.pictures import draw

        return draw(self, ax, inputs, shared=shared, percentile=percentile)

    def __repr__(self) -> str:
        title = METHODS[self.method].title
        count = f"{len(self.values)} input{'s' if len(self.values) != 1 else ''}"
        place = "" if self.layer is None else f" at {self.layer}"
        place += "" if self.channel is None else f", channel {self.channel}"
        what = f" of {self.target_name}" if self.channel is None else ""
        ends = f"{float(self.values.min()):.3g} to {float(self.values.max()):.3g}"
        delta = ""
        if self.delta is not None:
            delta = f", |delta| <= {float(np.abs(self.delta).max()):.2g}"
        stopped = "" if self.finished else ", stopped"
        return f"Saliency({title}{place}{what}: {count}, {ends}{delta}{stopped})"

    def _repr_html_(self) -> str:
        lines = list(self.notes)
        if self.about_zero.any():
            which = ", ".join(str(i) for i in np.flatnonzero(self.about_zero)[:8])
            lines.append(f"all values about zero: input {which}")
        notes = "".join(f"<li>{escape(line)}</li>" for line in lines)
        frame: Any = self.to_frame()
        table: str = frame.round(4).to_html(max_rows=10)
        return f"<p>{escape(repr(self))}</p>{table}" + (f"<ul>{notes}</ul>" if notes else "")
