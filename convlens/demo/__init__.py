"""A small trained CNN and its held-out images, to see convlens work offline.

`load` reads what `python -m convlens.demo.make` wrote: nothing is downloaded or trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from convlens.demo.network import DigitNet
from convlens.errors import ArgumentError, nearest

__all__ = ["VARIANTS", "Demo", "load"]

FOLDER = Path(__file__).parent
WHITE = 16.0
"""The brightest pixel of scikit-learn's digits."""

VARIANTS = ("good", "redundant")
"""The two trainings of the one network that ship with convlens."""


@dataclass(frozen=True)
class Demo:
    """A trained model with images it has never seen.

    Attributes
    ----------
    model
        The network in eval mode, float32, on the CPU.
    images
        float32 (n, 1, 8, 8), normalised as the model wants them.
    labels
        int64 (n,), the digit in each image.
    classes
        The name of each label.
    accuracy
        Share of `images` that `model` classifies right, from 0 to 1.
    name
        What to call the model in a title.
    mean, std
        One value per channel: `images = (pixels - mean) / std`, with pixels from 0 to 1.
    """

    model: nn.Module = field(repr=False)
    images: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    classes: list[str] = field(repr=False)
    accuracy: float
    name: str
    mean: tuple[float, ...] = field(repr=False)
    std: tuple[float, ...] = field(repr=False)


def load(variant: str = "good") -> Demo:
    """Load the demo model and the digits that were held out of its training.

    Both variants are the same network (13 convolutions of 3 x 3) trained on the same 1,257 images
    from the same start. They differ in how training held the weights down, and by their accuracy
    you could not tell them apart:

    - ``"good"``: weight decay 5e-4, as is usual. Filters stay diverse in every layer.
    - ``"redundant"``: weight decay 40 times as strong, an L1 penalty on the convolutions, and twice
      as long. Digits need few filters, so most fade away and the deep layers' remaining ones grow
      alike: high sparsity, low variance entropy. Nothing was zeroed by hand.

    Parameters
    ----------
    variant
        "good" or "redundant".

    Returns
    -------
    Demo
        A fresh model each time, so that you may change it.

    Raises
    ------
    ArgumentError
        If there is no such variant.

    Examples
    --------
    >>> from convlens import demo
    >>> digits = demo.load()
    >>> tuple(digits.images.shape)
    (540, 1, 8, 8)
    >>> digits.accuracy > 0.97
    True

    Notes
    -----
    Images: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository (1998), as in scikit-learn's ``load_digits``; CC BY 4.0.
    """
    if variant not in VARIANTS:
        valid = " or ".join(repr(name) for name in VARIANTS)
        raise ArgumentError(
            f"variant is {variant!r}; it must be {valid}.{nearest(str(variant), VARIANTS)}"
        )
    with np.load(FOLDER / "digits.npz", allow_pickle=False) as archive:
        pixels = torch.from_numpy(archive["images"]).float() / WHITE
        labels = torch.from_numpy(archive["labels"]).long()
        mean, std = float(archive["mean"]), float(archive["std"])
    images = (pixels.unsqueeze(1) - mean) / std
    model = _read_model(FOLDER / f"{variant}.pt")
    return Demo(
        model=model,
        images=images,
        labels=labels,
        classes=[str(digit) for digit in range(10)],
        accuracy=measure_accuracy(model, images, labels),
        name="DigitNet" if variant == "good" else f"DigitNet, {variant}",
        mean=(mean,),
        std=(std,),
    )


def measure_accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of `images` (n, c, h, w) that `model` gives the class in `labels` (n,)."""
    with torch.inference_mode():
        return (model(images).argmax(1) == labels).double().mean().item()


def _read_model(path: Path) -> DigitNet:
    # On the meta device nothing is initialised, so the user's random state stays as it was.
    with torch.device("meta"):
        model = DigitNet()
    model.load_state_dict(torch.load(path, weights_only=True), assign=True)
    return model.eval()
