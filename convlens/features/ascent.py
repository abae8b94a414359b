"""One batch of pictures that climb together, each towards its own goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convlens.errors import ForwardError, NoGradientError
from convlens.features.colour import Palette
from convlens.features.fourier import Fourier
from convlens.features.objectives import Goal, alike
from convlens.features.tap import Tap
from convlens.features.transforms import Robustness
from convlens.similarity.capture import is_out_of_memory, unwatched

__all__ = ["Ascent", "Climb", "array"]

Floats = npt.NDArray[np.float32]

_MOMENTUM, _SPREAD, _TINY = 0.9, 0.999, 1e-8  # Adam's, as Kingma and Ba 2015 have them
_LOUDER = 5.0  # by so much a start is stronger than the one before it, which moved nothing
_FAINT = 1e-4  # of the widest range in the layer: what varies less is nothing to anyone
_EDGE = 0.05  # steps between neighbouring pixels from which on total variation pulls fully


@dataclass(frozen=True)
class Climb:
    """How to climb.

    Attributes
    ----------
    learning_rate : float
        Of Adam.
    tv : float
        Pull of total variation, relative to that of the objective.
    prior : float
        Pull of what inputs look like, likewise.
    variants : int
        Pictures per channel.
    diversity : float
        How much of the objective variants give up to differ.
    restarts : int
        New starts where no gradient arrives.
    robustness : Robustness
    seed : int
    rough : bool
        Multiply in bfloat16: the way up is no worse for it, and half as long.
    channels_last : bool
        Lay out colours last in memory, which convolutions are quicker with.
    """

    learning_rate: float
    tv: float
    prior: float
    variants: int
    diversity: float
    restarts: int
    robustness: Robustness
    seed: int
    rough: bool
    channels_last: bool


class Ascent:
    """Pictures at work.

    Parameters
    ----------
    tap : Tap
    goal : Goal
    fourier : Fourier
    palette : Palette
        All on the model's device.
    climb : Climb
    channels : sequence of int
        What each picture is for; variants next to each other.

    Attributes
    ----------
    reasons : list of str or None
        Why a picture shows nothing.
    """

    def __init__(
        self,
        tap: Tap,
        goal: Goal,
        fourier: Fourier,
        palette: Palette,
        climb: Climb,
        channels: Sequence[int],
    ) -> None:
        self.channels = list(channels)
        self.reasons: list[str | None] = [None] * len(channels)
        self._tap, self._goal, self._fourier, self._palette = tap, goal, fourier, palette
        self._climb = climb
        self._chosen = torch.tensor(self.channels, device=tap.device)
        self._scale = fourier.scale()
        self._shaking = torch.Generator().manual_seed(climb.seed)
        places = range(len(channels))
        self._free = torch.stack([self._begin(place, 0) for place in places])
        self._free.requires_grad_()
        self._mean, self._square = torch.zeros_like(self._free), torch.zeros_like(self._free)
        self._age = torch.zeros(len(channels), 1, 1, 1, 1, device=tap.device)
        self._attempts = [0] * len(channels)
        self._moved = [False] * len(channels)

    @property
    def hopeless(self) -> bool:
        """Whether nothing moves any picture."""
        return None not in self.reasons

    def inputs(self) -> Tensor:
        """Return the pictures as the model takes them, (k, colours, h, w), detached."""
        with torch.no_grad():
            return self._drawn()

    def step(self) -> Floats:
        """Climb one step and return the values (k,) before it. Inside ``tap.held()``."""
        with torch.enable_grad():
            with unwatched():
                drawn = self._drawn()
                seen = drawn.detach().requires_grad_()
                shaken = self._climb.robustness.apply(seen, self._shaking)
                if self._climb.channels_last:
                    shaken = shaken.contiguous(memory_format=torch.channels_last)
            emitted = self._tap.emit(shaken, leak=True, rough=self._climb.rough)
            with unwatched():
                emitted = emitted.float()
                values = self._goal.values(emitted, self._chosen)
                wanted = values
                if self._climb.diversity:
                    likeness = alike(emitted, self._climb.variants)
                    wanted = values - self._climb.diversity * values.detach().abs() * likeness
            pull = self._gradient(wanted, seen)
            with unwatched():
                pull = self._judged(pull, values.detach())
                unit = self._palette.unit(seen.detach())
                if self._climb.tv:
                    pull = pull - self._climb.tv * _roughness(unit)
                if self._climb.prior:
                    pull = pull - self._climb.prior * self._palette.oddness(unit)
                (slope,) = torch.autograd.grad(drawn, self._free, pull)
                self._adam(slope)
        return array(values)

    def measure(self) -> tuple[Floats, list[str | None]]:
        """Return the values (k,) of the pictures as they are, unshaken, and why some show nothing.

        Inside ``tap.held()``.
        """
        with torch.no_grad():
            emitted = self._tap.emit(self.inputs()).float()
            values = self._goal.values(emitted, self._chosen)
            return array(values), self._judgements(emitted, values)

    def _judgements(self, emitted: Tensor, values: Tensor) -> list[str | None]:
        """Say which channels stay silent so far, though gradients may have arrived."""
        reasons = list(self.reasons)
        if self._goal.name not in ("channel", "neuron"):
            return reasons
        several = emitted.transpose(0, 1).flatten(1)
        ranges = (several.amax(1) - several.amin(1)).nan_to_num(0)
        widest = ranges.max().item()
        for place, channel in enumerate(self.channels):
            own = ranges[channel].item()
            if reasons[place] is not None:
                continue
            if self._tap.gated and values[place].item() <= 0:
                reasons[place] = "never fires: 0 for every picture that was tried"
            elif several.shape[1] > 1 and own < _FAINT * widest:
                reasons[place] = (
                    f"never fires: its output varies by {own:.1g}, where others of the layer vary "
                    f"by {widest:.2g}"
                )
        return reasons

    def _begin(self, place: int, attempt: int) -> Tensor:
        variant = place % self._climb.variants
        return self._fourier.start(
            self._climb.seed,
            self.channels[place],
            variant,
            attempt,
            std=0.01 * _LOUDER**attempt,
        )

    def _drawn(self) -> Tensor:
        return self._palette.inputs(self._fourier.draw(self._free, self._scale))

    def _gradient(self, wanted: Tensor, seen: Tensor) -> Tensor:
        found = None
        if wanted.requires_grad:
            try:
                (found,) = torch.autograd.grad(wanted.sum(), seen, allow_unused=True)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                said = str(error).strip().split("\n")[0]
                raise ForwardError(
                    f"The gradient of {self._tap.key} cannot be computed ({said})."
                ) from error
        if found is None:
            raise NoGradientError(
                f"{self._tap.key} passes no gradient back to the input (quantised models, and "
                "those that detach or round, do not), so its features cannot be synthesised: look "
                "at its top inputs."
            )
        return found

    def _judged(self, pull: Tensor, values: Tensor) -> Tensor:
        """Give every picture's gradient the same strength; start again where there is none."""
        finite = values.isfinite() & pull.flatten(1).isfinite().all(1)
        strength: Tensor = pull.flatten(1).square().mean(1).sqrt()
        alive = cast("list[bool]", (finite & (strength > 0)).tolist())
        if not all(alive):
            pull = torch.where(finite[:, None, None, None], pull, torch.zeros_like(pull))
        for place, moves in enumerate(alive):
            if moves:
                self._moved[place] = True
            elif not self._moved[place] and self.reasons[place] is None:
                self._start_again(place, finite=bool(finite[place]))
        return pull / torch.where(strength > 0, strength, 1.0).nan_to_num(1.0)[:, None, None, None]

    def _start_again(self, place: int, *, finite: bool) -> None:
        self._attempts[place] += 1
        attempt = self._attempts[place]
        if attempt > self._climb.restarts:
            tried = f"from {attempt} starting picture{'s' * (attempt > 1)}"
            self.reasons[place] = (
                f"never fires: no gradient {tried}"
                if finite
                else f"its activation is not a finite number {tried}"
            )
            return
        with torch.no_grad():
            self._free[place] = self._begin(place, attempt)
            for state in (self._mean, self._square, self._age):
                state[place] = 0

    def _adam(self, slope: Tensor) -> None:
        """Go up by Adam (D. Kingma and J. Ba 2015), every picture counting steps of its own."""
        with torch.no_grad():
            self._age += 1
            self._mean.lerp_(slope, 1 - _MOMENTUM)
            self._square.mul_(_SPREAD).addcmul_(slope, slope, value=1 - _SPREAD)
            root = (self._square / (1 - _SPREAD**self._age)).sqrt_().add_(_TINY)
            way = self._mean / (1 - _MOMENTUM**self._age)
            self._free.addcdiv_(way, root, value=self._climb.learning_rate)


def _roughness(unit: Tensor) -> Tensor:
    """Return the gradient of total variation (Charbonnier), at most 1 per pixel."""
    found = torch.zeros_like(unit)
    for axis in (2, 3):
        step = unit.diff(dim=axis)
        slope = step / (step**2 + _EDGE**2).sqrt() / 4
        length = unit.shape[axis]
        found.narrow(axis, 1, length - 1).add_(slope)
        found.narrow(axis, 0, length - 1).sub_(slope)
    return found


def array(values: Tensor) -> Floats:
    """Copy values into a float32 NumPy array."""
    return cast("Floats", cast("Any", values.detach()).float().cpu().numpy().copy())
