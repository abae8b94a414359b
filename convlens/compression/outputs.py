"""What comes out of both networks, layer by layer and at the end, summed over batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from convlens.activations import untouched
from convlens.compression.changes import Flip, LayerChange, Overall
from convlens.compression.figures import LEAST, Alike, Error
from convlens.compression.fusion import Site, find_norms, sites_of, tap
from convlens.compression.labels import Labels
from convlens.compression.matching import Pair
from convlens.compression.running import predictions
from convlens.errors import ArgumentError
from convlens.similarity.batches import Batch
from convlens.similarity.capture import Forward, unwatched
from convlens.similarity.reduce import first_tensor

__all__ = ["Outputs"]

_BUDGET = 512_000_000  # bytes of the reference's outputs that are kept at a time


class Outputs:
    """Runs batches through both models and compares what their layers emit.

    Attributes
    ----------
    sites : list of Sites
        Per pair of layers, where its output stands in both.
    n, batches : int
        Samples and batches so far.
    flips : tuple of Flip
    classes : int or None
        How many there are; None where the output is no scores of classes.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        models: tuple[nn.Module, nn.Module],
        probe: Batch,
        labels: Labels,
        forwards: tuple[Forward | None, Forward | None],
    ) -> None:
        self._pairs, self._models, self._forwards = pairs, models, forwards
        norms = [
            find_norms(model, layers, probe, forward)
            for model, layers, forward in zip(
                models,
                ([pair.layer for pair in pairs], [pair.reference for pair in pairs]),
                forwards,
                strict=True,
            )
        ]
        self.sites = sites_of(pairs, norms[0], norms[1])
        self.errors = [Error() for _ in pairs]
        self.alike = [Alike() for _ in pairs]
        self.final = Error()
        self.n = self.batches = 0
        self.classes: int | None = None
        self.notes: list[str] = []
        self._why: list[str | None] = [None] * len(pairs)
        self._seen = [False] * len(pairs)
        self._right = [0, 0]
        self._labelled = self._agreed = self._classified = 0
        self._flips: list[Flip] = []
        self._bytes: list[int] = []

    @property
    def flips(self) -> tuple[Flip, ...]:
        """The inputs whose predicted class changed, in their order."""
        return tuple(self._flips)

    def add(self, batch: Batch, labels: Tensor | None) -> None:
        """Run both models on one batch.

        Raises
        ------
        ForwardError
            If a model raises.
        """
        first, *rest = self._groups()
        theirs, mine = self._run(batch, first)
        for group in rest:
            self._run(batch, group)
        self._count(batch, theirs, mine, labels)
        if batch.n < LEAST:
            self._note(f"batches of fewer than {LEAST} samples left out of CKA")
        self.n += batch.n
        self.batches += 1

    def _groups(self) -> list[list[int]]:
        """Split the layers so that the outputs kept of each group fit into the budget."""
        places = [i for i, s in enumerate(self.sites) if s.model and s.reference]
        if not self._bytes:  # the first batch shows how large they are
            return [places]
        groups: list[list[int]] = [[]]
        size = 0
        for place in places:
            if groups[-1] and size + self._bytes[place] > _BUDGET:
                groups.append([])
                size = 0
            groups[-1].append(place)
            size += self._bytes[place]
        return groups

    def _run(self, batch: Batch, group: Sequence[int]) -> tuple[Any, Any]:
        kept: dict[int, Tensor] = {}
        sizes = [0] * len(self._pairs)

        def keep(place: int, x: Tensor) -> None:
            with unwatched():
                kept[place] = x.clone()
                sizes[place] = x.numel() * 4

        def compare(place: int, x: Tensor) -> None:
            with unwatched():
                self._compare(place, kept.pop(place, None), x, batch.n)

        model, reference = self._models
        sides = self._sides(group)
        with untouched(reference):
            theirs = tap(reference, sides[1], batch, self._forwards[1], keep)
            theirs = _owned(theirs)
        with untouched(model):
            mine = tap(model, sides[0], batch, self._forwards[0], compare)
            mine = _owned(mine)
        self._bytes = self._bytes or sizes
        return theirs, mine

    def _sides(self, group: Sequence[int]) -> tuple[list[tuple[int, Site]], list[tuple[int, Site]]]:
        mine: list[tuple[int, Site]] = []
        theirs: list[tuple[int, Site]] = []
        for place in group:
            sites = self.sites[place]
            if sites.model is not None and sites.reference is not None:
                mine.append((place, sites.model))
                theirs.append((place, sites.reference))
        return mine, theirs

    def _compare(self, place: int, reference: Tensor | None, model: Tensor, n: int) -> None:
        self._seen[place] = True
        if reference is None:
            self._why[place] = "the reference's layer gave no output on these inputs"
            return
        if reference.shape == model.shape:
            self.errors[place].add(reference, model)
        else:
            one, other = (" x ".join(map(str, x.shape[1:])) for x in (model, reference))
            self._why[place] = f"its output is {one}, in the reference {other}"
        if n >= LEAST and len(reference) == len(model) == n:
            self.alike[place].add(reference, model)

    def _count(self, batch: Batch, theirs: Any, mine: Any, labels: Tensor | None) -> None:
        one, other = first_tensor(theirs), first_tensor(mine)
        if one is not None and other is not None and one.shape == other.shape:
            self.final.add(one, other)
        before, after = predictions(theirs, batch.n), predictions(mine, batch.n)
        if before is None or after is None or before.shape[1] != after.shape[1]:
            self._note("no agreement: the outputs are not scores of the same classes")
            return
        self.classes = before.shape[1]
        if (
            labels is not None
            and labels.numel()
            and not 0 <= int(labels.min()) <= int(labels.max()) < before.shape[1]
        ):
            raise ArgumentError(
                f"labels run from {int(labels.min())} to {int(labels.max())}, and the models tell "
                f"{before.shape[1]} classes apart, 0 to {before.shape[1] - 1}."
            )
        was, now = before.argmax(1).cpu(), after.argmax(1).cpu()
        self._classified += batch.n
        self._agreed += int((was == now).sum())
        if labels is not None:
            self._labelled += batch.n
            self._right[0] += int((was == labels).sum())
            self._right[1] += int((now == labels).sum())
        for place in places_of(was != now):
            label = None if labels is None else int(labels[place])
            self._flips.append(Flip(self.n + place, int(was[place]), int(now[place]), label))

    def overall(self, sizes: tuple[int | None, int | None, int, int]) -> Overall:
        """Return what is known of the network as a whole."""
        labelled = self._labelled
        return Overall(
            n=self.n,
            accuracy=self._right[1] / labelled if labelled else None,
            reference_accuracy=self._right[0] / labelled if labelled else None,
            agreement=self._agreed / self._classified if self._classified else None,
            output_sqnr=self.final.sqnr,
            size=sizes[0],
            reference_size=sizes[1],
            packed=sizes[2],
            reference_packed=sizes[3],
        )

    def complete(self, place: int, row: LayerChange) -> LayerChange:
        """Put into a layer's row what its outputs tell."""
        error, alike, reasons = self.errors[place], self.alike[place], dict(row.reasons)
        why = self._why[place]
        if self.n and why is None and not self._seen[place]:
            why = self._unseen(place)
        if self.n and math.isnan(error.sqnr):
            reasons["output_sqnr"] = why or "the reference's output is 0 everywhere"
        if self.n and math.isnan(alike.value):
            few = "no batch of at least 4 samples" if not alike.constant else "constant outputs"
            reasons["cka"] = why if why is not None and not self._seen[place] else few
        return replace(
            row,
            output_sqnr=error.sqnr,
            output_cosine=error.cosine,
            cka=alike.value,
            cka_stderr=alike.stderr,
            reasons=reasons,
        )

    def _unseen(self, place: int) -> str:
        sites = self.sites[place]
        if sites.model is None or sites.reference is None:
            return "a call inside a graph that cannot be watched"
        return "the layer gave no output of its own on these inputs"

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def places_of(mask: Tensor) -> list[int]:
    """Return where a vector of truths holds."""
    return cast("list[int]", mask.nonzero().flatten().tolist())


def _owned(output: Any) -> Tensor | None:
    """Copy the output, which the model may write to when it runs again."""
    tensor = first_tensor(output)
    return None if tensor is None else torch.clone(tensor.detach())
