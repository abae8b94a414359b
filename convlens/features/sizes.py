"""The shape of a model's inputs: as given, as the data have it, or found by trying."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from convlens.activations import hooked
from convlens.errors import ArgumentError, ConvlensError
from convlens.features.tap import Tap
from convlens.inputs import first_batch
from convlens.layers import find_layers
from convlens.tree import kind_of

__all__ = ["image_batch", "input_shape"]

_TRIED = (32, 28, 224, 8, 64, 96, 16, 128, 299)
_PROBE = 64  # pixels at which strides are measured
_LARGE = 16  # total stride from which on a net is one for 224 pixels


def image_batch(inputs: Any) -> Tensor | None:
    """Return the first batch of images in `inputs`, (n, channels, h, w); None of None.

    Raises
    ------
    ArgumentError
        If there is none.
    """
    if inputs is None:
        return None
    batch, _ = first_batch(inputs)
    while isinstance(batch, (list, tuple)) and batch:
        batch = cast("Any", batch)[0]
    if not isinstance(batch, Tensor) or batch.dim() != 4 or batch.numel() == 0:
        kind = type(cast("object", batch)).__name__
        shape = f"a {kind}"
        if isinstance(batch, Tensor):
            shape = " x ".join(str(size) for size in batch.shape)
        raise ArgumentError(
            f"inputs must be images, a tensor of (n, channels, height, width), not {shape}."
        )
    return batch


def input_shape(
    tap: Tap, images: Tensor | None = None, size: Any = None
) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """Return (channels, height, width) of the model's inputs, and a note where it is guessed.

    Raises
    ------
    ArgumentError
        If `size` is no size, or none is found.
    """
    height, width = _checked(size)
    if images is not None:
        channels = int(images.shape[1])
        shape = (channels, height or int(images.shape[2]), width or int(images.shape[3]))
        return shape, ()
    channels = _colours(tap)
    if height:
        return (channels, height, width), ()
    found = _found(tap, channels)
    return (
        (channels, found, found),
        (f"size is guessed, {found} x {found} pixels: pass size=, or inputs=",),
    )


def _checked(size: Any) -> tuple[int, int]:
    if size is None:
        return 0, 0
    parts: list[Any] = list(cast("Any", size)) if isinstance(size, (tuple, list)) else [size, size]
    whole = all(isinstance(p, int) and not isinstance(p, bool) and p >= 1 for p in parts)
    if len(parts) != 2 or not whole:
        raise ArgumentError(
            f"size must be a whole number of pixels above 0, or (height, width), not {size!r}."
        )
    return parts[0], parts[1]


def _colours(tap: Tap) -> int:
    """Return how many channels the first convolution reads."""
    for layer in find_layers(tap.model):
        if "Conv" in layer.kind and len(layer.shape) == 4:
            return layer.shape[1] * layer.groups
    raise ArgumentError(
        f"This {tap.kind} has no 2-D convolution that would tell the shape of its inputs: "
        "pass inputs=, a batch of them."
    )


def _found(tap: Tap, channels: int) -> int:
    """Return the first usual size that runs, or 224 where the model shrinks its inputs much."""
    shrinks = (_stride(tap, channels, _PROBE) or _LARGE) >= _LARGE
    if shrinks and _stride(tap, channels, 224) is not None:
        return 224
    for size in _TRIED:
        if _stride(tap, channels, size) is not None:
            return size
    raise ArgumentError(
        f"No usual size of input runs through this {kind_of(tap.model)} (of {channels} "
        f"channel{'s' * (channels != 1)}; tried "
        f"{', '.join(str(size) for size in sorted(_TRIED))} pixels): pass size=, or inputs=."
    )


def _stride(tap: Tap, channels: int, size: int) -> float | None:
    """Return how many input pixels one pixel of the smallest map stands for; None: it fails."""
    smallest = size

    def note(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        nonlocal smallest
        if isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[2:]) > 1:
            smallest = min(smallest, *output.shape[2:])

    whole = tap.whole()
    try:
        with whole.held(), torch.no_grad(), hooked(tap.model.modules(), after=note):
            whole.emit(torch.zeros(1, channels, size, size, device=tap.device))
    except ConvlensError:
        return None
    return size / smallest
