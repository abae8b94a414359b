"""What is kept of each batch: sums for minibatch CKA, samples for what needs them all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from convlens.measures import parts
from convlens.similarity.capture import Emission
from convlens.similarity.evaluate import evaluate
from convlens.similarity.gram import (
    Gram,
    centred_gram,
    correlation_gram,
    u_centred,
    working_dtype,
)
from convlens.similarity.measures import Measure
from convlens.similarity.profiles import Sample
from convlens.similarity.reduce import Reduction
from convlens.similarity.shelf import Shelf
from convlens.similarity.sums import Products, Sums

__all__ = ["Collector", "Found", "SampleCollector", "SumCollector"]

LEAST = 4
"""Samples below which the unbiased estimator divides by zero."""

_CONSTANT = "constant features: every sample gives the same output"
_BLOCK = 1 << 20  # elements turned into float64 at a time
Taken = Sequence[Emission[Any] | None]


@dataclass(frozen=True)
class Found:
    """Values of all pairs, and by position why a row or column has none."""

    matrix: Tensor
    stderr: Tensor
    reverse: Tensor | None
    row_reasons: dict[int, str]
    column_reasons: dict[int, str]


class SumCollector:
    """Keeps sums only: nothing of a batch outlives it."""

    def __init__(self, reduction: Reduction) -> None:
        self._reduction = reduction
        self._shelf = Shelf()
        self.sums: Sums | None = None
        self.reasons: tuple[dict[int, str], dict[int, str]] = ({}, {})

    def copy(self) -> SumCollector:
        """Return a collector of its own with the same reasons and no sums."""
        copied = SumCollector(self._reduction)
        copied.reasons = (dict(self.reasons[0]), dict(self.reasons[1]))
        return copied

    def take(self, x: Tensor, module: nn.Module) -> Gram:
        """Take a layer's inner products over one batch, inside the hook."""
        gram = centred_gram(self._reduction(x, module), self._shelf.free)
        kept = self._shelf.keep(gram.values)
        return gram if kept is gram.values else Gram(kept, gram.features, gram.limit)

    def add(self, n: int, rows: Taken, columns: Taken, label: str) -> None:
        """Count one batch; `columns` may be the same object as `rows`."""
        if self.sums is None:
            self.sums = Sums(len(rows), len(columns))
        first = _Profiles(rows, label, self.reasons[0])
        second = first if columns is rows else _Profiles(columns, label, self.reasons[1])
        self.sums.add(products(first, second), n)
        self._shelf.clear()

    @property
    def samples_seen(self) -> int:
        """Samples counted."""
        return 0 if self.sums is None else self.sums.samples

    @property
    def batches_seen(self) -> int:
        """Batches counted; one that ran in two halves counts twice."""
        return 0 if self.sums is None else self.sums.batches

    def found(self, measure: Measure, values: dict[str, Any]) -> Found:
        """Return the values so far; there is one measure of sums, and it takes no parameters."""
        sums = self.sums
        if sums is None:
            return _nothing()
        return _found_of(sums, *self.reasons)


class _Profiles:
    """The U-centred Gram matrices of one side in one batch, as vectors."""

    def __init__(self, taken: Taken, label: str, reasons: dict[int, str]) -> None:
        self.size = len(taken)
        sharing: dict[int, list[int]] = {}  # rows that emitted the same tensor
        grams: dict[int, Gram] = {}
        for row, emission in enumerate(taken):
            if emission is None:
                reasons.setdefault(row, f"not called {label}")
            elif emission.reason is not None:
                reasons.setdefault(row, emission.reason)
            else:
                gram = cast("Gram", emission.taken)
                grams[id(gram)] = gram
                sharing.setdefault(id(gram), []).append(row)
        # by number of samples, of which there is one, unless positions are samples
        self.groups: dict[int, _Group] = {}
        for n in dict.fromkeys(gram.values.shape[0] for gram in grams.values()):
            chosen = {k: gram for k, gram in grams.items() if gram.values.shape[0] == n}
            vectors, finite = _vectors(list(chosen.values()))
            places = [(row, at) for at, k in enumerate(chosen) for row in sharing[k]]
            for row, at in places:
                if not finite[at]:
                    reasons.setdefault(row, f"NaN or infinite activations {label}".rstrip())
            rows, of = torch.tensor(places).T
            self.groups[n] = _Group(vectors, rows, of)


@dataclass(frozen=True)
class _Group:
    """Vectors (k, n * n), the rows that have one, and which of the k each has."""

    vectors: Tensor
    rows: Tensor
    of: Tensor


def _vectors(grams: list[Gram]) -> tuple[Tensor, list[bool]]:
    """Return U-centred vectors (k, n * n), zero where there is nothing, and which are finite."""
    dtype = torch.promote_types(grams[0].values.dtype, grams[-1].values.dtype)
    stacked = torch.stack([gram.values.to(dtype) for gram in grams])
    limits = torch.stack([gram.limit.to(dtype) for gram in grams])
    traces = stacked.diagonal(dim1=1, dim2=2).sum(1)
    finite = traces.isfinite() & limits.isfinite()
    usable = finite & (traces > limits)
    vectors = u_centred(torch.where(usable[:, None, None], stacked, 0.0))
    return vectors.flatten(1), cast("list[bool]", finite.tolist())


def products(first: _Profiles, second: _Profiles) -> Products:
    """Return HSIC1 of all pairs of one batch, summed in float64."""
    cross = torch.zeros(first.size, second.size, dtype=torch.float64)
    norms = [torch.zeros(side.size, dtype=torch.float64) for side in (first, second)]
    for side, own in zip((first, second), norms, strict=True):
        for n, group in side.groups.items():
            own[group.rows] = _squares(group.vectors)[group.of] / (n * (n - 3))
    for n, left in first.groups.items():
        right = second.groups.get(n)
        if right is not None:
            found = _inner(left.vectors, right.vectors) / (n * (n - 3))
            cross[left.rows[:, None], right.rows] = found[left.of[:, None], right.of]
    return Products(cross, norms[0], norms[1])


def _inner(left: Tensor, right: Tensor) -> Tensor:
    """Return all inner products, in float64 without a float64 copy of everything."""
    total = torch.zeros(left.shape[0], right.shape[0], dtype=torch.float64)
    step = max(1, _BLOCK // max(left.shape[0], right.shape[0]))
    for start in range(0, left.shape[1], step):
        a = _wide(left[:, start : start + step])
        b = a if right is left else _wide(right[:, start : start + step].to(left.device))
        total += (a @ b.T).cpu()
    return total


def _squares(vectors: Tensor) -> Tensor:
    """Return squared lengths, in float64."""
    step = max(1, _BLOCK // max(1, vectors.shape[1]))
    return torch.cat([_wide(part).square().sum(1) for part in parts(vectors, step)]).cpu()


def _wide(x: Tensor) -> Tensor:
    return (x.cpu() if x.device.type == "mps" else x).double()


def _found_of(sums: Sums, row_reasons: dict[int, str], column_reasons: dict[int, str]) -> Found:
    matrix, stderr = sums.similarity(), sums.standard_error()
    reasons = (dict(row_reasons), dict(column_reasons))
    for known, own in zip(reasons, (sums.parts["b"], sums.parts["c"]), strict=True):
        for place in (own <= 0).nonzero().flatten():
            known.setdefault(int(place), _CONSTANT)
    for place in reasons[0]:
        matrix[place] = stderr[place] = math.nan
    for place in reasons[1]:
        matrix[:, place] = stderr[:, place] = math.nan
    return Found(matrix, stderr, None, *reasons)


def _nothing() -> Found:
    empty = torch.zeros(0, 0, dtype=torch.float64)
    return Found(empty, empty, None, {}, {})


@dataclass
class _Kept:
    """Pieces of one layer, one per batch."""

    pieces: list[Sample] = field(default_factory=list[Sample])
    reason: str | None = None

    def joined(self) -> Sample:
        if len(self.pieces) == 1 or self.reason is not None:
            return self.pieces[0] if self.pieces else Sample(0, 0)
        features = [piece.features for piece in self.pieces if piece.features is not None]
        return Sample(sum(p.n for p in self.pieces), self.pieces[0].p, torch.cat(features))


class SampleCollector:
    """Keeps each layer's features where they are few, or the Gram matrix of all samples.

    Parameters
    ----------
    reduction : Reduction
    kernel : str
        "linear", "correlation" or "features": what is made of features that are more than samples.
    """

    def __init__(self, reduction: Reduction, kernel: str) -> None:
        self._reduction = reduction
        self.kernel = kernel
        self.kept: tuple[list[_Kept], list[_Kept]] = ([], [])
        self.same = True
        self.sizes: list[int] = []

    @property
    def samples_seen(self) -> int:
        """Samples kept."""
        return sum(self.sizes)

    @property
    def batches_seen(self) -> int:
        """Batches kept."""
        return len(self.sizes)

    @property
    def whole(self) -> bool:
        """Whether all samples must come as one batch: Gram matrices of parts do not add up."""
        return self._reduction.name == "flatten"

    def take(self, x: Tensor, module: nn.Module) -> Sample:
        """Keep a layer's features, or what is needed of them, inside the hook."""
        matrix = self._reduction(x, module)
        n, p = matrix.shape
        if not self.whole or p <= n:
            return Sample(n, p, matrix.to(working_dtype(matrix), copy=True))
        if self.kernel == "features":
            return Sample(n, p)
        make = correlation_gram if self.kernel == "correlation" else centred_gram
        return Sample(n, p, gram=make(matrix))

    def add(self, n: int, rows: Taken, columns: Taken, label: str) -> None:
        """Keep one batch; `columns` may be the same object as `rows`."""
        self.sizes.append(n)
        self.same = columns is rows
        for taken, kept in zip((rows, columns), self.kept, strict=True):
            kept.extend(_Kept() for _ in range(len(taken) - len(kept)))
            for one, emission in zip(kept, taken, strict=True):
                if emission is None:
                    one.reason = one.reason or f"not called {label}"
                elif emission.reason is not None:
                    one.reason = one.reason or emission.reason
                else:
                    one.pieces.append(cast("Sample", emission.taken))
            if self.same:
                break

    def to_cpu(self) -> SampleCollector:
        """Return a copy whose tensors are on the CPU, to be sent to another process."""
        copied = SampleCollector(self._reduction, self.kernel)
        copied.same, copied.sizes = self.same, list(self.sizes)
        for ours, theirs in zip(self.kept, copied.kept, strict=True):
            for one in ours:
                pieces = [
                    Sample(p.n, p.p, None if p.features is None else p.features.cpu())
                    for p in one.pieces
                ]
                theirs.append(_Kept(pieces, one.reason))
        return copied

    def extend(self, other: SampleCollector) -> None:
        """Append what another process collected of the same layers."""
        self.sizes += other.sizes
        for ours, theirs in zip(self.kept, other.kept, strict=True):
            for one, more in zip(ours, theirs, strict=True):
                one.pieces += more.pieces
                one.reason = one.reason or more.reason

    def samples(self) -> tuple[list[Sample], list[Sample]]:
        """Return rows and columns, the same object where they are the same layers."""
        for side in self.kept:
            for one in side:
                if len(one.pieces) > 1:
                    one.pieces = [one.joined()]  # joined once, not at every look
        rows = [one.joined() for one in self.kept[0]]
        return rows, rows if self.same else [one.joined() for one in self.kept[1]]

    def found(self, measure: Measure, values: dict[str, Any]) -> Found:
        """Return the values so far."""
        rows, columns = self.samples()
        if not rows:
            return _nothing()
        reasons = tuple(
            {place: one.reason for place, one in enumerate(side) if one.reason is not None}
            for side in (self.kept if not self.same else (self.kept[0], self.kept[0]))
        )
        if measure.batched:
            return self._by_batches(rows, columns, *reasons)
        matrix, reverse, row_reasons, column_reasons = evaluate(measure, rows, columns, values)
        for place in reasons[0]:
            matrix[place] = math.nan
        for place in reasons[1]:
            matrix[:, place] = math.nan
        return Found(
            matrix,
            torch.full_like(matrix, math.nan),
            reverse,
            {**row_reasons, **reasons[0]},
            {**column_reasons, **reasons[1]},
        )

    def _by_batches(
        self,
        rows: list[Sample],
        columns: list[Sample],
        row_reasons: dict[int, str],
        column_reasons: dict[int, str],
    ) -> Found:
        """Return minibatch CKA from what was kept: the same figures as from a run of its own."""
        sums = Sums(len(rows), len(columns))
        total, start = sum(self.sizes), 0
        for size in self.sizes:
            if size >= LEAST:
                share = (start / total, (start + size) / total)
                first = _Profiles([_block_of(one, *share) for one in rows], "", row_reasons)
                second = first
                if columns is not rows:
                    second = _Profiles(
                        [_block_of(one, *share) for one in columns], "", column_reasons
                    )
                sums.add(products(first, second), size)
            start += size
        return _found_of(sums, row_reasons, column_reasons)


Collector = SumCollector | SampleCollector


def _block_of(sample: Sample, begin: float, end: float) -> Emission[Gram]:
    """Return the profile of a share of the samples."""
    start, stop = round(begin * sample.n), round(end * sample.n)
    emission: Emission[Gram] = Emission("", 0, "")
    if sample.features is not None:
        emission.taken = centred_gram(sample.features[start:stop])
    elif sample.gram is not None and sample.gram.kernel == "linear":
        # U-centring takes off whatever mean the whole's centring left in a part of it
        part = sample.gram.values[start:stop, start:stop]
        emission.taken = Gram(part, sample.p, sample.gram.limit * (stop - start) / sample.n)
    else:
        emission.reason = "only what another measure needs was kept"
    return emission
