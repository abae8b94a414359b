"""One reading of a selection: chunks measured side by side, joined in the order of the file.

Joined in that order whichever chunk was ready first, figures are the same for any number of
threads, dask workers or interruptions.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from convlens.errors import ArgumentError
from convlens.filterdb import compiled
from convlens.filterdb.checkpoint import Checkpoint
from convlens.filterdb.job import Tick
from convlens.filterdb.kernels import Kernel, State
from convlens.filterdb.reading import Piece, Source

__all__ = ["Running", "check_device", "measure_chunk", "scan"]

Measured = list[tuple[int, State]]

ENOUGH = 500_000
"""Filters from which on compiled loops are faster than it takes to load them."""


@dataclass(frozen=True)
class Running:
    """How measurements run.

    Attributes
    ----------
    device : str
        Where the arithmetic is done.
    workers : int or None
        Threads; None for as many as there are cores, and one for a device that is no CPU.
    client : dask.distributed.Client or None
        Runs the chunks on its workers instead.
    checkpoint : pathlib.Path or None
        Where to keep what was measured, so that a stopped measurement goes on.
    """

    device: str = "cpu"
    workers: int | None = None
    client: Any = None
    checkpoint: Path | None = None

    @property
    def threads(self) -> int:
        """Threads that measure."""
        if self.workers is not None:
            return self.workers
        if self.device not in ("cpu", compiled.COMPILED):
            return 1
        affinity = getattr(os, "sched_getaffinity", None)  # of this process, where that is known
        cores = os.cpu_count() or 1 if affinity is None else len(affinity(0))
        return min(16, cores)


def check_device(device: object) -> str:
    """Return the device's name if float64 arithmetic can be done on it."""
    try:
        torch.zeros(1, dtype=torch.float64, device=str(device))
    except (RuntimeError, TypeError, AssertionError) as error:
        said = str(error).strip().split("\n")[0]
        raise ArgumentError(
            f"device {str(device)!r} cannot be used: it has to compute in float64 ({said})."
        ) from error
    return str(device)


def measure_chunk(
    source: Source, kernel: Kernel, pieces: tuple[Piece, ...], device: str
) -> Measured:
    """Measure one chunk: what a thread, or a dask worker, does."""
    joined: dict[int, State] = {}
    with torch.inference_mode():
        for slot, rows in source.read(pieces):
            part = kernel.measure(rows, slot, device)
            if slot not in joined:
                joined[slot] = part
            else:  # a group of many layers
                state = cast(State, {k: v[None].copy() for k, v in joined[slot].items()})
                kernel.add(state, 0, part)
                joined[slot] = {name: array[0] for name, array in state.items()}
    return list(joined.items())


def scan(
    source: Source,
    kernel: Kernel,
    chunks: Sequence[tuple[Piece, ...]],
    slots: int,
    running: Running,
) -> Generator[Tick, None, State]:
    """Measure all chunks and add them up; a step is a chunk."""
    total = sum(piece.stop - piece.start for pieces in chunks for piece in pieces)
    state = kernel.empty(slots)
    kept = Checkpoint.at(running.checkpoint, source, kernel, chunks)
    first = kept.load(state) if kept is not None else 0
    done = sum(piece.stop - piece.start for pieces in chunks[:first] for piece in pieces)
    if first:
        yield Tick(kernel.title, done, total)
    number = first
    if running.device == "cpu" and total >= ENOUGH and compiled.serves(source.taps):
        running = replace(running, device=compiled.COMPILED)
    try:
        with closing(_measured(source, kernel, chunks[first:], running)) as results:
            for pieces, measured in zip(chunks[first:], results, strict=True):
                for slot, part in measured:
                    kernel.add(state, slot, part)
                number += 1
                done += sum(piece.stop - piece.start for piece in pieces)
                if kept is not None:
                    kept.save_now_and_then(state, number)
                yield Tick(kernel.title, done, total)
    finally:
        if kept is not None and number > first:
            kept.save(state, number)
    return state


def _measured(
    source: Source, kernel: Kernel, chunks: Sequence[tuple[Piece, ...]], running: Running
) -> Generator[Measured, None, None]:
    if running.client is not None:
        from convlens.filterdb.cluster import measure_on_cluster

        yield from measure_on_cluster(running.client, source, kernel, chunks, running.device)
        return
    yield from _in_threads(
        lambda pieces: measure_chunk(source, kernel, pieces, running.device),
        chunks,
        running.threads,
    )


def _in_threads(
    measure: Callable[[tuple[Piece, ...]], Measured],
    chunks: Sequence[tuple[Piece, ...]],
    threads: int,
) -> Iterator[Measured]:
    """Measure chunks side by side, a few ahead of what was asked for."""
    # One thread of torch in each of ours. The number is kept for each thread, but also as what
    # threads that come later start with: that is put back.
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        waiting = iter(chunks)
        ahead = deque(pool.submit(measure, next(waiting)) for _ in chunks[: threads + 1])
        while ahead:
            found = ahead.popleft().result()
            pieces = next(waiting, None)
            if pieces is not None:
                ahead.append(pool.submit(measure, pieces))
            yield found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)
