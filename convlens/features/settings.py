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

__all__ = ["Precision", "is_rough", "moved", "number", "whole"]

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


def is_rough(precision: str, tap: Tap, shape: tuple[int, int, int]) -> bool:
    """Say whether to multiply in bfloat16: on a CPU that is quick at it, if the model can."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise ArgumentError(
            f"precision is {precision!r}; it must be 'auto', 'float32' or 'bfloat16'."
        )
    if precision != "auto":
        return precision == "bfloat16"
    quick = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    single = all(p.dtype == torch.float32 for p in tap.model.parameters())
    if not (tap.device.type == "cpu" and single and min(shape[1:]) >= _LARGE and quick and quick()):
        return False
    try:
        with tap.held(), torch.no_grad():
            tap.emit(torch.zeros(1, *shape), rough=True)
    except ForwardError:  # a part of the model's own that knows float32 only
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
