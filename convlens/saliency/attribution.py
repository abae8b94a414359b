"""An attribution as a run in steps, for a Lens, and as one call."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convlens.activations import Forward, untouched
from convlens.errors import ArgumentError, Cancelled, ConvlensError, ForwardError
from convlens.inputs import device_of
from convlens.replica import duplicate
from convlens.saliency.baselines import Baseline, BaselineSpec
from convlens.saliency.draws import Draws
from convlens.saliency.engines import cost_of, engine_of
from convlens.saliency.given import checked_inputs, place_of
from convlens.saliency.methods import Method, find_method
from convlens.saliency.preflight import check, why_not
from convlens.saliency.probe import Head, Place, Probe
from convlens.saliency.result import Saliency
from convlens.saliency.scores import Said, said_by
from convlens.saliency.targets import Target, as_goal
from convlens.saliency.work import Parts, Rows, Steps, Work, rows_at_once
from convlens.similarity.capture import is_out_of_memory
from convlens.tree import check_model, walk

__all__ = ["Attribution"]

# Seconds in which small parts are run together: to look after the model costs some milliseconds.
_MOMENT = 0.02


class Attribution:
    """An attribution that is run step by step.

    Takes the arguments of :func:`convlens.attribute`, and checks those that can be checked without
    running the model.

    Attributes
    ----------
    method : Method
    parameters : dict
        Every parameter's value.
    inputs : Tensor
        A copy of the inputs, on the model's device and of its type.
    done, total : int
        Rows (forward passes of one input) run so far, and in all.
    finished : bool

    Examples
    --------
    >>> from convlens import demo
    >>> digits = demo.load()
    >>> run = Attribution(digits.model, digits.images[:2], method="integrated_gradients", steps=20)
    >>> for done, total in run.steps():
    ...     pass
    >>> (done, total)
    (44, 44)
    >>> run.result().values.shape
    (2, 1, 8, 8)
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        target: Target = None,
        method: str | Method = "integrated_gradients",
        *,
        layer: str | int | None = None,
        channel: int | None = None,
        baseline: BaselineSpec = "zero",
        labels: Any = None,
        batch_size: int | None = None,
        forward: Forward | None = None,
        inputs_from: Any = None,
        device: str | torch.device | None = None,
        seed: int = 0,
        **parameters: Any,
    ) -> None:
        self.method = find_method(method)
        self.parameters = self.method.values(parameters)
        self._model = on_device(walk(check_model(model)).model, device)
        self.forward = forward
        given = checked_inputs(self._model, inputs, labels, inputs_from, forward)
        self.inputs = given.x
        self._goal = as_goal(target, given.labels, len(self.inputs))
        if self.method.name == "lrp" and (channel is not None or self._goal.readout is not None):
            raise ArgumentError(
                "LRP hands back the score of a class: leave channel= out, and give target= a class."
            )
        self._target_name = _name_of(target)
        self._labels = given.labels
        self._baseline = Baseline(baseline, self.inputs, seed)
        self._seed = whole("seed", seed, 0)
        self._batch_size = None if batch_size is None else whole("batch_size", batch_size, 1)
        self._place = place_of(self._model, self.method, layer, channel, self.inputs, forward)
        self._channel = channel
        cost = cost_of(self.method.name, self.parameters, tuple(self.inputs.shape[1:]))
        self._cost = cost
        n = len(self.inputs)
        self.total = n * (1 + cost + (1 if self._has_delta else 0))
        self.finished = False
        self._said: list[Said] = []
        self._values: list[Tensor] = []
        self._deltas: list[Tensor] = []
        self._targets: Tensor | None = None
        self._scores: Tensor | None = None
        self._work: Work | None = None
        self._predicting = Parts(self._batch_size or 64)
        self._extra = 0
        self._held = False
        self._draws = Draws(self._seed, self.parameters.get("of", self.method.name), self._model)
        self._running: Steps[None] | None = None

    @property
    def done(self) -> int:
        """Rows run so far."""
        if self.finished:
            return self.total
        run = 0 if self._work is None else self._work.done
        return min(self.total, self._predicting.done + self._extra + run)

    @property
    def _attributes_layer(self) -> bool:
        """Whether the values are of a layer's outputs and not of the inputs."""
        inside = self._channel is None and self.method.layer_variant
        return self._place is not None and (self.method.name == "layer_grad_cam" or inside)

    @property
    def _has_delta(self) -> bool:
        return self.method.has_delta and not self._attributes_layer

    def steps(self) -> Generator[tuple[int, int]]:
        """Run to the end; after each step, of some tens of milliseconds, give (done, total).

        The model is as it was found after every step. To stop, stop iterating: what is finished
        stays for :meth:`result`.

        Raises
        ------
        ForwardError
            The model raises, or gives NaN.
        ArgumentError
            The target is no class of this model, or the method cannot be had for it: the sentence
            that :func:`convlens.saliency.preflight` gives.
        """
        if self._running is None:
            self._running = self._run()
        try:
            while not self.finished:
                with self._kept():
                    self._advance(self._running)
                yield self.done, self.total
        finally:
            self._running.close()

    @contextmanager
    def held(self) -> Generator[None]:
        """Leave the model as it was found once, at the end, and not after every step.

        That is quicker, for a loop that nothing else interleaves with.
        """
        with untouched(self._model):
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def result(self) -> Saliency:
        """Return what is finished: all inputs, or the first ones where it was stopped.

        Raises
        ------
        Cancelled
            It was stopped before the first input was finished.
        """
        if not self._values:
            raise Cancelled("The attribution was stopped before the first input was finished.")
        values = torch.cat(self._values).cpu().float().numpy()
        n = len(values)
        predicted = _joined([said.predicted for said in self._said])
        probabilities = _joined([said.probabilities for said in self._said])
        targets = None if self._targets is None else self._targets[:n].cpu().numpy()
        notes = [] if self._work is None else self._work.notes
        return Saliency(
            values=values,
            method=self.method.name,
            parameters=dict(self.parameters),
            target=targets,
            target_name=self._target_name,
            score=None if self._scores is None else self._scores[:n].numpy(),
            predicted=None if predicted is None else predicted[:n],
            probability=None
            if probabilities is None or predicted is None
            else probabilities[np.arange(n), predicted[:n]],
            label=None if self._labels is None else np.asarray(self._labels)[:n],
            delta=torch.cat(self._deltas).cpu().float().numpy() if self._deltas else None,
            layer=None if self._place is None else self._place.key,
            channel=self._channel,
            baseline=self._baseline.name if self.method.takes_baseline else None,
            input_shape=tuple(self.inputs.shape[1:]),
            model=type(self._model).__name__,
            finished=n == len(self.inputs),
            notes=tuple(dict.fromkeys([*self._predicting.notes, *notes])),
        )

    # Inside ----------------------------------------------------------------------------------

    def _advance(self, running: Steps[None]) -> None:
        """Run one part, and as many small ones as fit into a moment."""
        until = time.perf_counter() + _MOMENT
        try:
            while True:
                next(running)
                if time.perf_counter() > until:
                    return
        except StopIteration:
            self.finished = True
        except Exception as error:
            told = self._told(error)
            if told is error:
                raise
            raise told from error

    def _told(self, error: Exception) -> ConvlensError:
        """Return an error as a sentence: those of Captum and of torch are none."""
        if is_out_of_memory(error):
            return ForwardError(
                "Memory ran out even for one input at a time: pass smaller inputs, or free some."
            )
        if isinstance(error, ConvlensError):
            return error
        name: str = self.parameters.get("of", self.method.name)
        reason = why_not(name, self._model, self.inputs[:1], self.forward)
        if reason is not None:
            return ArgumentError(reason)
        kind, said = type(error).__name__, str(error).strip().split("\n")[0]
        return ForwardError(f"{self.method.title} failed on this model: {kind} ({said}).")

    @contextmanager
    def _kept(self) -> Generator[None]:
        with (
            nullcontext() if self._held else untouched(self._model),
            self._draws.borrowed(),
            torch.inference_mode(mode=False),
            torch.enable_grad(),
        ):
            with suppress(NotImplementedError):  # exported programs have one mode only
                self._model.eval()
            yield

    def _run(self) -> Steps[None]:
        yield from self._predict()
        said = _joined_said(self._said)
        shape = tuple(said.scores.shape)
        whole_model = self._channel is None or self.method.takes_layer
        target: Tensor | None = None
        if whole_model:
            target = self._goal.resolve(said.predicted, said.classes, shape)
        self._targets = target
        found = check(
            self.method, self.parameters, self._model, self.inputs, self.forward, self._place
        )
        model, place = found.model, found.place
        readout = self._goal.readout if whole_model else None
        probe = Probe(model, self.forward, readout, place, None if whole_model else self._channel)
        if target is not None:
            self._scores = said.scores[torch.arange(len(target)), target]
        work = self._make_work(probe, place)
        rows = Rows(
            self.inputs,
            torch.arange(len(self.inputs)),
            None if target is None else target.to(self.inputs.device),
        )
        group = max(1, work.rows // self._cost)
        engine = engine_of(self.method.name)
        for start in range(0, len(rows), group):
            part = rows[start : start + group]
            if isinstance(work.module, Head):
                emitted = work.module.emitted(part.x)
                inside = Rows(emitted, part.index, part.target, (part.x,))
                values = yield from engine(work, inside, self.parameters)
            else:
                values = yield from engine(work, part, self.parameters)
            if self._has_delta:
                self._deltas.append(self._delta(work, part, values))
                self._extra += len(part)
            self._values.append(values.detach())

    def _make_work(self, probe: Probe, place: Place | None) -> Work:
        wants_gradients = self.method.family != "perturbation"
        rows = self._batch_size or rows_at_once(
            probe, self.inputs, len(self.inputs) * self._cost, wants_gradients
        )
        module: nn.Module = probe
        by_itself = self.method.modules or self.method.name == "layer_grad_cam"
        if self._attributes_layer and place is not None and not by_itself:
            module = Head(Probe(probe.model, self.forward, self._goal.readout), place)
        self._work = Work(
            rows,
            module=module,
            probe=probe,
            baseline=self._baseline,
            seed=self._seed,
            place=place if self._attributes_layer or self.method.takes_layer else None,
            channel=self._channel if self.method.takes_layer else None,
        )
        return self._work

    def _predict(self) -> Steps[None]:
        """Run the model as it is, and read what it says."""
        probe = Probe(self._model, self.forward)

        def compute(start: int, stop: int) -> Said:
            with torch.no_grad():
                return said_by(probe(self.inputs[start:stop]), start)

        yield from self._predicting.spread(
            len(self.inputs), compute, lambda start, stop, said: self._said.append(said)
        )

    def _delta(self, work: Work, rows: Rows, values: Tensor) -> Tensor:
        """Return what the sum of attributions has too much of: Captum's convergence delta."""
        from convlens.saliency.modular import expected

        known = None if self._scores is None else self._scores[rows.index].to(values)
        with torch.no_grad():
            wanted = expected(work, rows, self.method, self.parameters, known)
        return values.flatten(1).sum(1) - wanted


def on_device(model: nn.Module, device: str | torch.device | None) -> nn.Module:
    """Return the model, or a copy of it on another device."""
    if device is None:
        return model
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, TypeError, AssertionError) as error:
        said = str(error).strip().split("\n")[0]
        raise ArgumentError(f"device is {device!r}, which cannot be used here ({said}).") from error
    own = device_of(model)
    same = own is None or (own.type == wanted.type and wanted.index in (None, own.index))
    return model if same else duplicate(model).to(wanted)


def whole(name: str, value: object, least: int) -> int:
    """Return a whole number, or say what it must be."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"{name} is {value!r}; it must be a whole number >= {least}.")
    return value


def _name_of(target: Any) -> str:
    if target is None or isinstance(target, str):
        return target or "predicted"
    if callable(target) and not isinstance(target, Tensor):
        return getattr(target, "__name__", type(target).__name__)
    return "class"


def _joined(parts: list[Tensor | None]) -> Any:
    there = [part for part in parts if part is not None]
    return torch.cat(there).numpy() if there and len(there) == len(parts) else None


def _joined_said(parts: list[Said]) -> Said:
    if len(parts) == 1:
        return parts[0]
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    predicted = [part.predicted for part in parts if part.predicted is not None]
    return Said(
        torch.cat([part.scores for part in parts]),
        torch.cat(probabilities) if probabilities else None,
        torch.cat(predicted) if predicted else None,
    )
