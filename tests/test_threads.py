"""One thread for the caller, and nothing changed for others."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from convlens.threads import one_thread


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
