"""SmoothGrad and VarGrad: another method's maps over noisy copies of the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from convlens.saliency.gradients import spread_of
from convlens.saliency.methods import METHODS
from convlens.saliency.work import Rows, Steps, Work

__all__ = ["defaults", "smoothgrad", "vargrad"]

Values = Mapping[str, Any]
Engine = Callable[[Work, Rows, Values], Steps[Tensor]]


def defaults(name: str) -> dict[str, Any]:
    """Return a method's parameters as they are by default."""
    return METHODS[name].values({})


def smoothgrad(work: Work, rows: Rows, values: Values, engine: Engine) -> Steps[Tensor]:
    """Take the mean."""
    mean, _ = yield from _moments(work, rows, values, engine)
    return mean


def vargrad(work: Work, rows: Rows, values: Values, engine: Engine) -> Steps[Tensor]:
    """Take the variance."""
    mean, square = yield from _moments(work, rows, values, engine)
    return square - mean * mean


def _moments(
    work: Work, rows: Rows, values: Values, engine: Engine
) -> Steps[tuple[Tensor, Tensor]]:
    """Return the mean and the mean square of the maps.

    The noise of an input is the same wherever the parts are cut: one draw per copy, from numbers
    that belong to the input. For one input it is the noise that Captum's NoiseTunnel draws after
    ``torch.manual_seed(seed)``.
    """
    samples: int = values["samples"]
    own = defaults(values["of"])
    sums: list[Tensor] = []
    squares: list[Tensor] = []
    for i in range(len(rows)):
        one = rows[i : i + 1]
        draws = work.generator(int(one.index[0]))
        width = torch.full(one.x.shape, values["noise"] * spread_of(one.x), dtype=torch.float32)
        total: Tensor | None = None
        square: Tensor | None = None
        left = samples
        while left:
            count = min(left, max(1, work.rows))
            noise = [torch.normal(0.0, width, generator=draws) for _ in range(count)]
            copies = one.repeated(count)
            noisy = copies.at(copies.x + torch.cat(noise).to(one.x))
            maps = yield from engine(work, noisy, own)
            total = maps.sum(0) if total is None else total + maps.sum(0)
            square = maps.square().sum(0) if square is None else square + maps.square().sum(0)
            left -= count
        if total is not None and square is not None:
            sums.append(total / samples)
            squares.append(square / samples)
    return torch.stack(sums), torch.stack(squares)
