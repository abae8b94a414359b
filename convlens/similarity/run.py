"""The loop of a comparison: batches in, what layers emit collected, values at any time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convlens.activations import untouched
from convlens.errors import ArgumentError, ForwardError
from convlens.similarity.batches import Batch, InputsFrom, Stream, concatenated
from convlens.similarity.capture import Emission, Forward, capture, is_out_of_memory, unwatched
from convlens.similarity.collect import LEAST, Collector, Found, SampleCollector, SumCollector
from convlens.similarity.measures import Measure, Reduce, find_measure
from convlens.similarity.reduce import GRID, Reduction
from convlens.similarity.result import Row, Similarity
from convlens.similarity.selection import LayerSpec, select
from convlens.similarity.sides import (
    Side,
    describe_data,
    has_index,
    placed,
    select_reference,
    titles_of,
)

__all__ = ["ComparisonError", "Run", "array_of"]

if TYPE_CHECKING:
    from typing_extensions import Self

_ENOUGH = 4  # batches before a standard error is believed


class ComparisonError(ForwardError):
    """A model failed in the middle of a comparison.

    Attributes
    ----------
    partial : Similarity or None
        What the finished batches gave, set by :func:`convlens.compare`.
    """

    partial: Similarity | None = None


class Run:
    """Feeds batches to two models and collects what their layers emit."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        reference: nn.Module | None = None,
        measure: str | Measure = "cka",
        *,
        layers: LayerSpec = "convs",
        reference_layers: LayerSpec | None = None,
        reference_inputs: Any = None,
        reduce: Reduce | None = None,
        grid: int | None = GRID,
        batch_size: int | None = None,
        max_batches: int | None = None,
        forward: Forward | None = None,
        reference_forward: Forward | None = None,
        inputs_from: InputsFrom | None = None,
        tol: float | None = None,
        titles: tuple[str, str] | None = None,
        **parameters: Any,
    ) -> None:
        self.measure = find_measure(measure)
        self.parameters = self.measure.values(parameters)
        self.reduction = Reduction(reduce or self.measure.reduce, grid)
        _check_limits(self.measure, tol, max_batches)
        self._tol = tol
        self._max_batches = max_batches
        self._stream = Stream(inputs, reference_inputs, batch_size, inputs_from)
        self._buffer: list[Batch] = []
        if self.measure.batched:
            self._collector: Collector = SumCollector(self.reduction)
        else:
            kernel = self.measure.kernel_of(self.parameters)
            self._collector = SampleCollector(self.reduction, kernel)
        peek = None
        if has_index(layers) or has_index(reference_layers):
            peek = self._peek()
        first = None if peek is None else peek.inputs
        self._row_side = Side(select(model, layers, first, forward), forward)
        self.same = (
            (reference is None or reference is model)
            and reference_layers is None
            and reference_inputs is None
            and reference_forward is None
        )
        self._column_side = self._row_side
        if not self.same:
            other = model if reference is None else reference
            second = None if peek is None else peek.reference
            run = forward if reference_forward is None else reference_forward
            chosen = layers if reference_layers is None else reference_layers
            self._column_side = Side(
                select_reference(other, chosen, second, run, inherited=reference_layers is None),
                run,
            )
        self._titles = titles or titles_of(
            self._row_side, self._column_side, self._stream, same=self.same
        )
        seen = (inputs, inputs if reference_inputs is None else reference_inputs)
        self._data = (describe_data(seen[0]), describe_data(seen[1]))
        self._fit: int | None = None  # samples at once, after memory ran out with more
        self._size = 0
        self._sizes: list[int] = []
        self._drawn = 0
        self._held = False
        self._found: tuple[Any, Found] | None = None
        self.done = 0
        self.samples = 0
        self.finished = False
        self.notes: list[str] = [
            *self._row_side.selection.notes,
            *([] if self.same else self._column_side.selection.notes),
        ]
        note = placed([side.selection.model for side in self._sides()], self.measure)
        if note is not None:
            self._note(note)

    @contextmanager
    def held(self) -> Generator[None]:
        """Leave the models as they were found once, at the end, and not after every step.

        That is quicker, for a loop that nothing else interleaves with.
        """
        models = nn.ModuleList(side.selection.model for side in self._sides())
        with untouched(models):
            self._held = True
            try:
                yield
            finally:
                self._held = False

    # Advancing -------------------------------------------------------------------------------

    @property
    def total(self) -> int | None:
        """Batches in all; None where the inputs do not say."""
        return 1 if self.whole else self._available()

    def _available(self) -> int | None:
        total = self._stream.total
        if self._max_batches is not None:
            return self._max_batches if total is None else min(total, self._max_batches)
        return total

    @property
    def whole(self) -> bool:
        """Whether all samples run as one batch, since the measure does not add up over batches."""
        return isinstance(self._collector, SampleCollector) and self._collector.whole

    def step(self) -> bool:
        """Run one batch; False, and nothing runs, when there is none left.

        Raises
        ------
        ComparisonError
            If a model raises. Finished batches are kept, and the next step takes the next batch.
        ArgumentError
            If the data sets do not pair, or memory is short and the measure cannot do with less.
        """
        if self.finished:
            return False
        batch = self._draw()
        if batch is None:
            self.finished = True
            if self.samples < LEAST:
                raise ArgumentError(
                    f"inputs gave no batch of at least {LEAST} samples, and similarity needs that "
                    "many: pass more samples or a larger batch_size."
                )
            return False
        self._run_fitting(batch)
        self._found = None
        if self._tol is not None and self.done >= _ENOUGH:
            errors = self.stderr[np.isfinite(self.stderr)]
            if errors.size and errors.max() < self._tol:
                self.finished = True
                self._note(f"stopped at a standard error below {self._tol:g}")
        return True

    def __iter__(self) -> Iterator[Self]:
        while self.step():
            yield self

    def _draw(self) -> Batch | None:
        if self.whole:
            everything: list[Batch] = []
            while (batch := self._draw_one(len(everything))) is not None:
                everything.append(batch)
            if not everything:
                return None
            together = concatenated(everything)
            self._sizes = [batch.n for batch in everything]
            return together if together.n >= LEAST else None
        while (batch := self._draw_one(self.done)) is not None:
            if batch.n >= LEAST or not self.measure.batched:
                self._size = max(self._size, batch.n)
                return batch
            self._note(f"a batch of {batch.n} was dropped: at least {LEAST} samples are needed")
        return None

    def _draw_one(self, done: int) -> Batch | None:
        if self._max_batches is not None and done >= self._max_batches:
            return None
        self._drawn += 1
        return self._buffer.pop() if self._buffer else self._stream.next()

    def _peek(self) -> Batch | None:
        if not self._buffer:
            batch = self._stream.next()
            if batch is None:
                return None
            self._buffer.append(batch)
        return self._buffer[-1]

    def _run_fitting(self, batch: Batch) -> None:
        """Run a batch, in halves where memory does not hold it whole."""
        waiting = [batch]
        while waiting:
            current = waiting.pop()
            if self._fit is not None and current.n > self._fit:
                waiting.extend(reversed(current.halves()))
                continue
            try:
                self._run(current)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._fit = self._smaller(current, error)
                waiting.append(current)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
        self.done += 1

    def _smaller(self, batch: Batch, error: Exception) -> int:
        least = 2 * LEAST if self.measure.batched else 2
        if self.whole or batch.n < least:
            remedy = (
                "pass fewer samples, reduce='mean', or measure='cka', which goes batch by batch"
                if self.whole
                else "pass smaller samples, or move the model to a device with more memory"
            )
            raise ArgumentError(
                f"Out of memory with {batch.n} samples at once, and {self.measure.name} cannot do "
                f"with fewer: {remedy}."
            ) from error
        self._note(f"out of memory with {batch.n} samples: batches were halved")
        return (batch.n + 1) // 2

    def _run(self, batch: Batch) -> None:
        label = "" if self.whole else f"in batch {self._drawn}"
        rows = self._capture(self._row_side, batch.inputs, batch, label)
        columns = rows
        if not self.same:
            columns = self._capture(self._column_side, batch.reference, batch, label)
        if self.samples == 0 and not (self._row_side.rows and self._column_side.rows):
            raise ArgumentError("None of the chosen layers is called on these inputs.")
        with unwatched():
            self._collector.add(batch.n, rows, columns, label)
        if self.whole and isinstance(self._collector, SampleCollector):
            self._collector.sizes = self._sizes
        self.samples += batch.n

    def _capture(
        self, side: Side, given: Any, batch: Batch, label: str
    ) -> list[Emission[Any] | None]:
        try:
            emissions = capture(
                side.selection,
                given,
                batch.n,
                self._collector.take,
                drawn=batch.drawn,
                forward=side.forward,
                held=self._held,
                layout=side.layout,
            )
        except ForwardError as error:
            if is_out_of_memory(error):
                raise
            which = "" if self.same else (" (model)" if side is self._row_side else " (reference)")
            told = f"{error} {label}".rstrip()
            raise ComparisonError(f"{told}{which}.") from error.__cause__
        return side.align(emissions)

    # Looking ---------------------------------------------------------------------------------

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows, known after the first step."""
        return self._row_side.rows

    @property
    def columns(self) -> tuple[Row, ...]:
        """The columns, known after the first step."""
        return self._column_side.rows

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The values so far, float64 (rows, columns): cheap after each batch of minibatch CKA."""
        return array_of(self._evaluated().matrix)

    @property
    def stderr(self) -> npt.NDArray[np.float64]:
        """The standard errors so far, float64 (rows, columns)."""
        return array_of(self._evaluated().stderr)

    def _evaluated(self, collector: Collector | None = None) -> Found:
        if collector is not None:
            return collector.found(self.measure, self.parameters)
        state = (self.done, self.measure.name, tuple(self.parameters.items()))
        if self._found is None or self._found[0] != state:
            self._found = (state, self._collector.found(self.measure, self.parameters))
        return self._found[1]

    def _sides(self) -> tuple[Side, ...]:
        return (self._row_side,) if self.same else (self._row_side, self._column_side)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _check_limits(measure: Measure, tol: float | None, max_batches: int | None) -> None:
    if tol is not None and not tol > 0:
        raise ArgumentError(f"tol is {tol!r}; it must be a standard error above 0.")
    if tol is not None and not measure.batched:
        raise ArgumentError(
            f"tol needs a standard error, and {measure.name} has none: use measure='cka'."
        )
    if max_batches is not None and (isinstance(max_batches, bool) or not max_batches >= 1):
        raise ArgumentError(f"max_batches is {max_batches!r}; it must be a whole number above 0.")


def array_of(values: Tensor) -> npt.NDArray[np.float64]:
    """Copy `values` into a NumPy array."""
    found = cast("Any", values).cpu().numpy().copy()
    return cast("npt.NDArray[np.float64]", found)
