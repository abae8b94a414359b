"""What a visualisation gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Features"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Features:
    """Pictures that make channels of a layer fire.

    Attributes
    ----------
    images : ndarray
        float32 (k, colours, h, w): as the model takes them.
    pictures : ndarray
        uint8 (k, h, w, 3), or (k, h, w, 1) in grey: as a person looks at them.
    channels : tuple of int
        Which channel, class or direction each of the k is for.
    layer, kind : str
        Key of the layer, class of its module.
    objective : str
        "channel", "neuron", "direction", "logit", or the name of a callable.
    activation : ndarray
        float32 (k,): value of the objective for the picture as it is, unshaken.
    start : ndarray
        float32 (k,): the same for the noise that it grew from.
    curve : ndarray
        float32 (k, steps): value at each step, for the picture as it was shaken then; NaN for
        steps that were not made.
    reasons : tuple of str or None
        Why a picture shows nothing ("never fires: ..."); None where it does.
    variants : int
        Pictures per channel, next to each other.
    seed, steps : int
    model : str
        Class of the model.
    finished : bool
        False where it was stopped before the last step.
    notes : tuple of str
        What was guessed, unwrapped, halved.

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> found = cl.visualize_features(
    ...     digits.model, "layer2.0.conv1", [0, 5], inputs=digits.images, steps=16
    ... )
    >>> found.images.shape, found.pictures.shape
    ((2, 1, 8, 8), (2, 8, 8, 1))
    >>> bool((found.activation > found.start).all())
    True
    """

    images: Floats = field(repr=False)
    pictures: npt.NDArray[np.uint8] = field(repr=False)
    channels: tuple[int, ...]
    layer: str
    kind: str
    objective: str
    activation: Floats = field(repr=False)
    start: Floats = field(repr=False)
    curve: Floats = field(repr=False)
    reasons: tuple[str | None, ...] = field(repr=False)
    variants: int
    seed: int
    steps: int
    model: str
    finished: bool = True
    notes: tuple[str, ...] = ()

    @property
    def fires(self) -> tuple[bool, ...]:
        """Whether each of the k could be made to fire."""
        return tuple(reason is None for reason in self.reasons)

    def __len__(self) -> int:
        return len(self.channels)

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with one row per picture."""
        import pandas as pd

        return pd.DataFrame(
            {
                "layer": self.layer,
                "channel": self.channels,
                "variant": np.arange(len(self)) % self.variants,
                "start": self.start,
                "activation": self.activation,
                "fires": self.fires,
                "reason": self.reasons,
            }
        )

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw all pictures as a grid, each with its channel and activation.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn upon; otherwise on a new figure of its own.
        """
        from convlens.features.pictures import draw_features

        return draw_features(self, ax)

    def __repr__(self) -> str:
        count = f"{len(self)} picture{'s' * (len(self) != 1)}"
        silent = self.fires.count(False)
        never = f", {silent} never fire{'s' * (silent == 1)}" if silent else ""
        stopped = "" if self.finished else ", stopped early"
        return (
            f"Features({self.model}, {self.layer}: {count} by {self.objective}, "
            f"{self.steps} steps, seed {self.seed}{never}{stopped})"
        )

    def _repr_html_(self) -> str:
        from convlens.features.pictures import png_html

        return png_html(self.plot(), repr(self), self.notes)
