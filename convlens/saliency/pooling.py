"""Max pooling with a DeepLift rule that adds up.

Captum 0.9 loses what one value gives to several overlapping windows, and takes one input's gradient
for all inputs where a value equals the baseline's (captum, issue 1276). These modules compute the
same as torch's, and have a rule of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["EXACT", "exact", "register"]


class ExactMaxPool1d(nn.MaxPool1d):
    """``nn.MaxPool1d``."""


class ExactMaxPool2d(nn.MaxPool2d):
    """``nn.MaxPool2d``."""


class ExactMaxPool3d(nn.MaxPool3d):
    """``nn.MaxPool3d``."""


EXACT: dict[type[nn.Module], type[nn.Module]] = {
    nn.MaxPool1d: ExactMaxPool1d,
    nn.MaxPool2d: ExactMaxPool2d,
    nn.MaxPool3d: ExactMaxPool3d,
}
"""torch's class and ours."""

_POOLS = {
    ExactMaxPool1d: F.max_pool1d,
    ExactMaxPool2d: F.max_pool2d,
    ExactMaxPool3d: F.max_pool3d,
}


def exact(module: nn.Module) -> nn.Module:
    """Return max pooling of the same windows that has the rule."""
    pool: Any = module
    kind: Any = EXACT[type(module)]
    return kind(
        pool.kernel_size,
        pool.stride,
        pool.padding,
        pool.dilation,
        return_indices=pool.return_indices,
        ceil_mode=pool.ceil_mode,
    )


def register() -> None:
    """Tell Captum of the rule: for these classes only."""
    from captum.attr._core import deep_lift

    rules: Any = deep_lift.SUPPORTED_NON_LINEAR
    rules.update(dict.fromkeys(_POOLS, max_pool_rule))


def max_pool_rule(
    module: Any,
    inputs: Tensor,
    outputs: Tensor,
    grad_input: Tensor,
    grad_output: Tensor,
    eps: float = 1e-10,
) -> Tensor:
    """Return the multipliers of max pooling.

    Where the output rises over the baseline's, the place of the maximum gave it; where it falls,
    the place of the baseline's maximum took it (Shrikumar et al. 2017, section 3.5.3).
    """
    with torch.no_grad():
        there, before = inputs.chunk(2)
        high, low = outputs.chunk(2)
        top = torch.maximum(high, low)
        _, places = _POOLS[type(module)](
            inputs,
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            ceil_mode=module.ceil_mode,
            return_indices=True,
        )
        rise, fall = places.flatten(2).chunk(2)
        parts: list[Tensor] = []
        for gradient in grad_output.chunk(2):
            given = torch.zeros_like(there).flatten(2)
            given.scatter_add_(2, rise, (gradient * (top - low)).flatten(2))
            given.scatter_add_(2, fall, (gradient * (high - top)).flatten(2))
            parts.append(given.view_as(there))
        change = torch.cat([there - before] * 2)
        return torch.where(change.abs() < eps, grad_input, torch.cat(parts) / change)
