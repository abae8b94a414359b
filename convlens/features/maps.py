"""What a layer's channels answer to given inputs, position by position."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from convlens.errors import ArgumentError
from convlens.features.objectives import check_channels
from convlens.features.tap import Forward, Tap
from convlens.inputs import first_batch, own_copy
from convlens.tree import kind_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ActivationMaps", "activation_maps"]


@dataclass(frozen=True, eq=False)
class ActivationMaps:
    """Activations of channels of a layer.

    Attributes
    ----------
    values : ndarray
        float32 (n, channels, h, w); (n, channels, positions) or (n, channels) where the layer
        gives no maps.
    channels : tuple of int
    layer, kind : str
        Key of the layer, class of its module.
    model : str
        Class of the model.
    notes : tuple of str

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> maps = cl.activation_maps(digits.model, digits.images[:2], "layer3.0.conv1", [0, 1, 2])
    >>> maps.values.shape
    (2, 3, 4, 4)
    """

    values: npt.NDArray[np.float32] = field(repr=False)
    channels: tuple[int, ...]
    layer: str
    kind: str
    model: str
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return mean, max and share above 0 of each map, one row per input and channel."""
        import pandas as pd

        n, count = self.values.shape[:2]
        flat = self.values.reshape(n * count, -1)
        return pd.DataFrame(
            {
                "input": [i for i in range(n) for _ in self.channels],
                "channel": [c for _ in range(n) for c in self.channels],
                "mean": flat.mean(1),
                "max": flat.max(1),
                "active": (flat > 0).mean(1),
            }
        )

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the maps, a row per input, on one scale about zero.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn upon; otherwise on a new figure of its own.
        """
        from convlens.features.pictures import draw_grid

        n, count = self.values.shape[:2]
        grids = self.values.reshape(n * count, *self.values.shape[2:])
        grids = grids.reshape(n * count, 1, -1) if grids.ndim < 3 else grids
        most = float(np.abs(np.nan_to_num(self.values, posinf=0, neginf=0)).max()) or 1.0
        titles = [f"{i}, channel {c}" for i in range(n) for c in self.channels]
        return draw_grid(
            list(grids),
            titles,
            ax,
            title=f"{self.layer}, activations up to ±{most:.3g}",
            across=min(count, 8) if n > 1 else 8,
            cmap="RdBu_r",
            limits=(-most, most),
        )

    def __repr__(self) -> str:
        shape = " x ".join(str(size) for size in self.values.shape)
        return f"ActivationMaps({self.model}, {self.layer}: {shape})"

    def _repr_html_(self) -> str:
        from convlens.features.pictures import png_html

        return png_html(self.plot(), repr(self), self.notes)


def activation_maps(
    model: nn.Module,
    inputs: Any,
    layer: str | int | None,
    channels: Any = None,
    *,
    forward: Forward | None = None,
) -> ActivationMaps:
    """Return what channels of a layer answer to inputs, as the layer emits it.

    The forward pass ends at the layer, so that nothing later can change the values in place. The
    model runs in eval mode, without gradients, and is left as it was found.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : Tensor, tuple, mapping, DataLoader or other iterable
        A batch; of a loader the first.
    layer : str, int or None
        Dotted name, key of one call (``"relu:1"``), or index into ``find_layers(model)``; None for
        the model's output.
    channels : int or sequence of int, optional
        Default: all.
    forward : callable(model, batch), optional
        Runs the model where calling it on a batch would not.

    Returns
    -------
    ActivationMaps

    Raises
    ------
    UnknownLayerError
        If the layer does not exist; the nearest names are given.
    ArgumentError
        If the layer is not called, has no such channel, or `inputs` is empty.
    ForwardError
        If the model raises.

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> cl.activation_maps(digits.model, digits.images[:1], "relu", 3).values.shape
    (1, 1, 8, 8)
    """
    tap = Tap(model, layer, forward)
    batch, drawn = first_batch(inputs)
    if batch is None:
        raise ArgumentError("inputs is missing: pass a batch that the model takes.")
    with tap.held(), torch.no_grad():
        emitted = tap.emit(own_copy(batch, tap.device), drawn=drawn)
        chosen = check_channels(channels, int(emitted.shape[1]), tap.key)
        found = emitted[:, chosen].float().cpu()
    values = cast("npt.NDArray[np.float32]", cast("Any", found).numpy().copy())
    return ActivationMaps(values, tuple(chosen), tap.key, tap.kind, kind_of(tap.model), tap.notes)
