"""Numbers rounded to a grid of a few bits, in floating point and with gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from convlens.tensors import scheme

__all__ = ["MOST_BITS", "FakeQuantize", "affine_grid", "fake_quantize", "symmetric_scale"]

MOST_BITS = 16
"""More are not told from float32 by its 24 bits once they are scaled."""


def fake_quantize(x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int) -> Tensor:
    """Round `x` to ``scale * (q - zero_point)`` with whole q from `low` to `high`.

    Halves go to the even neighbour. The gradient is that of clipping alone (straight-through, Y.
    Bengio et al. 2013), so that everything that needs gradients works on the rounded network.

    Parameters
    ----------
    x : Tensor
        Any float dtype; computed in float32 at least, returned in its own.
    scale, zero_point : Tensor
        Broadcast over `x`.
    low, high : int
        The ends of the grid.
    """
    wide = x if x.dtype == torch.float64 else x.float()
    q = (wide / scale).round() + zero_point
    rounded = (q.clamp(low, high) - zero_point) * scale
    clipped = wide.clamp((low - zero_point) * scale, (high - zero_point) * scale)
    # The difference is exactly 0: the value is the rounded one, the gradient that of clipping.
    return (rounded.detach() + (clipped - clipped.detach())).to(x.dtype)


def symmetric_scale(peaks: Tensor, bits: int) -> Tensor:
    """Return max|w| / (2^(bits-1) - 1), and 1 where all weights are 0."""
    scale = peaks.double() / (2 ** (bits - 1) - 1)
    scale = scale.float()
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def affine_grid(least: float, most: float, bits: int) -> tuple[float, int]:
    """Return scale and zero point of the unsigned grid from `least` to `most`, 0 on it.

    0 is always representable, since padding and ReLU make so many of it.
    """
    least, most = min(least, 0.0), max(most, 0.0)
    scale = (most - least) / (2**bits - 1)
    if scale < torch.finfo(torch.float32).tiny or not math.isfinite(scale):
        return 1.0, 0
    return scale, round(-least / scale)


class FakeQuantize(nn.Module):
    """A parametrisation that rounds a weight to a symmetric grid.

    Parameters
    ----------
    scale : Tensor
        Broadcasts over the weight as it is stored: one number, or one per output channel.
    bits : int
    axis : int or None
        The dimension of `scale` that runs over output channels; None: one scale for all.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, scale: Tensor, bits: int, axis: int | None) -> None:
        super().__init__()
        self.bits = bits
        self.axis = axis
        self.high = 2 ** (bits - 1) - 1
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", torch.zeros_like(scale))

    def forward(self, weight: Tensor) -> Tensor:
        """Return `weight` rounded."""
        return fake_quantize(weight, self.scale, self.zero_point, -self.high, self.high)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Keep a weight that is assigned as it is: rounding it is for the next call."""
        return weight

    def scheme(self) -> str:
        """Say how the weight is rounded, in the words of every other quantised weight."""
        per = "per tensor" if self.axis is None else "per channel"
        return f"fake-quantised to {scheme(f'int{self.bits}', per, self.scale, None)}"

    def extra_repr(self) -> str:
        """Show the scheme in the model's repr."""
        return f"bits={self.bits}, axis={self.axis}"
