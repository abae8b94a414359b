"""Which layer costs what: one at a time is compressed, and all others stay as they were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from convlens.activations import untouched
from convlens.compression.changes import LayerChange
from convlens.compression.fake import input_grid
from convlens.compression.figures import Error
from convlens.compression.fusion import Sites
from convlens.compression.matching import Pair
from convlens.compression.running import predictions, run_batch
from convlens.compression.swap import Run, replacement, swapped
from convlens.errors import ConvlensError
from convlens.similarity.batches import Batch
from convlens.similarity.capture import Forward, unwatched
from convlens.similarity.reduce import first_tensor

__all__ = ["Isolation"]


@dataclass
class _Layer:
    """What one layer alone does."""

    own: Error = field(default_factory=Error)
    final: Error = field(default_factory=Error)
    agreed: int = 0
    classified: int = 0
    right: int = 0
    labelled: int = 0
    done: bool = False
    reason: str | None = None


class Isolation:
    """Compresses one layer of the reference at a time.

    Attributes
    ----------
    total : int
        Steps: one of the reference as it is, one per layer that changed.
    samples : int
        How many inputs are used.
    finished : bool
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        sites: Sequence[Sites],
        changed: Sequence[bool],
        models: tuple[nn.Module, nn.Module],
        most: int,
        forward: Forward | None,
    ) -> None:
        self._pairs, self._sites, self._models = pairs, sites, models
        self._most, self._forward = most, forward
        self._found = [_Layer() for _ in pairs]
        self.samples = 0
        self.notes: list[str] = []
        self._kept: list[tuple[Batch, Tensor | None]] = []
        self._outputs: list[Tensor | None] = []
        self._same = [
            not (change or input_grid(pair.layer.module) is not None)
            for pair, change in zip(pairs, changed, strict=True)
        ]
        self._todo = [i for i, same in enumerate(self._same) if not same]
        self.total = 1 + len(self._todo) if self._todo else 0

    @property
    def finished(self) -> bool:
        """Whether every layer had its turn."""
        return not self._todo

    def keep(self, batch: Batch, labels: Tensor | None) -> None:
        """Keep a batch for later, up to the number of samples that was asked for."""
        left = self._most - self.samples
        if left <= 0 or not self._todo:
            return
        if batch.n > left:
            batch, labels = batch.slice(0, left), None if labels is None else labels[:left]
        self._kept.append((batch, labels))
        self.samples += batch.n

    def step(self) -> str:
        """Run the reference as it is first, then with one layer compressed; say what was done."""
        model, reference = self._models
        with untouched(model), untouched(reference):
            with suppress(NotImplementedError):  # exported programs have one mode only
                model.eval()
            if not self._outputs:
                self._outputs = [self._run(batch) for batch, _ in self._kept]
                return "reference"
            place = self._todo.pop(0)
            self._isolate(place)
        if not self._todo:
            self._kept, self._outputs = [], []
        return self._pairs[place].layer.key

    def _isolate(self, place: int) -> None:
        pair, found = self._pairs[place], self._found[place]
        try:
            run, found.reason = replacement(pair, self._sites[place].norm)
            if run is None:
                return

            def seen(output: Any, other: Any) -> None:
                with unwatched():
                    one, two = first_tensor(output), first_tensor(other)
                    if one is not None and two is not None and one.shape == two.shape:
                        found.own.add(one, two)

            for (batch, labels), before in zip(self._kept, self._outputs, strict=True):
                after = self._run(batch, (pair, run, seen))
                self._count(found, before, after, labels, batch.n)
            found.done = True
            if not found.own.count:
                found.reason, found.done = "the reference's layer is not called by itself", False
        except (ConvlensError, RuntimeError, TypeError, ValueError) as error:
            said = str(error.__cause__ or error).strip().split("\n")[0]
            found.reason = f"it cannot stand in the reference on its own ({said})"

    def _run(self, batch: Batch, swap: tuple[Pair, Run, Any] | None = None) -> Tensor | None:
        reference = self._models[1]
        if swap is None:
            output = run_batch(reference, batch, self._forward)
        else:
            pair, run, seen = swap
            with swapped(pair.reference.module, pair.reference.call, run, seen):
                output = run_batch(reference, batch, self._forward)
        tensor = first_tensor(output)
        return None if tensor is None else torch.clone(tensor.detach())

    @staticmethod
    def _count(
        found: _Layer, before: Tensor | None, after: Tensor | None, labels: Tensor | None, n: int
    ) -> None:
        if before is None or after is None or before.shape != after.shape:
            return
        found.final.add(before, after)
        was, now = predictions(before, n), predictions(after, n)
        if was is None or now is None:
            return
        found.classified += n
        found.agreed += int((was.argmax(1) == now.argmax(1)).sum())
        if labels is not None:
            found.labelled += n
            found.right += int((now.argmax(1).cpu() == labels).sum())

    def complete(self, place: int, row: LayerChange) -> LayerChange:
        """Put into a layer's row what it does alone."""
        found = self._found[place]
        if self._same[place]:
            return replace(row, isolated_sqnr=math.inf, isolated_cosine=1.0, cost=0.0)
        if not found.done:
            if found.reason is None:
                return row
            return replace(row, reasons={**row.reasons, "cost": found.reason})
        return replace(
            row,
            isolated_sqnr=found.own.sqnr,
            isolated_cosine=found.own.cosine,
            cost=found.final.lost,
            isolated_agreement=found.agreed / found.classified if found.classified else None,
            isolated_accuracy=found.right / found.labelled if found.labelled else None,
        )
