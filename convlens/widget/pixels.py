"""From the numbers that a model takes to the colours that a person sees, and back."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from convlens.errors import ArgumentError

__all__ = ["SCALES", "Pixels", "as_pixels", "check_scale", "find_pixels"]

# name: (mean, std) of the data sets and conventions that are met most often
SCALES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "0 to 1": ((0.0,), (1.0,)),
    "0 to 255": ((0.0,), (1 / 255,)),
    "-1 to 1": ((0.5,), (0.5,)),
    "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-10 (std of 0.2)": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "CIFAR-100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "CLIP": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "MNIST": ((0.1307,), (0.3081,)),
    "Fashion-MNIST": ((0.2860,), (0.3530,)),
}

_LOOKED_AT = 200_000


@dataclass(frozen=True)
class Pixels:
    """How inputs become pixels from 0 to 1: ``pixel = input * std + mean``, per channel.

    Attributes
    ----------
    mean, std
        One value per channel, or one for all.
    how
        "given" by the user; "found", since every pixel then is a whole number of 1/255;
        "guessed", since they then lie in range; "stretched" from the smallest value to the
        largest, where nothing fits.
    name
        Of a convention in `SCALES`, or "".
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    how: str
    name: str = ""

    def show(self, images: Tensor) -> Tensor:
        """Return the pixels of `images` (n, channels, h, w), float32 from 0 to 1."""
        mean, std = (self._along(values, images) for values in (self.mean, self.std))
        return (images.float() * std + mean).clamp(0, 1)

    def take(self, pixels: Tensor) -> Tensor:
        """Return `pixels` (n, channels, h, w) from 0 to 1 as the model takes them."""
        mean, std = (self._along(values, pixels) for values in (self.mean, self.std))
        return (pixels - mean) / std

    @staticmethod
    def _along(values: tuple[float, ...], images: Tensor) -> Tensor:
        return torch.tensor(values, device=images.device).view(-1, 1, 1)


def check_scale(name: str, value: Any) -> list[float] | None:
    """Return `mean` or `std` as a list of numbers.

    Raises
    ------
    ArgumentError
        Where it is neither a number, nor a number per channel, nor None; or a std is not above 0.
    """
    if value is None:
        return None
    given: list[Any] = list(cast("Iterable[Any]", value)) if _several(value) else [value]
    if not given or not all(_finite(one) for one in given):
        raise ArgumentError(
            f"{name} must be a number, or one per channel such as (0.485, 0.456, 0.406), not "
            f"{value!r}."
        )
    found = [float(one) for one in given]
    if name == "std" and not all(one > 0 for one in found):
        raise ArgumentError(f"std must be above 0, not {value!r}.")
    return found


def find_pixels(images: Tensor, mean: list[float] | None, std: list[float] | None) -> Pixels:
    """Find out how `images` become pixels.

    Parameters
    ----------
    images
        A few, (n, channels, h, w), as the model takes them.
    mean, std
        As the user gave them, None where not.

    Raises
    ------
    ArgumentError
        Where `mean` or `std` has a value for each of another number of channels.
    """
    channels = images.shape[1]
    if mean is not None or std is not None:
        found = {"mean": tuple(mean or (0.0,)), "std": tuple(std or (1.0,))}
        for name, values in found.items():
            if len(values) not in (1, channels):
                raise ArgumentError(
                    f"{name} has {len(values)} values and the inputs have {channels} "
                    f"channel{'s' if channels > 1 else ''}: give one number, or one per channel."
                )
        return Pixels(found["mean"], found["std"], "given")
    few = images[: max(1, _LOOKED_AT // max(1, images[0].numel()))].detach().float().cpu()
    fits = [
        (name, shown)
        for name, (mean_, std_) in SCALES.items()
        if len(mean_) in (1, channels) and _in_range(shown := few * _column(std_) + _column(mean_))
    ]
    for name, shown in fits:
        steps = shown * 255
        if (steps - steps.round()).abs().max() < 0.02 and steps.max() > 1.5:
            return Pixels(*SCALES[name], "found", name)
    if fits:
        name, shown = min(fits, key=lambda fit: _unused(fit[1]))
        if _unused(shown) < 0.1:
            return Pixels(*SCALES[name], "guessed", name)
    low, high = few.min().item(), few.max().item()
    span = high - low if high > low else 1.0
    return Pixels((-low / span,), (1 / span,), "stretched")


def as_pixels(shown: Tensor) -> Tensor:
    """Return pixels (n, channels, h, w) as uint8 (n, h, w, 3); grey unless of 3 channels."""
    if shown.shape[1] not in (1, 3):
        shown = shown.mean(1, keepdim=True)
    colours = (shown * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)
    return colours.permute(0, 2, 3, 1).contiguous()


def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1)


def _in_range(shown: Tensor) -> bool:
    # a little outside are the edges of what was resized with a cubic filter
    return bool(shown.min() > -0.01) and bool(shown.max() < 1.01)


def _unused(shown: Tensor) -> float:
    """Give how much of the range of pixels is left over at its two ends."""
    return shown.min().abs().item() + (1 - shown.max()).abs().item()


def _several(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes))


def _finite(value: Any) -> bool:
    number = getattr(value, "item", lambda: value)() if not isinstance(value, str) else value
    real = isinstance(number, numbers.Real) and not isinstance(number, bool)
    return real and abs(float(number)) < float("inf")
