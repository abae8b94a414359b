"""One thread for the caller, and nothing changed for others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import closing
from functools import partial

import pytest
import torch

from convlens.threads import in_order, one_thread


def of_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_only_the_caller_computes_alone() -> None:
    inside, done = threading.Event(), threading.Event()
    seen: list[int] = []

    def work() -> None:
        with one_thread():
            seen.append(torch.get_num_threads())
            inside.set()
            done.wait(10)
        seen.append(torch.get_num_threads())

    worker = threading.Thread(target=work)
    worker.start()
    assert inside.wait(10)
    assert torch.get_num_threads() == 3
    assert of_a_new_thread() == 3
    done.set()
    worker.join()
    assert seen == [1, 3]
    assert of_a_new_thread() == 3


def test_an_error_gives_the_threads_back() -> None:
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == 3
    assert of_a_new_thread() == 3


def test_work_that_is_too_much_keeps_them() -> None:
    with one_thread(wanted=False):
        assert torch.get_num_threads() == 3


def test_calls_come_back_in_order_each_computing_alone() -> None:
    me = threading.current_thread()
    first = threading.Event()

    def call(n: int) -> tuple[int, int, bool]:
        if n == 0:  # later ones end before it does
            assert first.wait(10)
        elif n == 2:
            first.set()
        return n, torch.get_num_threads(), threading.current_thread() is me

    found = list(in_order((partial(call, n), n % 5 != 4) for n in range(12)))
    assert found == [(n, 3, True) if n % 5 == 4 else (n, 1, False) for n in range(12)]
    assert torch.get_num_threads() == 3
    assert of_a_new_thread() == 3


def test_who_stops_early_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(in_order([(lambda: 0, 1)])) == [0]  # the threads are there
    closing_now = threading.Event()
    begun: list[int] = []
    ended: list[int] = []

    def call(n: int) -> int:
        begun.append(n)
        assert n == 0 or closing_now.wait(10)
        ended.append(n)
        return n

    def wait_for(running: list[Future[None]]) -> None:
        closing_now.set()  # by now those that had not begun are cancelled
        wait(running)

    monkeypatch.setattr("convlens.threads.wait", wait_for)
    with closing(in_order((partial(call, n), 1) for n in range(1000))) as found:
        assert next(found) == 0
    assert sorted(begun) == sorted(ended)
    assert len(ended) <= 4  # the first, and one of each thread


def test_the_largest_begin_first() -> None:
    torch.set_num_threads(2)
    offered, made = threading.Event(), threading.Event()
    begun: list[int] = []
    amounts = [1, 5, 3, 9, 7]

    def call(n: int) -> int:
        begun.append(n)
        if len(begun) == len(amounts):
            made.set()
        return n

    def calls():
        # One thread waits until all are there to choose from, and the other until they are made.
        yield from ((partial(event.wait, 60), 99) for event in (offered, made))
        yield from ((partial(call, n), n) for n in amounts)
        offered.set()

    assert list(in_order(calls())) == [True, True, *amounts]
    assert begun == sorted(amounts, reverse=True)


def test_the_error_of_a_call_comes_in_its_turn() -> None:
    found = in_order([(lambda: 1, 1), (lambda: 1 // 0, 1), (lambda: 3, 1)])
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_another_number_of_threads_is_heeded() -> None:
    for number in (2, 3):
        torch.set_num_threads(number)
        assert list(in_order([(of_a_new_thread, 1)] * 4)) == [number] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    assert list(in_order([(lambda: 7, 1)] * 3)) == [7] * 3
    child = os.fork()
    if child == 0:
        os._exit(list(in_order([(lambda: 7, 1)] * 3)) != [7] * 3)
    for _ in range(1000):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.01)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child waits for its parent's threads")
    assert os.waitstatus_to_exitcode(status) == 0
