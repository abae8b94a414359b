"""Take snapshots of a model while it is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from operator import index
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from convlens.choices import check_eps
from convlens.errors import ArgumentError, ConvlensError
from convlens.history.probe import Probe
from convlens.history.recorded import FIGURES, History, Snapshot
from convlens.inputs import first_batch
from convlens.layers import Layer, Layers, find_layers
from convlens.quality import measure_layer
from convlens.similarity.batches import taken

__all__ = ["Recorder"]

Values = npt.NDArray[np.float32]
_LEAST = 8
_LONGEST_LABEL = 200


class Recorder(History):
    """A History that is still being written: snapshots of a model while it is trained.

    Keeps the figures of `FIGURES` for each layer, and with `inputs` what its layers make of a fixed
    batch, by which snapshots are compared (CKA). At most `limit` snapshots are held: when they are
    full every second one goes, those with a label last, and recording goes on at half the pace, so
    that the whole of a run of any length is covered.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is at each snapshot.
    inputs : optional
        A batch, as for `find_layers`, of which up to `samples` are the probe.
    limit : int, default 200
        Most snapshots, 8 at least.
    samples : int, default 32
        Of the probe: memory per layer and snapshot is 2 samples² bytes.
    eps : float, default 0.01
        Of `sparsity`, as for `measure_quality`.
    forward : callable(model, inputs), optional
        Runs the model on the probe where calling it would not.
    layers : Layers, optional
        What to look at; default: ``find_layers(model)``.
    inputs_from : callable, str or int, optional
        What the model takes of a batch: a callable, a key or an index.

    Attributes
    ----------
    taken : int
        How many snapshots were taken, those that went included.
    guard : callable
        Gives a context manager that is held while the model is looked at.
    on_snapshot : callable(Snapshot) or None
        Called after each snapshot.

    Examples
    --------
    >>> import torch
    >>> from convlens import Recorder
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3))
    >>> history = Recorder(model)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with history.recording(every=2):
    ...     for _ in range(6):
    ...         model(torch.randn(4, 3, 8, 8)).square().mean().backward()
    ...         optimizer.step()
    >>> [snapshot.step for snapshot in history.snapshots]
    [0, 2, 4, 6]
    >>> history.figure("sparsity").shape
    (4, 1)
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any = None,
        *,
        limit: int = 200,
        samples: int = 32,
        eps: float = 0.01,
        forward: Callable[[nn.Module, Any], Any] | None = None,
        layers: Layers | None = None,
        inputs_from: Any = None,
    ) -> None:
        for called, value, least in (("limit", limit, _LEAST), ("samples", samples, 4)):
            given: object = value
            if isinstance(given, bool) or not isinstance(given, int) or given < least:
                raise ArgumentError(f"{called} must be a whole number from {least}, not {given!r}.")
        super().__init__(limit, check_eps(eps))
        self._stride = 1
        self._counted = False
        self.taken = 0
        self._found = find_layers(model) if layers is None else layers
        self._model = self._found.model
        self._keys = self._found.keys()
        self._shape = self._structure()
        self.guard: Callable[[], AbstractContextManager[object]] = nullcontext
        self.on_snapshot: Callable[[Snapshot], object] | None = None
        self._probe: Probe | None = None
        if inputs is not None:
            batch, drawn = first_batch(inputs)
            batch = taken(batch, inputs_from)
            self._probe = Probe(self._model, self._keys, batch, samples, drawn, forward)

    def snapshot(self, label: str = "", step: int | None = None) -> Snapshot:
        """Keep the figures as they are now.

        Parameters
        ----------
        label : str, optional
            What to call this moment, in 200 characters at most.
        step : int, optional
            Its number; default: the steps counted so far, and where none ever were, one more than
            that of the snapshot before. Not below that of the one before.

        Returns
        -------
        Snapshot

        Raises
        ------
        ArgumentError
            If `label` is no text, or `step` no whole number or before the last one.
        ForwardError
            If the model raises on the probe; nothing is kept then.
        """
        given: object = label
        if not isinstance(given, str):
            raise ArgumentError(f"label must be text, not {given!r}; a number is given as step=.")
        label = label[:_LONGEST_LABEL]
        at = self._next() if step is None else _whole(step)
        if self._snapshots and at < self._snapshots[-1].step:
            raise ArgumentError(
                f"step is {at}, and the snapshot before has {self._snapshots[-1].step}: steps only "
                "go up."
            )
        with self.guard():
            profiles = None if self._probe is None else self._probe.take()
            figures = self._measured()
            # still guarded: who reads them beside training finds all lists of one length
            self.step = at
            self._snapshots.append(Snapshot(at, label))
            self._numbers.append(self.taken)
            self.taken += 1
            self._figures.append(figures)
            if profiles is not None:
                self._profiles.append(profiles)
            if len(self._snapshots) > self.limit:
                self._thin()
        if self.on_snapshot is not None:
            self.on_snapshot(self._snapshots[-1])
        return self._snapshots[-1]

    def _next(self) -> int:
        return self.step if self._counted or not self._snapshots else self.step + 1

    @property
    def has_probe(self) -> bool:
        """Whether snapshots keep what layers make of a batch."""
        return self._probe is not None

    @contextmanager
    def recording(self, every: int = 10) -> Generator[Recorder]:
        """Take a snapshot every so many optimiser steps, at the beginning and at the end.

        Counts the steps of every ``torch.optim`` optimiser that trains a parameter of the model,
        whatever the loop around it. In a loop without one, call `count` after each step.

        Parameters
        ----------
        every : int, default 10

        Raises
        ------
        ArgumentError
            If `every` is no whole number above 0.
        """
        given: object = every
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise ArgumentError(f"every must be a whole number above 0, not {given!r}.")
        ours: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

        def stepped(optimizer: Any, args: Any, kwargs: Any) -> None:
            if optimizer not in ours:
                ours[optimizer] = self._trains(optimizer)
            if ours[optimizer]:
                self.count(every)

        if not self._snapshots or self._snapshots[-1].step != self.step:
            self.snapshot(step=self.step)
        handle: Any = register_optimizer_step_post_hook(stepped)
        try:
            yield self
        finally:
            handle.remove()
        if self._snapshots[-1].step != self.step:
            self.snapshot(step=self.step)

    def count(self, every: int = 1) -> None:
        """Count one step; take a snapshot where it is due."""
        self._counted = True
        self.step += 1
        if self.step % (every * self._stride) == 0:
            self.snapshot()

    def _trains(self, optimizer: Any) -> bool:
        mine = {id(parameter) for parameter in self._model.parameters()}
        groups = cast("list[dict[str, Any]]", optimizer.param_groups)
        return any(id(parameter) in mine for group in groups for parameter in group["params"])

    def _measured(self) -> Values:
        """Measure every layer, each module once."""
        if self._structure() != self._shape:  # pruned since, say
            known = {layer.key: layer for layer in find_layers(self._found.model)}
            by_name = {layer.name: layer for layer in known.values()}
            self._found = Layers(
                self._found.model, [by_name.get(layer.name, layer) for layer in self._found]
            )
            self._shape = self._structure()
        layers = list(self._found)
        rows: dict[int, list[float]] = {}
        weights = _weights(layers)
        table = np.full((len(layers), len(FIGURES)), np.nan, np.float32)
        for place, layer in enumerate(layers):
            number = id(layer.module) if layer.name else place
            weight = weights[place]
            if weight is None:
                continue
            if number not in rows or layer.module is self._model:
                found = measure_layer(weight, self.eps, groups=layer.groups, orthogonality=False)
                rows[number] = [_number(getattr(found, name)) for name in FIGURES]
            table[place] = rows[number]
        return table

    def _structure(self) -> list[tuple[str, ...]]:
        """Name what the modules hold: it changes where masks or parametrisations come."""
        return [
            tuple(name for part in ("_parameters", "_buffers") for name in vars(layer.module)[part])
            for layer in self._found
        ]

    def _thin(self) -> None:
        """Drop every second snapshot but the first and the last, and those with a label last."""
        middle = range(1, len(self._snapshots) - 1)
        drop = set(middle[::2])
        plain = {i for i in drop if not self._snapshots[i].label}
        if len(plain) >= len(drop) // 2:
            drop = plain
        keep = [i for i in range(len(self._snapshots)) if i not in drop]
        self._snapshots = [self._snapshots[i] for i in keep]
        self._numbers = [self._numbers[i] for i in keep]
        self._figures = [self._figures[i] for i in keep]
        if self._profiles:
            self._profiles = [self._profiles[i] for i in keep]
        self._stride *= 2


def _whole(step: object) -> int:
    with suppress(TypeError):
        if not isinstance(step, bool):
            return index(cast("Any", step))
    raise ArgumentError(f"step must be a whole number, not {step!r}.")


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _weights(layers: list[Layer]) -> list[Tensor | None]:
    """Return the weights on the CPU, those of an accelerator in one transfer."""
    found = [_weight(layer) for layer in layers]
    away = [i for i, w in enumerate(found) if w is not None and w.device.type != "cpu"]
    if not away:
        return found
    some = [cast("Tensor", found[i]) for i in away]
    flat = torch.cat([weight.flatten().float() for weight in some]).cpu()
    parts = torch.split(flat, [weight.numel() for weight in some])
    for i, part, weight in zip(away, parts, some, strict=True):
        found[i] = part.reshape(weight.shape)
    return found


def _weight(layer: Layer) -> Tensor | None:
    try:
        return None if layer.reason is not None else layer.weight()
    except ConvlensError:
        return None
