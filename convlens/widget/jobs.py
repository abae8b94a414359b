"""One worker thread per Lens: requests in, replies out, clicks first.

A job is a generator that yields between steps of a few milliseconds to a few tens of them.
The worker advances the most urgent job by one step at a time, so that a click is answered
in the middle of a long measurement, and a cancelled job ends at its next step. Jobs that are
equally urgent share the time, so that what is watched together fills in together.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
import weakref
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from torch import nn

from convlens.errors import Cancelled
from convlens.widget.protocol import KINDS, Request

_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_guard = threading.Lock()


def model_lock(model: nn.Module) -> threading.RLock:
    """Give the lock of a model: the same for every Lens that shows it."""
    with _locks_guard:
        return _locks.setdefault(model, threading.RLock())


@dataclass(eq=False)
class Job:
    """A request under way."""

    request: Request
    steps: Generator[None, None, None]
    cancelled: Callable[[], None]
    failed: Callable[[Exception], None]
    # ipykernel sends what a thread publishes under the parent of its context; under another
    # parent than the click's, the next click queues behind the running cell
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    stop: bool = False
    # seconds it has had, counted from those of its equals that were under way when it came
    spent: float = 0.0


def _rank(job: Job) -> tuple[bool, bool]:
    kind = KINDS[job.request.kind]
    return not kind.urgent, kind.background


def _turn(job: Job) -> tuple[bool, tuple[bool, bool], float]:
    return not job.stop, _rank(job), job.spent


class Worker:
    """Runs jobs step by step on one daemon thread, started with the first job.

    Parameters
    ----------
    name
        Name of the thread.
    idle
        Called about every `period` seconds while there is nothing to do.
    period
        Seconds between two calls of `idle`.
    blocking
        Run each job whole inside `submit` instead, for a host that shows nothing that another
        thread publishes (Colab).
    """

    def __init__(
        self,
        name: str,
        idle: Callable[[], None],
        period: float = 1.0,
        *,
        blocking: bool = False,
    ) -> None:
        self._name = name
        self.blocking = blocking
        self._idle = idle
        self._period = period
        self._jobs: list[Job] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, job: Job) -> None:
        """Queue a job; an older one of the same client and kind becomes pointless and stops."""
        if self.blocking:
            while job.context.run(self._advance, job):
                pass
            self._idle()
            return
        with self._changed:
            if self._closed:
                return
            for other in self._jobs:
                if (other.request.client, other.request.kind) == (
                    job.request.client,
                    job.request.kind,
                ):
                    other.stop = True
            peers = [other.spent for other in self._jobs if _rank(other) == _rank(job)]
            job.spent = min(peers, default=0.0)
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def cancel(self, client: str, id: str) -> bool:
        """Ask the request of that id to stop; False where none is under way."""
        with self._changed:
            for job in self._jobs:
                if job.request.client == client and job.request.id == id:
                    job.stop = True
                    self._changed.notify()
                    return True
        return False

    @property
    def busy(self) -> bool:
        """Whether a job is under way, so that another's first step waits."""
        return bool(self._jobs)

    def has(self, client: str, id: str) -> bool:
        """Say whether a request of that id is under way."""
        with self._changed:
            return any(j.request.client == client and j.request.id == id for j in self._jobs)

    def close(self) -> None:
        """Stop every job and end the thread; returns when its current step has ended."""
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.stop = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._jobs and not self._closed:
                    self._changed.wait(self._period)
                if not self._jobs:
                    if self._closed:
                        return
                    job = None
                else:
                    # stopped ones first, so that they are told at once; then clicks
                    job = min(self._jobs, key=_turn)
            if job is None:
                self._idle()
            else:
                begun = time.monotonic()
                goes_on = job.context.run(self._advance, job)
                with self._changed:
                    job.spent += time.monotonic() - begun
                    if not goes_on:
                        self._jobs.remove(job)

    @staticmethod
    def _advance(job: Job) -> bool:
        """Run one step; False when the job has ended."""
        try:
            if job.stop:
                job.steps.close()
                job.cancelled()
                return False
            next(job.steps)
            return True
        except StopIteration:
            return False
        except Exception as error:  # noqa: BLE001 - whatever a model raises is the front end's to show
            # where telling fails too, the front end is gone: nobody is left to tell
            with contextlib.suppress(Exception):
                job.cancelled() if isinstance(error, Cancelled) else job.failed(error)
            return False
