"""What users give as inputs, as a stream of batches, paired where there are two data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from convlens.errors import ArgumentError, nearest

__all__ = [
    "BATCH_SIZE",
    "Batch",
    "Stream",
    "concatenated",
    "mapped",
    "part",
    "samples",
    "taken",
    "tensors",
]

BATCH_SIZE = 32
"""Samples per batch where inputs come as one tensor."""

InputsFrom = Callable[[Any], Any] | str | int


@dataclass(frozen=True)
class Batch:
    """Samples for both sides: `reference` is the same object where both see the same data.

    Attributes
    ----------
    inputs, reference
        As the models take them.
    n
        Number of samples.
    drawn
        Whether it came from a loader, which also gives labels.
    """

    inputs: Any
    reference: Any
    n: int
    drawn: bool

    def halves(self) -> tuple[Batch, Batch]:
        """Split in two, samples kept together with their pairs."""
        middle = self.n // 2
        return self.slice(0, middle), self.slice(middle, self.n)

    def slice(self, start: int, stop: int) -> Batch:
        """Take the samples from `start` to `stop`."""
        first = part(self.inputs, self.n, start, stop)
        same = self.reference is self.inputs
        second = first if same else part(self.reference, self.n, start, stop)
        return Batch(first, second, stop - start, self.drawn)


class Stream:
    """Batches one after the other, each checked against its pair.

    Parameters
    ----------
    inputs
        A tensor, or a tuple or mapping of tensors, is split into batches; a DataLoader, Dataset or
        other iterable gives them.
    reference_inputs
        The same of a second data set, or None.
    batch_size
        Of what has to be split.
    inputs_from
        A callable, key or index that takes what the model wants out of each batch.
    """

    def __init__(
        self,
        inputs: Any,
        reference_inputs: Any = None,
        batch_size: int | None = None,
        inputs_from: InputsFrom | None = None,
    ) -> None:
        if batch_size is not None and (isinstance(batch_size, bool) or batch_size < 1):
            raise ArgumentError(f"batch_size is {batch_size!r}; it must be a whole number above 0.")
        self._from = inputs_from
        self.paired = reference_inputs is not None
        self._first, self.total, self.drawn = _source(inputs, batch_size, "inputs")
        self._second: Iterator[Any] | None = None
        self._index = 0
        if self.paired:
            self._second, total, _ = _source(reference_inputs, batch_size, "reference_inputs")
            _check_pairing(inputs, reference_inputs, self.total, total)

    def next(self) -> Batch | None:
        """Return the next batch, None after the last."""
        batch = next(self._first, None)
        other = None if self._second is None else next(self._second, None)
        self._index += 1
        if self._second is not None and (batch is None) != (other is None):
            shorter = "inputs" if batch is None else "reference_inputs"
            raise ArgumentError(
                f"{shorter} ended after {self._index - 1} batches and the other has more: pairs "
                "need two data sets of the same length, in the same order."
            )
        if batch is None:
            return None
        batch = taken(batch, self._from)
        n = samples(batch)
        if self._second is None:
            return Batch(batch, batch, n, self.drawn)
        other = taken(other, self._from)
        if samples(other) != n:
            raise ArgumentError(
                f"Batch {self._index} of inputs holds {n} samples, of reference_inputs "
                f"{samples(other)}: pairs need the same batch size on both sides."
            )
        return Batch(batch, other, n, self.drawn)


def samples(batch: Any) -> int:
    """Return the number of samples: the first dimension of the first tensor."""
    found = next((t for t in tensors(batch) if t.dim() > 0), None)
    if found is None:
        raise ArgumentError(
            f"A batch of type {type(batch).__name__} holds no tensor to count samples by: pass "
            "inputs_from=, a callable, key or index that takes the model's inputs out of it."
        )
    return int(found.shape[0])


def tensors(tree: Any) -> Iterator[Tensor]:
    """Give every tensor in nested mappings and sequences."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in cast("Mapping[Any, Any]", tree).values():
            yield from tensors(value)
    elif isinstance(tree, (list, tuple)):
        for value in cast("Sequence[Any]", tree):
            yield from tensors(value)


def part(tree: Any, n: int, start: int, stop: int) -> Any:
    """Take samples `start` to `stop` of every tensor that has `n` of them."""
    return mapped(tree, lambda t: t[start:stop] if t.dim() > 0 and t.shape[0] == n else t)


def concatenated(batches: Sequence[Batch]) -> Batch:
    """Join batches into one."""
    if len(batches) == 1:
        return batches[0]
    first = _joined([batch.inputs for batch in batches])
    same = all(batch.reference is batch.inputs for batch in batches)
    second = first if same else _joined([batch.reference for batch in batches])
    return Batch(first, second, sum(batch.n for batch in batches), batches[0].drawn)


def _joined(trees: Sequence[Any]) -> Any:
    first = trees[0]
    if isinstance(first, Tensor):
        if first.dim() == 0:
            return first
        shapes = {tuple(tree.shape[1:]) for tree in trees}
        if len(shapes) > 1:
            raise ArgumentError(
                f"Batches differ in the shape of a sample ({sorted(shapes)}), and this measure "
                "needs all samples at once: use measure='cka', or samples of one size."
            )
        return torch.cat(list(trees))
    if isinstance(first, Mapping):
        keys = cast("Mapping[Any, Any]", first)
        return {key: _joined([tree[key] for tree in trees]) for key in keys}
    if isinstance(first, (list, tuple)):
        parts = [_joined(group) for group in zip(*trees, strict=True)]
        return _rebuilt(cast("object", first), parts)
    return first


def mapped(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return `tree` with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        named = cast("Mapping[Any, Any]", tree)
        return {key: mapped(value, change) for key, value in named.items()}
    if isinstance(tree, (list, tuple)):
        parts = [mapped(value, change) for value in cast("Sequence[Any]", tree)]
        return _rebuilt(cast("object", tree), parts)
    return tree


def _rebuilt(like: object, parts: list[Any]) -> Any:
    kind = cast("Any", type(like))
    # a named tuple takes its fields one by one
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)


def taken(batch: Any, inputs_from: InputsFrom | None) -> Any:
    """Take what the model wants out of a batch."""
    if inputs_from is None:
        return batch
    if callable(inputs_from):
        return inputs_from(batch)
    kind = type(batch).__name__
    try:
        return batch[inputs_from]
    except (KeyError, IndexError, TypeError) as error:
        named = cast("Mapping[Any, Any]", batch if isinstance(batch, Mapping) else {})
        keys = [str(key) for key in named]
        has = f"; it has {', '.join(keys)}" if keys else ""
        raise ArgumentError(
            f"inputs_from is {inputs_from!r}, and a batch ({kind}) has no such "
            f"part{has}.{nearest(inputs_from, keys)}"
        ) from error


def _source(
    inputs: Any, batch_size: int | None, called: str
) -> tuple[Iterator[Any], int | None, bool]:
    """Return the batches, how many (None: unknown), and whether they are drawn from a loader."""
    if isinstance(inputs, (Tensor, tuple, Mapping)):
        n = samples(cast("Any", inputs))
        size = batch_size or BATCH_SIZE
        starts = range(0, n, size)
        whole = cast("Any", inputs)
        split = (part(whole, n, start, min(n, start + size)) for start in starts)
        return split, len(starts), False
    if isinstance(inputs, Dataset):
        dataset = cast("Dataset[Any]", inputs)
        inputs = DataLoader(dataset, batch_size=batch_size or BATCH_SIZE)
    elif hasattr(inputs, "__array__"):
        raise ArgumentError(
            f"{called} is a {type(inputs).__name__}: pass torch.as_tensor({called}), as float and "
            "scaled as the model expects it."
        )
    elif isinstance(inputs, (str, bytes)) or not isinstance(inputs, Iterable):
        raise ArgumentError(
            f"{called} must be a tensor, a DataLoader or another iterable of batches, not "
            f"{f'{inputs!r}' if isinstance(inputs, (str, bytes)) else type(inputs).__name__}."
        )
    elif batch_size is not None:
        raise ArgumentError(
            f"batch_size splits tensors, and {called} already gives batches: set it there."
        )
    stream = cast("Iterable[Any]", inputs)
    try:
        total = len(cast("Any", stream))
    except TypeError:  # a generator, or a loader over an IterableDataset
        total = None
    return iter(stream), total, True


def _check_pairing(first: Any, second: Any, total: int | None, other: int | None) -> None:
    for called, inputs in (("inputs", first), ("reference_inputs", second)):
        if isinstance(inputs, DataLoader):
            loader = cast("DataLoader[Any]", inputs)
            if isinstance(
                loader.sampler, (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
            ):
                raise ArgumentError(
                    f"{called} is a DataLoader that shuffles, so samples would be paired at "
                    "random: make it with shuffle=False."
                )
    if total is not None and other is not None and total != other:
        raise ArgumentError(
            f"inputs has {total} batches and reference_inputs {other}: pairs need two data sets "
            "of the same length and batch size."
        )
