"""A report under way: advanced step by step, looked at, stopped, resumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from convlens.choices import check_eps
from convlens.compression.isolation import Isolation
from convlens.compression.labels import Labels
from convlens.compression.layer_figures import weight_changes
from convlens.compression.matching import match_layers
from convlens.compression.outputs import Outputs
from convlens.compression.result import CompressionReport
from convlens.compression.running import Batches
from convlens.compression.sizes import file_size, packed_size
from convlens.errors import ArgumentError
from convlens.layers import find_layers
from convlens.similarity.batches import Batch, InputsFrom
from convlens.similarity.capture import Forward
from convlens.tree import check_model, kind_of

__all__ = ["Assessment"]


class Assessment:
    """A report that can be advanced, looked at, stopped and resumed.

    Takes what :func:`convlens.compression.report` takes, except `progress`. Nothing runs before the
    first `step`: then come the weights in one step, each batch through both networks in one, and
    each layer compressed alone in one. Between steps both models are as they were found.

    Attributes
    ----------
    done : int
        Steps so far.
    total : int or None
        Steps in all; None where the number of batches is not known.
    phase : str
        What the next step does: "weights", "outputs", "isolated" or "" at the end.
    label : str
        What the last step did, in words.
    finished : bool
    notes : list of str

    Examples
    --------
    >>> import convlens as cl
    >>> from convlens.compression import Assessment
    >>> digits = cl.demo.load()
    >>> small = cl.compression.quantize(digits.model, digits.images[:64], bits=3)
    >>> assessment = Assessment(small, digits.model, digits.images[:64], digits.labels[:64])
    >>> for _ in assessment:  # leave the loop to stop, enter it to resume
    ...     partial = assessment.result()
    >>> assessment.finished
    True
    """

    def __init__(
        self,
        model: nn.Module,
        reference: nn.Module,
        inputs: Any,
        labels: Any = None,
        *,
        batch_size: int | None = None,
        isolated: int = 128,
        eps: float = 0.01,
        forward: Forward | None = None,
        reference_forward: Forward | None = None,
        inputs_from: InputsFrom | None = None,
        titles: tuple[str, str] | None = None,
    ) -> None:
        self.model, self.reference = check_model(model), check_model(reference)
        if isinstance(isolated, bool) or not isinstance(isolated, int) or isolated < 0:
            raise ArgumentError(
                f"isolated must be a number of samples, 0 to leave it out, not {isolated!r}."
            )
        self._eps = check_eps(eps)
        self._most = isolated
        self._batches = Batches(inputs, batch_size, inputs_from, forward)
        self._reference_forward = reference_forward or forward
        self._labels = Labels(labels, inputs)
        self._titles = titles or _titles(self.model, self.reference)
        self.notes: list[str] = []
        self.done = 0
        self.phase = "weights"
        self.label = ""
        self._first: Batch | None = None
        self._outputs: Outputs | None = None
        self._isolation: Isolation | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.phase == ""

    @property
    def total(self) -> int | None:
        """Steps in all, None while the number of batches is not known."""
        batches = self._batches.total
        if self.phase in ("isolated", "") and self._outputs is not None:
            batches = self._outputs.batches
        if batches is None or self._isolation is None:
            return None
        return 1 + batches + (self._isolation.total if self._most else 0)

    def __iter__(self) -> Iterator[Assessment]:
        """Advance to the end, handing over control after each step."""
        while self.step():
            yield self

    def step(self) -> bool:
        """Do one step; False where there was nothing left to do.

        Raises
        ------
        ForwardError
            If a model raises; calling `step` again goes on with what follows.
        ArgumentError
            If `inputs` is empty, or `labels` does not fit it.
        """
        if self.phase == "weights":
            self._weigh()
            self.phase = "outputs"
        elif self.phase == "outputs":
            if not self._run_batch():
                return self.step()
        elif self.phase == "isolated" and self._isolation is not None:
            self.label = self._isolation.step()
            if self._isolation.finished:
                self.phase = ""
        else:
            return False
        self.done += 1
        return True

    def result(self) -> CompressionReport:
        """Return what the steps so far give.

        Raises
        ------
        ArgumentError
            If no step was done.
        """
        if self._outputs is None or self._isolation is None:
            raise ArgumentError("Nothing was measured yet: call step(), or iterate over it.")
        rows = [
            self._isolation.complete(i, self._outputs.complete(i, row))
            for i, row in enumerate(self._rows)
        ]
        return CompressionReport(
            layers=tuple(rows),
            overall=self._outputs.overall(self._sizes),
            flips=self._outputs.flips,
            only_model=tuple(layer.key for layer in self._matching.only_model),
            only_reference=tuple(layer.key for layer in self._matching.only_reference),
            model=self._titles[0],
            reference=self._titles[1],
            isolated_samples=self._isolation.samples,
            classes=self._outputs.classes,
            finished=self.finished,
            notes=(*self.notes, *self._outputs.notes, *self._isolation.notes),
            eps=self._eps,
        )

    def _weigh(self) -> None:
        first = self._batches.next()
        if first is None:
            raise ArgumentError("inputs is empty: it must hold at least one batch.")
        self._first = first
        probe = first.slice(0, min(first.n, 8))
        # as a loader gives it where it came from one, so that labels are left out again
        drawn: Any = [probe.inputs] if first.drawn else probe.inputs
        layers = find_layers(self.model, drawn, self._batches.forward)
        theirs = find_layers(self.reference, drawn, self._reference_forward)
        self._matching = match_layers(layers, theirs)
        self.notes += [*layers.notes]
        if not self._matching.pairs:
            self.notes.append("no layer of the model has a counterpart in the reference")
        self._outputs = Outputs(
            self._matching.pairs,
            (layers.model, theirs.model),
            probe,
            self._labels,
            (self._batches.forward, self._reference_forward),
        )
        self._rows = weight_changes(self._matching.pairs, self._outputs.sites, self._eps)
        self._isolation = Isolation(
            self._matching.pairs,
            self._outputs.sites,
            [row.changed for row in self._rows],
            (layers.model, theirs.model),
            self._most,
            self._reference_forward,
        )
        self._sizes = (
            file_size(layers.model),
            file_size(theirs.model),
            packed_size(layers.model, layers),
            packed_size(theirs.model, theirs),
        )
        self.label = "weights"

    def _run_batch(self) -> bool:
        batch, self._first = self._first or self._batches.next(), None
        if self._outputs is None or self._isolation is None:
            return False
        if batch is None:
            self._labels.check_end(self._outputs.n)
            self.phase = "isolated" if self._most and self._isolation.total else ""
            return False
        found = self._labels.of(batch, self._outputs.n)
        self._outputs.add(batch, found)
        self._isolation.keep(batch, found)
        self.label = f"batch {self._outputs.batches}"
        return True


def _titles(model: nn.Module, reference: nn.Module) -> tuple[str, str]:
    one, other = kind_of(model), kind_of(reference)
    return one, other if one != other else f"{other} (reference)"
