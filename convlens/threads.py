"""How many threads work of torch runs on, and which."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from queue import PriorityQueue
from typing import TypeVar

import torch

__all__ = ["in_order", "one_thread"]

T = TypeVar("T")

_AHEAD = 8  # calls for each thread to choose the largest from
_FEW = 2  # the same where those ahead are much already
_HELD = 1 << 24  # work, in weights, that is much: 64 MB where reading them makes a copy
_MOST = 8  # threads beyond which the interpreter is what they wait for


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
    _compute_alone(before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_order(calls: Iterable[tuple[Callable[[], T], int]]) -> Generator[T]:
    """Make calls on several threads, each of which computes alone, and yield what they return.

    Parameters
    ----------
    calls : iterable of (callable, int)
        Taken from on the caller's thread, a few ahead, with how much work each is: of those, the
        largest begins first, so that no thread has much left when the others are done. Those with
        0 are made on the caller's thread, with all of torch's.

    Yields
    ------
    object
        What each call returns, in their order.

    Examples
    --------
    >>> list(in_order((lambda n=n: n * n, 1) for n in range(4)))
    [0, 1, 4, 9]
    """
    workers, number = _workers(torch.get_num_threads())
    running: deque[Future[None]] = deque()
    waiting: deque[tuple[Callable[[], T], int]] = deque()
    ahead: PriorityQueue[tuple[int, int, Callable[[], T], Future[T]]] = PriorityQueue()
    held = 0
    try:
        for place, (call, amount) in enumerate(calls):
            if amount:
                found: Future[T] = Future()
                ahead.put((-amount, place, call, found))
                running.append(workers.submit(_make_largest, ahead))
                call = found.result
            waiting.append((call, amount))
            held += amount
            few = _FEW if held > _HELD else _AHEAD
            if len(waiting) > few * number:
                result, amount = waiting.popleft()
                held -= amount
                yield result()
        while waiting:
            yield waiting.popleft()[0]()
    finally:
        for future in running:
            future.cancel()
        wait(running)


def _make_largest(ahead: PriorityQueue[tuple[int, int, Callable[[], T], Future[T]]]) -> None:
    """Make the call that is the most work of those that wait."""
    *_, call, found = ahead.get_nowait()
    try:
        found.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        found.set_exception(error)


@lru_cache(maxsize=1)
def _workers(others: int) -> tuple[ThreadPoolExecutor, int]:
    """Return threads for a caller that has `others`, and how many they are.

    They stay: to a thread of its own, memory is fresh, and costs as much as what is done with it.
    """
    number = min(others, _MOST)
    workers = ThreadPoolExecutor(number, "convlens", _compute_alone, (others,))
    # All begin now: what they change for a moment, nobody else's new thread is to begin with.
    together = threading.Barrier(number)
    wait([workers.submit(together.wait) for _ in range(number)])
    return workers, number


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_workers.cache_clear)


def _compute_alone(others: int) -> None:
    """Let torch use one thread for what the caller's does; new ones begin with `others`."""
    torch.get_num_threads()  # a thread takes its first number when it is first asked for one
    torch.set_num_threads(1)
    # The number is each thread's own, but the one set last is what new threads begin with.
    last = threading.Thread(target=torch.set_num_threads, args=(others,))
    last.start()
    last.join()
