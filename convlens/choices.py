"""Check what a caller asks for: which layers, which threshold."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import SupportsFloat, cast

from torch import Tensor

from convlens.errors import ArgumentError, UnknownLayerError, nearest
from convlens.layers import Layer, Layers

__all__ = ["check_eps", "check_weight", "choose_layers"]


def choose_layers(found: Layers, wanted: object) -> list[Layer]:
    """Select layers by key, name, index or pattern, in the order of the model."""
    if wanted is None:
        return list(found)
    single = isinstance(wanted, str | int)
    if not single and not isinstance(wanted, Sequence):
        raise ArgumentError(
            f"layers must be names, indices or patterns, not {type(wanted).__name__}."
        )
    asked = cast("Sequence[object]", [wanted] if single else wanted)
    if not asked:
        raise ArgumentError("layers is empty: name at least one, or leave it out for all.")
    chosen: set[str] = set()
    for one in asked:
        chosen.update(_matching(found, one))
    return [layer for layer in found if layer.key in chosen]


def _matching(found: Layers, wanted: object) -> list[str]:
    keys = found.keys()
    if isinstance(wanted, str):
        matches = [layer.key for layer in found if wanted in (layer.key, layer.name)]
        matches = matches or [key for key in keys if fnmatchcase(key, wanted)]
        if not matches:
            raise UnknownLayerError(
                f"No layer is called or matches {wanted!r}.{nearest(wanted, keys)}"
            )
        return matches
    if isinstance(wanted, bool) or not isinstance(wanted, int):
        raise ArgumentError(
            f"layers must be names, indices or patterns, not {type(wanted).__name__}."
        )
    if not -len(keys) <= wanted < len(keys):
        raise UnknownLayerError(f"There is no layer {wanted}: the model has {len(keys)} layers.")
    return [keys[wanted]]


def check_eps(eps: object) -> float:
    """Return `eps` as a float strictly between 0 and 1, or raise ArgumentError."""
    if isinstance(eps, bool | str) or not isinstance(eps, SupportsFloat):
        raise ArgumentError(f"eps must be a number between 0 and 1, not {eps!r}.")
    value = float(eps)
    if not 0 < value < 1:
        raise ArgumentError(f"eps must lie between 0 and 1 (0.01 is usual), not {value:g}.")
    return value


def check_weight(weight: Tensor, groups: int) -> None:
    """Raise ArgumentError unless `weight` is (out, inputs / groups, *kernel) of floats."""
    if weight.dim() < 2 or not weight.is_floating_point():
        raise ArgumentError(
            "A weight must be a float tensor of shape (out, inputs / groups, *kernel), not "
            f"{str(weight.dtype).removeprefix('torch.')} of shape {tuple(weight.shape)}."
        )
    given: object = groups
    whole = isinstance(given, int) and not isinstance(given, bool)
    if not whole or groups < 1 or weight.shape[0] % groups:
        raise ArgumentError(
            f"groups must be a whole number that divides the {weight.shape[0]} outputs, "
            f"not {groups!r}."
        )
