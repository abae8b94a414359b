"""How many threads an operation of torch uses, where the caller's cores may be busy."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import torch

__all__ = ["one_thread"]


@contextmanager
def one_thread(wanted: bool = True) -> Generator[None]:
    """Let torch compute on the calling thread alone, for work of milliseconds.

    Operations on two threads begin and end together: beside a cell that trains on every core, each
    waits for a core twice, and what takes 3 ms alone takes 90. Other threads keep their number,
    and so do those that start meanwhile.

    Parameters
    ----------
    wanted : bool, default True
        False changes nothing, for work that is too much for one thread.

    Examples
    --------
    >>> import torch
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    if not wanted or before == 1:
        yield
        return
    # The number is each thread's own, but the one set last is what new threads begin with.
    torch.set_num_threads(1)
    last = threading.Thread(target=torch.set_num_threads, args=(before,))
    last.start()
    last.join()
    try:
        yield
    finally:
        torch.set_num_threads(before)
