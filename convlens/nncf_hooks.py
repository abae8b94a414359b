"""Weights that NNCF rounds at each call, by quantisers that stand beside the modules.

NNCF keeps them in ``model.__nncf_hooks`` by the operation they belong to
("layer1/0/conv1/conv2d/0__1" is the second input, the weight, of the first conv2d call in
``layer1.0.conv1``). Nothing of it is imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from convlens.layer import Layer, Row
from convlens.tensors import scheme

__all__ = ["HOOKS", "grid_of", "rounded_rows"]

HOOKS = "__nncf_hooks"
_WEIGHT = re.compile(r"(?:(?P<name>.+)/)?(?:conv\w*|linear)/\d+__1")


def rounded_rows(model: nn.Module, rows: list[Row]) -> list[Row]:
    """Let each layer give the weight that NNCF's hook makes of it; others stay as they are."""
    quantisers = _of_weights(model)
    return [
        row
        if (quantiser := quantisers.get(row.layer.name)) is None or row.layer.reason is not None
        else replace(row, layer=_rounded(row.layer, quantiser))
        for row in rows
    ]


def _of_weights(model: nn.Module) -> dict[str, nn.Module]:
    storage = getattr(model, HOOKS, None)
    before = getattr(storage, "pre_hooks", None)
    if not isinstance(before, nn.ModuleDict):
        return {}
    found: dict[str, nn.Module] = {}
    for key, hooks in before.items():
        match = _WEIGHT.fullmatch(key)
        for hook in hooks.children() if match is not None else ():
            if match is not None and type(hook).__name__ == "SymmetricQuantizer":
                found[(match["name"] or "").replace("/", ".")] = hook
    return found


def grid_of(model: nn.Module, name: str) -> tuple[Tensor, int] | None:
    """Give the scales and bits of the weight of the module `name`; None where NNCF rounds none."""
    quantiser = _of_weights(model).get(name)
    if quantiser is None:
        return None
    most = cast("Any", quantiser).level_high
    return _high(quantiser) / int(most), _bits(quantiser)


def _high(quantiser: nn.Module) -> Tensor:
    """Give the largest weight of each channel that is not cut off."""
    scale = cast("Tensor", quantiser.scale).detach().abs().flatten()
    return scale + float(getattr(quantiser, "eps", 0.0))


def _rounded(layer: Layer, quantiser: nn.Module) -> Layer:
    """Round to whole steps of scale / level_high, in the order in which NNCF computes it."""
    least, most = (getattr(quantiser, name) for name in ("level_low", "level_high"))
    scale = _high(quantiser)
    per = "per tensor" if scale.numel() == 1 else "per channel"
    words = scheme(f"int{_bits(quantiser)}", per, scale / most, None)
    read: Callable[[], Tensor] = layer.weight

    def rounded() -> Tensor:
        weight = read()
        with torch.no_grad():
            high = scale.to(weight.device, weight.dtype)
            high = high.reshape(-1, *[1] * (weight.dim() - 1)) if high.numel() > 1 else high
            low = high * (least / most)
            steps = (most - least) / (high - low)
            zero = (-low * steps).round()  # taken off before rounding: it decides on halves
            return ((weight.clamp(low, high) - low) * steps - zero).round() / steps

    notes = (f"fake-quantised to {words}, by NNCF", *layer.notes)
    return replace(layer, notes=notes, _read=rounded)


def _bits(quantiser: nn.Module) -> int:
    return int(getattr(quantiser, "num_bits", 8))
