"""Many processes, one result: each feeds its share of the batches, and what was kept is joined."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from convlens.errors import ArgumentError, ForwardError
from convlens.similarity.collect import Collector, SampleCollector, SumCollector
from convlens.similarity.sums import Sums

__all__ = ["agree", "is_distributed", "joined", "tell"]


def is_distributed() -> bool:
    """Say whether this process is one of several under an initialised process group."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def agree(rows: tuple[str, ...], columns: tuple[str, ...]) -> None:
    """Check that every rank has the same layers and none failed; all ranks must call it, or `tell`.

    Raises
    ------
    ForwardError
        If another rank failed.
    ArgumentError
        If ranks watched different layers.
    """
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, (rows, columns, None))
    for rank, (_, _, why) in enumerate(everyone):
        if why is not None:
            raise ForwardError(f"Rank {rank} failed: {why}")
    if len({(r, c) for r, c, _ in everyone}) > 1:
        raise ArgumentError(
            "The ranks watched different layers, or one had no batch: give every rank the same "
            "model and at least one batch."
        )


def tell(failed: str) -> None:
    """Tell the other ranks that this one failed and will send nothing."""
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, ((), (), failed))


def joined(collector: Collector) -> Collector:
    """Return a collector that holds what all ranks collected; the ranks' own stay as they are."""
    if isinstance(collector, SumCollector):
        return _sums(collector)
    return _samples(collector)


def _sums(own: SumCollector) -> SumCollector:
    if own.sums is None:
        return own
    together = own.copy()
    shape = own.sums.parts["a"].shape
    together.sums = Sums(shape[0], shape[1])
    counts = torch.tensor([own.sums.batches, own.sums.samples], dtype=torch.float64)
    counts = _reduced(counts)
    together.sums.batches, together.sums.samples = (int(counts[0]), int(counts[1]))
    together.sums.parts = {name: _reduced(part) for name, part in own.sums.parts.items()}
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, own.reasons)
    for reasons in everyone:
        for side, known in zip(reasons, together.reasons, strict=True):
            for place, why in side.items():
                known.setdefault(place, why)
    return together


def _reduced(part: Tensor) -> Tensor:
    """Sum over ranks, on the device that the group's backend works with."""
    device = "cpu"
    if "gloo" not in dist.get_backend():
        device = f"cuda:{torch.cuda.current_device()}"
    copy = part.to(device, copy=True)
    dist.all_reduce(copy)
    return copy.cpu()


def _samples(own: SampleCollector) -> SampleCollector:
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, own.to_cpu())
    together: SampleCollector = everyone[0]
    for other in everyone[1:]:
        together.extend(other)
    return together
