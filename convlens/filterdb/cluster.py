"""The same chunks, measured by the workers of a dask cluster."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from convlens.errors import ArgumentError
from convlens.filterdb.kernels import Kernel, State
from convlens.filterdb.reading import Piece, Source

__all__ = ["check_client", "measure_on_cluster", "tasks_of"]

# A task costs the scheduler, the client and the worker milliseconds, which on one machine are taken
# from those that measure: so there are few, each half of what is left for a thread. The last are
# small, so that all threads end together.
_SHARE = 2
_LEAST, _MOST = 4, 32  # chunks in a task
_AHEAD = 4  # tasks under way for each thread of the cluster
_RETRIES = 3

Measured = list[tuple[int, State]]


def check_client(client: object) -> object:
    """Return `client` if it is a dask.distributed Client.

    Raises
    ------
    ArgumentError
        If it is not, or dask is not installed.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ArgumentError(
            "client= needs dask.distributed: pip install 'convlens[dask]'."
        ) from None
    if not isinstance(client, Client):
        raise ArgumentError(
            f"client must be a dask.distributed.Client, not a {type(client).__name__}."
        )
    return client


@dataclass(frozen=True)
class _Task:
    """Some chunks and what to do with them: one object, into which dask does not look."""

    source: Source
    kernel: Kernel
    chunks: Sequence[tuple[Piece, ...]]
    device: str


def _on_worker(task: bytes) -> bytes:
    """Measure some chunks with one thread of torch: dask has as many workers as are wanted.

    What goes to and fro is bytes: of lists of arrays dask would send every array by itself.
    """
    import torch

    from convlens.filterdb.scan import measure_chunk

    torch.set_num_threads(1)
    todo: _Task = pickle.loads(task)
    measured = [
        measure_chunk(todo.source, todo.kernel, pieces, todo.device) for pieces in todo.chunks
    ]
    return pickle.dumps(measured, pickle.HIGHEST_PROTOCOL)


def measure_on_cluster(
    client: Any,
    source: Source,
    kernel: Kernel,
    chunks: Sequence[tuple[Piece, ...]],
    device: str,
) -> Generator[Measured, None, None]:
    """Give what the workers measured of each chunk, in the order of the chunks.

    A task measures chunks one after another, out of the file that it opens by its path, which every
    worker has to see. A task whose worker dies is given to another; dask does that, and since
    chunks are joined in order, the result is the same.
    """
    threads = sum(client.nthreads().values()) or 1
    waiting = tasks_of(len(chunks), threads)
    ahead: deque[Any] = deque()

    def submit() -> None:
        task = next(waiting, None)
        if task is not None:
            todo = pickle.dumps(_Task(source, kernel, chunks[task], device))
            ahead.append(client.submit(_on_worker, todo, pure=False, retries=_RETRIES))

    try:
        for _ in range(_AHEAD * threads):
            submit()
        while ahead:
            found = cast("list[Measured]", pickle.loads(ahead.popleft().result()))
            submit()
            yield from found
    finally:
        if ahead:
            client.cancel(list(ahead))


def tasks_of(chunks: int, threads: int) -> Iterator[slice]:
    """Say which chunks make a task: many for the first, few for the last.

    Examples
    --------
    >>> [(task.start, task.stop) for task in tasks_of(20, 2)]
    [(0, 5), (5, 9), (9, 13), (13, 17), (17, 20)]
    """
    start = 0
    while start < chunks:
        size = min(_MOST, max(_LEAST, (chunks - start) // (_SHARE * threads)))
        yield slice(start, min(chunks, start + size))
        start += size
