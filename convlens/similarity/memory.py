"""How much memory a comparison will keep, before it runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

__all__ = ["Estimate", "available", "readable"]


@dataclass(frozen=True)
class Estimate:
    """What a comparison needs beside the models' own forward passes.

    Attributes
    ----------
    kept
        Bytes that stay until the end, or None where the number of samples is not known ahead.
    per_sample
        Bytes kept of each further sample, where they grow.
    batch
        Bytes held during one batch.
    largest
        Bytes of the largest single output of a batch, which a copy of it would need.
    layers
        Number of outputs that are taken.
    """

    kept: int | None
    per_sample: int
    batch: int
    largest: int
    layers: int

    def __str__(self) -> str:
        kept = f"{readable(self.per_sample)} per sample" if self.kept is None else ""
        kept = kept or readable(self.kept or 0)
        return f"keeps {kept}, {readable(self.batch)} during a batch, of {self.layers} layers"


def estimate(
    shapes: Sequence[tuple[int, int]],
    n: int,
    total: int | None,
    layers: tuple[int, int],
    *,
    mode: str,
    largest: int,
) -> Estimate:
    """Return the estimate.

    Parameters
    ----------
    shapes
        (rows per sample, features) of each output that is computed.
    n, total
        Samples in one batch, and in all (None: unknown).
    layers
        Number of rows and of columns.
    mode
        "sums", "whole" (all samples at once) or "features" (batch by batch).
    largest
        Bytes of the largest output for `n` samples.
    """
    if mode == "sums":
        held = sum(4 * (r * n) * (r * n - 1) // 2 for r, _ in shapes)
        work = max((4 * (r * n) ** 2 * 2 for r, _ in shapes), default=0)
        # five matrices of sums, in float64
        return Estimate(5 * 8 * layers[0] * layers[1], 0, held + work, largest, len(shapes))
    if mode == "whole":
        everything = total or n
        kept = sum(4 * everything * min(p, everything) for _, p in shapes)
        return Estimate(kept, 0, kept, largest, len(shapes))
    per_sample = sum(4 * r * p for r, p in shapes)
    kept_all = None if total is None else per_sample * total
    return Estimate(kept_all, per_sample, per_sample * n, largest, len(shapes))


def available(device: torch.device) -> int | None:
    """Return the bytes that are free on `device`; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - no real file
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def readable(size: float) -> str:
    """Return "1.5 GB" and the like."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
