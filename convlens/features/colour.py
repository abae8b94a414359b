"""From free numbers to a model's inputs, and from those to pictures that a person can look at."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convlens.errors import ArgumentError

__all__ = ["Palette", "make_palette"]

Pixels = npt.NDArray[np.uint8]

# Square root of the covariance of the colours of ImageNet, as published with Olah et al. 2017.
_NATURAL = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
_FLOOR = 0.1  # below which a spread does not make a pixel odder
_ENOUGH = 16  # inputs from which each pixel's own mean and spread are believed
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Palette:
    """The colours that a model's inputs can have.

    Attributes
    ----------
    mix : Tensor
        (channels, channels): what turns independent numbers into colours that vary together.
    middle : Tensor
        (channels,), the mean colour before the sigmoid.
    low, high : Tensor
        (channels,), black and white as the model sees them.
    typical, spread : Tensor
        (channels, 1, 1) or (channels, h, w): mean and standard deviation of inputs, between black
        (0) and white (1).
    notes : tuple of str
        What was guessed.
    """

    mix: Tensor
    middle: Tensor
    low: Tensor
    high: Tensor
    typical: Tensor
    spread: Tensor
    notes: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Number of colour channels."""
        return int(self.low.shape[0])

    def to(self, device: torch.device) -> Palette:
        """Move it."""
        values = (getattr(self, one.name) for one in fields(self) if one.name != "notes")
        return Palette(*(value.to(device) for value in values), notes=self.notes)

    def unit(self, inputs: Tensor) -> Tensor:
        """Return inputs as numbers between black (0) and white (1)."""
        low, high = self.low.to(inputs)[:, None, None], self.high.to(inputs)[:, None, None]
        return (inputs - low) / (high - low)

    def oddness(self, unit: Tensor) -> Tensor:
        """Return how far pixels between 0 and 1 are from what inputs have there, and which way."""
        return (unit - self.typical) / (self.spread + _FLOOR)

    def inputs(self, free: Tensor) -> Tensor:
        """Turn free numbers (k, channels, h, w) into inputs within black and white."""
        if self.channels > 1:
            free = torch.einsum("oc,kchw->kohw", self.mix, free)
        unit = torch.sigmoid(free + self.middle[:, None, None])
        return self.low[:, None, None] + (self.high - self.low)[:, None, None] * unit

    def pictures(self, inputs: Tensor) -> Pixels:
        """Return inputs (k, channels, h, w) as uint8 (k, h, w, 3), or (k, h, w, 1) for grey.

        Three channels are red, green and blue. Of any other number the mean is shown in grey.
        """
        unit = self.unit(inputs.detach()).clamp(0, 1)
        if self.channels != 3:
            unit = unit.mean(1, keepdim=True)
        shown = (unit * 255).round().to(torch.uint8).movedim(1, -1)
        return cast("Pixels", cast("Any", shown).cpu().numpy())


def make_palette(
    channels: int,
    mean: Any = None,
    std: Any = None,
    inputs: Tensor | None = None,
    *,
    size: tuple[int, int] | None = None,
    decorrelate: bool = True,
) -> Palette:
    """Make the palette of a model.

    Parameters
    ----------
    channels : int
    mean, std : float or sequence of float, optional
        By which pixels between 0 and 1 were normalised. Default: the range is that of `inputs`;
        without those, ImageNet's for three channels and 0.5 and 0.25 for others, and a note.
    inputs : Tensor, optional
        (n, channels, h, w): the covariance of its colours is used, their mean and spread, and where
        there are enough of this `size`, those of each pixel.
    size : (int, int), optional
    decorrelate : bool, default True
        Without it each channel is free.

    Raises
    ------
    ArgumentError
        If only one of mean and std is given, or of another length, or std is not above 0.
    """
    if (mean is None) != (std is None):
        given, missing = ("std", "mean") if mean is None else ("mean", "std")
        raise ArgumentError(f"{given} was given without {missing}: pass both, or neither.")
    pixels = None if inputs is None else inputs.detach().float().cpu()
    notes: tuple[str, ...] = ()
    if pixels is not None:
        finite = pixels.flatten(1).isfinite().all(1)
        if not bool(finite.all()):
            notes = ("colours are those of inputs without NaN or infinite numbers only",)
            pixels = pixels[finite] if bool(finite.any()) else None
    if mean is None and pixels is not None:
        low, high = pixels.amin((0, 2, 3)), pixels.amax((0, 2, 3))
        high = torch.where(high > low, high, low + 1)
        centre = spread = torch.empty(0)
    else:
        if mean is None:
            natural = channels == 3
            mean, std = _IMAGENET if natural else (0.5, 0.25)
            which = "those of ImageNet" if natural else "0.5 and 0.25"
            said = f"mean and std are guessed, {which}: pass mean= and std=, or inputs="
            notes = (*notes, said)
        centre, spread = _per_channel(mean, channels, "mean"), _per_channel(std, channels, "std")
        if not bool((spread > 0).all()):
            raise ArgumentError(f"std must be above 0, not {std!r}.")
        low, high = (0 - centre) / spread, (1 - centre) / spread
    mix: Tensor = torch.eye(channels)
    if pixels is not None:
        unit = (pixels - low[:, None, None]) / (high - low)[:, None, None]
        own = unit.shape[0] >= _ENOUGH and tuple(unit.shape[2:]) == size
        over = (0,) if own else (0, 2, 3)
        centre, spread = unit.mean((0, 2, 3)), unit.std(over, correction=0)
        typical = unit.mean(over) if own else centre
        if decorrelate and channels > 1:
            mix = _root(torch.cov(unit.movedim(1, 0).flatten(1)))
    else:
        typical = centre
        if decorrelate and channels == 3:
            mix = torch.tensor(_NATURAL)
    mix = mix / mix.square().sum(0).max().sqrt().clamp(min=1e-8)
    middle = torch.logit(centre.clamp(0.1, 0.9))
    if typical.dim() == 1:
        typical, spread = typical[:, None, None], spread[:, None, None]
    return Palette(mix, middle, low, high, typical, spread, notes)


def _root(covariance: Tensor) -> Tensor:
    """Return the square root of a covariance by its principal axes, the strongest first."""
    values, axes = cast("tuple[Tensor, Tensor]", torch.linalg.eigh(covariance.double()))
    return (axes * values.clamp(min=0).sqrt()).flip(1).float()


def _per_channel(value: Any, channels: int, called: str) -> Tensor:
    try:
        found = torch.as_tensor(value, dtype=torch.float32).flatten().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"{called} must be a number or {channels} numbers, not {value!r}."
        ) from error
    if found.numel() not in (1, channels) or not bool(found.isfinite().all()):
        raise ArgumentError(
            f"{called} must be one finite number or {channels}, one per channel, not {value!r}."
        )
    return found.expand(channels).clone()
