"""Small random changes of the pictures at each step, so that what is found does not hang on one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Robustness"]


@dataclass(frozen=True)
class Robustness:
    """Shift, scale and turn all pictures of a step alike, by a generator of its own.

    Attributes
    ----------
    jitter : float
        Largest shift in pixels, each way.
    scale : float
        Largest change of size: 0.05 means factors of 0.95 to 1.05.
    rotate : float
        Largest turn in degrees, each way.
    """

    jitter: float
    scale: float
    rotate: float

    def apply(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return `x` (k, c, h, w) changed; what comes in at the border is mirrored."""
        drawn = cast("list[float]", (torch.rand(4, generator=generator) * 2 - 1).tolist())
        across, down, size, turn = drawn
        if self.scale == 0 and self.rotate == 0:
            # whole pixels: nothing is blurred, and nothing has to be interpolated
            shift = (round(down * self.jitter), round(across * self.jitter))
            return torch.roll(x, shift, (2, 3)) if any(shift) else x.clone()
        height, width = x.shape[2:]
        angle, factor = math.radians(turn * self.rotate), 1 + size * self.scale
        cos, sin = math.cos(angle) / factor, math.sin(angle) / factor
        theta = torch.tensor(
            [
                [cos, -sin * height / width, 2 * across * self.jitter / width],
                [sin * width / height, cos, 2 * down * self.jitter / height],
            ],
            device=x.device,
        )
        grid = F.affine_grid(theta[None], [1, *x.shape[1:]], align_corners=False)
        return F.grid_sample(
            x,
            grid.expand(x.shape[0], -1, -1, -1),
            mode="bilinear",
            padding_mode="reflection",
            align_corners=False,
        )
