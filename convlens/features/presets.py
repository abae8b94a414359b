"""What suits pictures of a size: how long to climb, how fast, how much to shake."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["PRESETS", "Preset", "preset_for"]


@dataclass(frozen=True)
class Preset:
    """Defaults for pictures of about `size` pixels.

    Attributes
    ----------
    size : int
    steps : int
    learning_rate : float
        Of Adam, on Fourier coefficients.
    decay : float
        Power of the frequency by which coefficients are weighted.
    jitter, scale, rotate : float
        See :class:`~convlens.features.transforms.Robustness`.
    tv, prior : float
        Pull of total variation, and of what inputs look like, against that of the objective.
    batch_size : int
        Pictures at once.
    """

    size: int
    steps: int
    learning_rate: float
    decay: float
    jitter: float
    scale: float
    rotate: float
    tv: float
    prior: float
    batch_size: int


PRESETS = (
    Preset(8, 96, 0.08, 0.8, 1, 0.0, 0, 0.05, 0.5, 64),
    Preset(28, 96, 0.05, 1.0, 2, 0.05, 5, 0.05, 0.3, 32),
    Preset(32, 96, 0.05, 1.0, 2, 0.05, 5, 0.05, 0.1, 32),
    Preset(224, 256, 0.05, 1.0, 12, 0.1, 10, 0.05, 0.05, 8),
)
"""For 8, 28, 32 and 224 pixels a side."""


def preset_for(height: int, width: int) -> Preset:
    """Return the preset whose size is nearest, by ratio, to the shorter side."""
    shorter = max(1, min(height, width))
    return min(PRESETS, key=lambda preset: abs(math.log(preset.size / shorter)))
