"""Synthesised pictures of several channels, taken apart and put together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convlens.features import Features

__all__ = ["joined", "one_of"]

_PARTS = ("images", "pictures", "activation", "start", "curve")


def one_of(features: Features, place: int) -> Features:
    """Take one picture out of several."""
    only = slice(place, place + 1)
    arrays: dict[str, Any] = {name: getattr(features, name)[only].copy() for name in _PARTS}
    return replace(
        features, channels=features.channels[only], reasons=features.reasons[only], **arrays
    )


def joined(parts: list[Features], *, whole: int) -> Features:
    """Put single pictures together; `whole` is how many there should be."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in parts]) for name in _PARTS
    }
    return replace(
        parts[0],
        channels=tuple(one.channels[0] for one in parts),
        reasons=tuple(one.reasons[0] for one in parts),
        finished=len(parts) == whole and all(one.finished for one in parts),
        **arrays,
    )
