"""Arguments of a visualisation, checked."""

from __future__ import annotations

import copy
import math
from typing import Any, Literal

import torch
from torch import nn

from convlens.errors import ArgumentError, ForwardError
from convlens.features.tap import Tap
from convlens.inputs import device_of

__all__ = ["Precision", "moved", "number", "quickest", "whole"]

Precision = Literal["auto", "float32", "bfloat16"]

_LARGE = 24  # pixels a side from which bfloat16 takes less time than casting to it


def moved(model: Any, device: Any) -> Any:
    """Return a copy of the model on another device; the model itself where it is there."""
    if device is None or not isinstance(model, nn.Module):
        return model
    try:
        target = torch.device(device)
        here = device_of(model)
        same = here is None or (here.type == target.type and target.index in (None, here.index))
        return model if same else copy.deepcopy(model).to(target)
    except (RuntimeError, TypeError, AssertionError) as error:
        said = str(error).strip().split("\n")[0]
        raise ArgumentError(f"device {device!r} cannot be used here ({said}).") from error


def quickest(precision: str, tap: Tap, shape: tuple[int, int, int]) -> tuple[bool, bool]:
    """Say whether to multiply in bfloat16, and whether to lay out colours last in memory.

    bfloat16 on a CPU that is quick at it. Each only where the model can: some know float32 alone,
    some call ``view`` on their maps.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise ArgumentError(
            f"precision is {precision!r}; it must be 'auto', 'float32' or 'bfloat16'."
        )
    rough = precision == "bfloat16"
    if precision == "auto" and tap.device.type == "cpu" and min(shape[1:]) >= _LARGE:
        quick = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        single = all(p.dtype == torch.float32 for p in tap.model.parameters())
        rough = single and bool(quick and quick()) and _runs(tap, shape, rough=True)
    last = shape[0] > 1 and _runs(tap, shape, rough=rough, layout=torch.channels_last)
    return rough, last


def _runs(
    tap: Tap,
    shape: tuple[int, int, int],
    *,
    rough: bool,
    layout: torch.memory_format = torch.contiguous_format,
) -> bool:
    grey = torch.zeros(2, *shape, device=tap.device).contiguous(memory_format=layout)
    try:
        with tap.held(), torch.no_grad():
            tap.emit(grey, rough=rough)
    except ForwardError:
        return False
    return True


def whole(value: Any, default: int, called: str, least: int) -> int:
    """Return `value`, a whole number of at least `least`; `default` for None."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"{called} is {value!r}; it must be a whole number, at least {least}.")
    return value


def number(value: Any, default: float, called: str, *, above: bool = False) -> float:
    """Return `value`, a finite number of at least 0 (or above it); `default` for None."""
    if value is None:
        return default
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (above and value == 0):
        wanted = "a number above 0" if above else "a number, at least 0"
        raise ArgumentError(f"{called} is {value!r}; it must be {wanted}.")
    return float(value)
