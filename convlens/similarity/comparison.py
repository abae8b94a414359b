"""A comparison under way: advanced batch by batch, looked at, stopped, resumed, switched."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convlens.errors import ArgumentError, ConvlensError
from convlens.inputs import device_of
from convlens.similarity import distributed, memory
from convlens.similarity.capture import capture
from convlens.similarity.collect import Collector, SumCollector
from convlens.similarity.measures import Measure, find_measure
from convlens.similarity.result import Similarity
from convlens.similarity.run import Run, array_of
from convlens.similarity.sides import explained

__all__ = ["Comparison"]


class Comparison(Run):
    """A comparison that can be advanced, looked at, stopped and resumed.

    Takes what :func:`convlens.compare` takes, except `progress` and `distributed`. Nothing runs
    before the first `step`. Between steps the models are as they were found, without hooks.

    Attributes
    ----------
    done, samples : int
        Batches and samples so far.
    total : int or None
        Batches in all, None where that is not known.
    finished : bool
        Whether the inputs have ended, or `tol` was reached.
    notes : list of str
        What was dropped, moved, split.

    Examples
    --------
    >>> import convlens as cl
    >>> from convlens.similarity import Comparison
    >>> digits = cl.demo.load()
    >>> comparison = Comparison(digits.model, digits.images[:128])
    >>> for _ in comparison:  # one batch at a time; leave the loop to stop, enter it to resume
    ...     print(comparison.done, comparison.total, comparison.matrix.shape)
    1 4 (15, 15)
    2 4 (15, 15)
    3 4 (15, 15)
    4 4 (15, 15)
    """

    def result(self) -> Similarity:
        """Return what the batches so far give.

        Raises
        ------
        ArgumentError
            If no batch has run.
        """
        return self._result(None)

    def gathered(self) -> Similarity:
        """Return what the batches of all processes give; every rank must call it."""
        distributed.agree(self._keys(0), self._keys(1))
        return self._result(distributed.joined(self._collector))

    def _keys(self, side: int) -> tuple[str, ...]:
        return tuple(row.key for row in (self.rows, self.columns)[side])

    def _result(self, collector: Collector | None) -> Similarity:
        if self.samples == 0:
            raise ArgumentError("No batch has run: call step(), or iterate over the comparison.")
        found = self._evaluated(collector)
        kept = collector or self._collector
        samples, batches = kept.samples_seen, kept.batches_seen
        return Similarity(
            matrix=array_of(found.matrix),
            stderr=array_of(found.stderr),
            reverse=None if found.reverse is None else array_of(found.reverse),
            row_layers=explained(self.rows, found.row_reasons),
            column_layers=explained(self.columns, found.column_reasons),
            model=self._titles[0],
            reference=self._titles[1],
            measure=self.measure.name,
            parameters=dict(self.parameters),
            n=samples,
            batches=1 if self.whole else batches,
            batch_size=samples if self.whole else self._size,
            reduce=str(self.reduction),
            finished=self.finished,
            notes=tuple(self.notes),
            data=self._data[0],
            reference_data=self._data[1],
        )

    # Switching -------------------------------------------------------------------------------

    def why_not(self, measure: str | Measure, **parameters: Any) -> str | None:
        """Say why `switch` would need the models to run again; None where it would not."""
        other = find_measure(measure)
        values = other.values(parameters)
        if isinstance(self._collector, SumCollector):
            if other.batched:
                return None
            return (
                f"{self.measure.name} keeps sums over batches, and {other.name} needs all samples"
            )
        kernel = other.kernel_of(values)
        if kernel == self._collector.kernel or not self.whole:
            return None
        if self._collector.kernel == "features" or kernel == "features":
            return f"{self.measure.name} keeps other things of the layers than {other.name} needs"
        return f"{other.name} needs the {kernel} matrix of the samples, which was not kept"

    def switch(self, measure: str | Measure, **parameters: Any) -> None:
        """Evaluate another measure on what was kept, without running the models again.

        Raises
        ------
        ArgumentError
            If what was kept does not do for it; `why_not` says so beforehand.
        """
        why = self.why_not(measure, **parameters)
        if why is not None:
            raise ArgumentError(f"{why}: start another comparison.")
        self.measure = find_measure(measure)
        self.parameters = self.measure.values(parameters)

    # Estimating ------------------------------------------------------------------------------

    def estimate(self) -> memory.Estimate:
        """Return how much memory it will keep, from a pass of one sample of the first batch."""
        batch = self._peek()
        if batch is None:
            raise ArgumentError("inputs is empty: it must hold at least one batch.")
        shapes: list[tuple[int, int]] = []
        sizes: list[int] = [0]
        counts: list[int] = []

        def look(x: Tensor, module: nn.Module) -> None:
            matrix = self.reduction(x, module)
            shapes.append((max(1, matrix.shape[0] // probe.n), matrix.shape[1]))
            sizes.append(x.numel() * x.element_size() // probe.n * batch.n)

        for side in self._sides():
            probe = batch.slice(0, 1)
            given = probe.inputs if side is self._row_side else probe.reference
            how: dict[str, Any] = {"drawn": batch.drawn, "forward": side.forward}
            start = len(shapes)
            try:
                emissions = capture(side.selection, given, 1, look, **how)
            except ConvlensError:  # it wants exactly so many samples
                del shapes[start:]
                probe = batch
                given = batch.inputs if side is self._row_side else batch.reference
                emissions = capture(side.selection, given, batch.n, look, **how)
            counts.append(len(emissions))
        mode = "sums" if self.measure.batched else "whole" if self.whole else "features"
        batches = self._available()
        total = None if batches is None else batches * batch.n
        layers = (counts[0], counts[-1])
        return memory.estimate(shapes, batch.n, total, layers, mode=mode, largest=max(sizes))

    def refuse_if_not_additive(self) -> None:
        """Refuse what processes cannot share: inner products of samples that are elsewhere.

        Raises
        ------
        ArgumentError
        """
        if self.whole:
            raise ArgumentError(
                f"{self.measure.name} needs the inner products of all samples, and processes do "
                "not have each other's: use measure='cka', reduce='mean' or reduce='positions'."
            )

    def check_memory(self) -> None:
        """Refuse what would not fit, before it runs.

        Raises
        ------
        ArgumentError
            With the estimate, what is free, and the remedy.
        """
        kept = self.estimate().kept
        device = device_of(self._row_side.selection.model) or torch.device("cpu")
        free = memory.available(device)
        if kept is not None and free is not None and kept > free:
            raise ArgumentError(
                f"{self.measure.name} would keep {memory.readable(kept)} and {device} has "
                f"{memory.readable(free)} free: pass fewer layers or samples, reduce='mean', or "
                "measure='cka', which keeps sums only."
            )
