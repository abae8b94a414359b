"""The same chunks, measured by the workers of a dask cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from typing import Any, cast

from convlens.errors import ArgumentError
from convlens.filterdb.kernels import Kernel, State
from convlens.filterdb.reading import Piece, Source

__all__ = ["check_client", "measure_on_cluster"]

_AHEAD = 4  # chunks under way for each thread of the cluster
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


def _on_worker(source: Source, kernel: Kernel, pieces: tuple[Piece, ...], device: str) -> Measured:
    """Measure one chunk with one thread of torch: dask has as many workers as are wanted."""
    import torch

    from convlens.filterdb.scan import measure_chunk

    torch.set_num_threads(1)
    return measure_chunk(source, kernel, pieces, device)


def measure_on_cluster(
    client: Any,
    source: Source,
    kernel: Kernel,
    chunks: Sequence[tuple[Piece, ...]],
    device: str,
) -> Generator[Measured, None, None]:
    """Give what the workers measured, in the order of the chunks.

    Each chunk is a task that opens the file by its path, which every worker has to see. A task
    whose worker dies is given to another; dask does that, and since chunks are joined in order,
    the result is the same.
    """
    shared = client.scatter(kernel, broadcast=True, hash=False)
    threads = sum(client.nthreads().values()) or 1
    waiting = iter(chunks)
    ahead: deque[Any] = deque()

    def submit() -> None:
        pieces = next(waiting, None)
        if pieces is not None:
            ahead.append(
                client.submit(
                    _on_worker, source, shared, pieces, device, pure=False, retries=_RETRIES
                )
            )

    try:
        for _ in range(_AHEAD * threads):
            submit()
        while ahead:
            found = cast(Measured, ahead.popleft().result())
            submit()
            yield found
    finally:
        client.cancel(list(ahead))
