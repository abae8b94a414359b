"""What is climbed: a channel, one of its neurons, a direction in a layer, a class, or a formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from convlens.errors import ArgumentError, nearest

__all__ = ["OBJECTIVES", "Goal", "Objective", "alike", "check_channels"]

Objective = Literal["channel", "neuron", "direction", "logit"] | Callable[[Tensor], Tensor]

_BELOW = 0.1
OBJECTIVES = ("channel", "neuron", "direction", "logit")


class Goal:
    """One number per picture, from what a layer emits.

    Parameters
    ----------
    objective : str or callable(emitted) -> Tensor
        "channel": the mean over the positions of a channel, what is below 0 counted as a tenth,
        since a ReLU will shut it off: the plain mean of an edge detector hardly depends on the
        picture. "neuron": one position of it, the
        centre by default. "direction": the projection of all channels on a vector, times its
        cosine, as in Olah et al. 2017. "logit": what the model returns for a class. A callable
        takes what the layer emits, (k, channels, ...), and returns (k,).
    emitted : Tensor
        What the layer gives for one picture: channels and positions are checked against it.
    layer : str
        Its key, for messages.
    direction : Tensor, optional
        (channels,) or (m, channels).
    position : (int, int), optional
        Row and column of the neuron.
    """

    def __init__(
        self,
        objective: Any,
        emitted: Tensor,
        layer: str,
        *,
        direction: Any = None,
        position: Any = None,
    ) -> None:
        if not callable(objective) and objective not in OBJECTIVES:
            raise ArgumentError(
                f"objective is {objective!r}; it must be one of "
                f"{', '.join(repr(name) for name in OBJECTIVES)}, or a callable."
                f"{nearest(objective, OBJECTIVES)}"
            )
        self.name = (
            getattr(objective, "__name__", "a callable") if callable(objective) else objective
        )
        self._call: Any = objective if callable(objective) else None
        self.channels = int(emitted.shape[1])
        self.positions = tuple(emitted.shape[2:])
        self._layer = layer
        self._directions = None
        if (direction is not None) != (self.name == "direction" and self._call is None):
            raise ArgumentError(
                "objective='direction' needs direction=, a vector over the layer's "
                f"{self.channels} channels, and no other objective takes one."
            )
        if direction is not None:
            self._directions = _vectors(direction, self.channels, layer).to(emitted)
        if position is not None and self.name != "neuron":
            raise ArgumentError("position= belongs to objective='neuron'.")
        self._place = self._placed(position)

    @property
    def choices(self) -> int:
        """How many things there are to climb: channels, or directions."""
        return self.channels if self._directions is None else int(self._directions.shape[0])

    def values(self, emitted: Tensor, chosen: Tensor) -> Tensor:
        """Return (k,) for what the layer emits for k pictures, each with its `chosen` channel."""
        if self._call is not None:
            return _scalars(self._call(emitted), emitted.shape[0], self.name)
        if self._directions is not None:
            vectors = self._directions[chosen]
            flat = emitted.flatten(2) if emitted.dim() > 2 else emitted[..., None]
            along = torch.einsum("kcp,kc->kp", flat, vectors)
            lengths = flat.square().sum(1).sqrt() * vectors.square().sum(1).sqrt()[:, None]
            cosine = along / lengths.clamp(min=1e-8)
            return (along * cosine.clamp(min=0.1)).mean(1)
        own = emitted[torch.arange(emitted.shape[0], device=emitted.device), chosen]
        if own.dim() == 1:
            return own
        if self.name == "neuron":
            return own[(slice(None), *self._place)]
        return F.leaky_relu(own.flatten(1), _BELOW).mean(1)

    def _placed(self, position: Any) -> tuple[int, ...]:
        if position is None:
            return tuple(size // 2 for size in self.positions)
        parts: list[Any] = (
            list(cast("Any", position)) if isinstance(position, (tuple, list)) else [position]
        )
        inside = len(parts) == len(self.positions) and all(
            isinstance(part, int) and 0 <= part < size
            for part, size in zip(parts, self.positions, strict=True)
        )
        if not inside:
            shape = " x ".join(str(size) for size in self.positions) or "a single position"
            raise ArgumentError(
                f"position is {position!r}, and {self._layer} emits maps of {shape}."
            )
        return tuple(parts)


def check_channels(channels: Any, count: int, layer: str, called: str = "channel") -> list[int]:
    """Return `channels` as a list of indices below `count`; all of them for None."""
    if channels is None:
        return list(range(count))
    given: Any = channels.tolist() if hasattr(channels, "tolist") else channels
    asked: list[Any] = list(given) if _many(given) else [given]
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in asked)
    if not asked or not whole:
        raise ArgumentError(
            f"channels must be a whole number or several of them, not {channels!r}."
        )
    for one in asked:
        if not 0 <= one < count:
            raise ArgumentError(
                f"There is no {called} {one}: {layer} has {count}, 0 to {count - 1}."
            )
    return cast("list[int]", asked)


def _many(given: object) -> bool:
    return isinstance(given, (Sequence, range, set)) and not isinstance(given, str)


def alike(emitted: Tensor, variants: int) -> Tensor:
    """Return (k,) how alike each picture's activations are to those of its variants, 0 to 1.

    The mean cosine of their Gram matrices (channels by channels), as in Olah et al. 2017.
    """
    flat = emitted.flatten(2) if emitted.dim() > 2 else emitted[..., None]
    gram = torch.einsum("kcp,kdp->kcd", flat, flat).flatten(1)
    gram = gram / gram.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
    groups = gram.reshape(-1, variants, gram.shape[1])
    cosines = torch.einsum("gvf,gwf->gvw", groups, groups)
    apart = 1 - torch.eye(variants, dtype=cosines.dtype, device=cosines.device)
    return ((cosines * apart).sum(2) / max(1, variants - 1)).flatten()


def _vectors(direction: Any, channels: int, layer: str) -> Tensor:
    try:
        found = torch.as_tensor(direction).detach().float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"direction must be numbers, one per channel, not a {type(direction).__name__}."
        ) from error
    found = found[None] if found.dim() == 1 else found
    if found.dim() != 2 or found.shape[1] != channels or not bool(found.isfinite().all()):
        raise ArgumentError(
            f"direction must be finite, of shape ({channels},) or (m, {channels}) as {layer} has "
            f"{channels} channels, not {tuple(found.shape)}."
        )
    return found


def _scalars(values: Any, n: int, called: str) -> Tensor:
    if not isinstance(values, Tensor) or values.shape != (n,):
        given = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ArgumentError(
            f"objective {called} must return one number per picture, a tensor of ({n},), "
            f"not {given}."
        )
    return values
