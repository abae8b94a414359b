"""Gradient ascent on pictures, step by step: look at any time, stop at any step."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convlens.errors import ArgumentError
from convlens.features.ascent import Ascent, Climb, Floats, array
from convlens.features.colour import make_palette
from convlens.features.fourier import Fourier
from convlens.features.objectives import Goal, Objective, check_channels
from convlens.features.presets import preset_for
from convlens.features.result import Features
from convlens.features.settings import Precision, moved, number, quickest, whole
from convlens.features.sizes import image_batch, input_shape
from convlens.features.tap import Forward, Tap
from convlens.features.transforms import Robustness
from convlens.similarity.capture import is_out_of_memory, unwatched
from convlens.tree import kind_of

__all__ = ["Visualization"]

_UNSEEN = "not begun: stopped before its turn"


class Visualization:
    """A run of :func:`convlens.visualize_features` that is driven from outside.

    Parameters
    ----------
    model, layer, channels, ...
        As for :func:`convlens.visualize_features`.

    Attributes
    ----------
    channels : tuple of int
        What each picture is for; `variants` pictures of one channel stand next to each other.
    layer : str
        Key of the layer.
    done, total : int
        Steps made and to make, over all batches of pictures.
    complete : int
        Pictures that are finished: the first so many.
    notes : list of str

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> run = cl.Visualization(
    ...     digits.model, "layer1.0.conv1", [0, 1], inputs=digits.images, steps=9
    ... )
    >>> for done, total in run.steps():
    ...     if done == 4:
    ...         break
    >>> run.images().shape
    (2, 8, 8, 1)
    >>> run.result().finished
    False
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str | int | None = None,
        channels: Any = None,
        *,
        objective: Objective = "channel",
        direction: Any = None,
        position: tuple[int, int] | None = None,
        inputs: Any = None,
        size: int | tuple[int, int] | None = None,
        mean: Any = None,
        std: Any = None,
        steps: int | None = None,
        learning_rate: float | None = None,
        decay: float | None = None,
        jitter: float | None = None,
        scale: float | None = None,
        rotate: float | None = None,
        tv: float | None = None,
        prior: float | None = None,
        decorrelate: bool = True,
        variants: int = 1,
        diversity: float = 1.0,
        restarts: int = 3,
        batch_size: int | None = None,
        forward: Forward | None = None,
        precision: Precision = "auto",
        device: Any = None,
        seed: int = 0,
    ) -> None:
        if objective == "logit" and layer is not None:
            raise ArgumentError(
                "objective='logit' climbs what the model returns: leave layer out, or take "
                "objective='channel' for a channel of it."
            )
        if layer is None and objective != "logit" and not callable(objective):
            raise ArgumentError(
                "layer is missing: name one, or pass objective='logit' for the model's output."
            )
        self.tap = Tap(moved(model, device), layer, forward)
        images = image_batch(inputs)
        shape, guessed = input_shape(self.tap, images, size)
        preset = preset_for(*shape[1:])
        self.steps_each = whole(steps, preset.steps, "steps", 1)
        self.seed = whole(seed, 0, "seed", 0)
        self.variants = whole(variants, 1, "variants", 1)
        self._batch_size = whole(batch_size, preset.batch_size, "batch_size", 1)
        rough, channels_last = quickest(precision, self.tap, shape)
        self._climb = Climb(
            learning_rate=number(learning_rate, preset.learning_rate, "learning_rate", above=True),
            tv=number(tv, preset.tv, "tv"),
            prior=number(prior, preset.prior, "prior"),
            variants=self.variants,
            diversity=number(diversity, 1.0, "diversity") if self.variants > 1 else 0.0,
            restarts=whole(restarts, 3, "restarts", 0),
            seed=self.seed,
            rough=rough,
            channels_last=channels_last,
            robustness=Robustness(
                jitter=number(jitter, preset.jitter, "jitter"),
                scale=number(scale, preset.scale, "scale"),
                rotate=number(rotate, preset.rotate, "rotate"),
            ),
        )
        if self._climb.robustness.scale >= 1:
            raise ArgumentError(f"scale is {scale!r}; it must be below 1.")
        palette = make_palette(shape[0], mean, std, images, size=shape[1:], decorrelate=decorrelate)
        self.notes: list[str] = [*self.tap.notes, *guessed, *palette.notes]
        self.palette = palette.to(self.tap.device)
        self.fourier = Fourier(*shape, number(decay, preset.decay, "decay"), self.tap.device)
        grey = torch.zeros(1, *shape, device=self.tap.device)
        with self.tap.held(), torch.no_grad():
            self._grey = self.palette.inputs(grey)
            emitted = self.tap.emit(self._grey.clone()).float()
        self.layer, self.kind = self.tap.key, self.tap.kind
        self.goal = Goal(objective, emitted, self.layer, direction=direction, position=position)
        called = {"logit": "class", "direction": "direction"}.get(self.goal.name, "channel")
        asked = check_channels(channels, self.goal.choices, self.layer, called)
        self.channels = tuple(one for one in asked for _ in range(self.variants))
        if len(asked) * self.variants > self._batch_size:
            # variants of one channel are told apart only within one batch
            self._batch_size = max(1, self._batch_size // self.variants) * self.variants
        k = len(self.channels)
        self._inputs = self._grey.detach().cpu().repeat(k, 1, 1, 1)
        self._curve: Floats = np.full((k, self.steps_each), np.nan, dtype=np.float32)
        self._start: Floats = np.full(k, np.nan, dtype=np.float32)
        self._activation: Floats = np.full(k, np.nan, dtype=np.float32)
        self._reasons: list[str | None] = [_UNSEEN] * k
        self._ascent: Ascent | None = None
        self._before, self._made = 0, 0  # steps of batches that are complete, and of that at work
        self.complete = 0
        self._held = False

    @property
    def total(self) -> int:
        """Steps in all: batches of pictures, times steps for each."""
        left = len(self.channels) - self.complete
        batches = -(-left // self._batch_size)
        return self._before + batches * self.steps_each

    @property
    def done(self) -> int:
        """Steps made."""
        return self._before + self._made

    @property
    def finished(self) -> bool:
        """Whether every picture has made all its steps."""
        return self.complete == len(self.channels)

    @contextmanager
    def held(self) -> Generator[None]:
        """Leave the model as it was found once, at the end, and not after every step.

        That is quicker, for a loop that nothing else interleaves with.
        """
        with self.tap.held():
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def steps(self, within: float = 0.0) -> Generator[tuple[int, int]]:
        """Climb; after each step give (done, total).

        Leave the loop at any step, and go on later with another: nothing is lost, and between any
        two turns of the loop the model is as it was found. That costs time, so that a view which
        draws less often than every step gains by a few steps a turn.

        Parameters
        ----------
        within : float, default 0.0
            Seconds; as many steps are made in one turn as begin within them, one at least.

        Raises
        ------
        ForwardError
            If the model raises.
        ArgumentError
            If it gives no gradient, as quantised models do, or memory does not hold one picture.
        """
        while not self.finished:
            with self._ready():
                end = time.perf_counter() + within
                self._step()
                while not self.finished and time.perf_counter() < end:
                    self._step()
            yield self.done, self.total

    def images(self) -> npt.NDArray[np.uint8]:
        """Return the pictures as they are now, uint8 (k, h, w, 3), or (k, h, w, 1) in grey.

        Those whose turn has not come are grey. Cheap, and possible at any time.
        """
        return self.palette.pictures(self._current())

    def result(self) -> Features:
        """Return what there is, finished or not. A picture at work is measured as it is."""
        if self._ascent is not None and self._made:
            with self._ready():
                self._keep(self._ascent)
        inputs = self._current()
        return Features(
            images=array(inputs),
            pictures=self.palette.pictures(inputs),
            channels=self.channels,
            layer=self.layer,
            kind=self.kind,
            objective=self.goal.name,
            activation=np.array(self._activation),
            start=np.array(self._start),
            curve=np.array(self._curve),
            reasons=tuple(self._reasons),
            variants=self.variants,
            seed=self.seed,
            steps=self.steps_each,
            model=kind_of(self.tap.model),
            finished=self.finished,
            notes=tuple(self.notes),
        )

    def _ready(self) -> Any:
        return nullcontext() if self._held else self.tap.held()

    def _current(self) -> Tensor:
        if self._ascent is None:
            return self._inputs
        found = self._inputs.clone()
        found[self._part()] = self._ascent.inputs().cpu()
        return found

    def _part(self) -> slice:
        return slice(self.complete, min(len(self.channels), self.complete + self._batch_size))

    def _step(self) -> None:
        try:
            if self._ascent is None:
                self._ascent = self._begun()
            self._curve[self._part(), self._made] = self._ascent.step()
            self._made += 1
            if self._made == self.steps_each or self._ascent.hopeless:
                self._keep(self._ascent)
                self._inputs[self._part()] = self._ascent.inputs().cpu()
                self.complete = self._part().stop
                self._before += self._made
                self._ascent, self._made = None, 0
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._halve(error)

    def _begun(self) -> Ascent:
        with unwatched():
            ascent = Ascent(
                self.tap,
                self.goal,
                self.fourier,
                self.palette,
                self._climb,
                self.channels[self._part()],
            )
        self._start[self._part()], _ = ascent.measure()
        return ascent

    def _keep(self, ascent: Ascent) -> None:
        self._activation[self._part()], self._reasons[self._part()] = ascent.measure()

    def _halve(self, error: Exception) -> None:
        """Give up the batch at work, and go on with half as many pictures at once."""
        smaller = self._batch_size // 2 // self.variants * self.variants
        if smaller < 1:
            raise ArgumentError(
                f"Out of memory with {self._batch_size} picture"
                f"{'s' * (self._batch_size > 1)} of {self.fourier.height} x {self.fourier.width} "
                "pixels: pass a smaller size=, or move the model to a device with more memory."
            ) from error
        self._curve[self._part()] = np.nan
        self._ascent, self._made, self._batch_size = None, 0, smaller
        self.notes.append(f"out of memory: {smaller} pictures at once")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
