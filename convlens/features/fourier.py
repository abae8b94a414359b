"""Pictures as Fourier coefficients: every frequency is learnt at the pace of natural images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

__all__ = ["Fourier"]

_MIX = (1_000_003, 10_007, 101)  # primes that keep channel, variant and attempt apart


@dataclass(frozen=True)
class Fourier:
    """Maps coefficients (k, channels, h, w // 2 + 1, 2) to pictures (k, channels, h, w) and back.

    Each coefficient counts for 1 / frequency ** decay, as in natural images, so that gradient
    ascent does not end in high-frequency noise (C. Olah, A. Mordvintsev and L. Schubert, "Feature
    Visualization", Distill 2017).

    Parameters
    ----------
    channels, height, width : int
    decay : float
        Power of the frequency.
    device : torch.device
    """

    channels: int
    height: int
    width: int
    decay: float
    device: torch.device

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the coefficients of one picture."""
        return (self.channels, self.height, self.width // 2 + 1, 2)

    def scale(self) -> Tensor:
        """Return the weight of each coefficient, (h, w // 2 + 1, 1) float32."""
        rows = cast("Tensor", torch.fft.fftfreq(self.height))[:, None]
        columns = cast("Tensor", torch.fft.rfftfreq(self.width))[None, :]
        frequency = (rows**2 + columns**2).sqrt().clamp(min=1 / max(self.height, self.width))
        return (1 / frequency**self.decay)[..., None].to(self.device)

    def start(
        self, seed: int, channel: int, variant: int = 0, attempt: int = 0, std: float = 0.01
    ) -> Tensor:
        """Draw the coefficients that one picture starts from, by a generator of its own.

        The same for a channel whichever others are in the batch; the global generators are not
        touched.
        """
        mixed = seed
        for part, prime in zip((channel, variant, attempt), _MIX, strict=True):
            mixed = (mixed * 6_364_136_223_846_793_005 + (part + 1) * prime) % 2**63
        generator = torch.Generator().manual_seed(mixed)
        return (std * torch.randn(self.shape, generator=generator)).to(self.device)

    def draw(self, coefficients: Tensor, scale: Tensor) -> Tensor:
        """Return the pictures (k, channels, h, w)."""
        scaled = torch.view_as_complex((coefficients * scale).contiguous())
        size = (self.height, self.width)
        return cast("Tensor", torch.fft.irfft2(scaled, s=size, norm="ortho"))
