"""Work that goes in steps: can be watched, stopped between two of them, and gone on with."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from convlens.errors import ArgumentError, Cancelled

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Job", "Progress", "Tick"]

T = TypeVar("T")

Progress = bool | Callable[["Job[Any]"], "bool | None"] | None
"""True for a bar on stderr; a callable that is given the job, and stops it by returning False."""


@dataclass(frozen=True)
class Tick:
    """How far a stage of the work has got."""

    stage: str
    done: int
    total: int


class Job(Generic[T]):
    """Work under way.

    Nothing runs before the first `step`, and nothing between two of them.

    Attributes
    ----------
    stage : str
        What is being done, in words.
    done, total : int
        How far that is, in filters or models.
    finished : bool

    Examples
    --------
    >>> def count():
    ...     for number in range(2):
    ...         yield Tick("counting", number + 1, 2)
    ...     return "counted"
    >>> job = Job(count())
    >>> [(job.done, job.total) for _ in job], job.result()
    ([(1, 2), (2, 2)], 'counted')
    """

    def __init__(self, work: Generator[Tick, None, T]) -> None:
        self._work = work
        self._result: T | None = None
        self.stage = ""
        self.done = 0
        self.total = 0
        self.finished = False

    def step(self) -> bool:
        """Do one step; False, and nothing is done, when there is none left."""
        if self.finished:
            return False
        try:
            tick = next(self._work)
        except StopIteration as end:
            self._result = end.value
            self.finished = True
            return False
        self.stage, self.done, self.total = tick.stage, tick.done, tick.total
        return True

    def __iter__(self) -> Iterator[Self]:
        while self.step():
            yield self

    def result(self) -> T:
        """Do what is left, and return what came of it."""
        while self.step():
            pass
        return cast("T", self._result)

    def close(self) -> None:
        """Stop: let go of threads and files. What a checkpoint holds can be gone on with."""
        self._work.close()

    def run(self, progress: Progress = None) -> T:
        """Do everything.

        Raises
        ------
        Cancelled
            If `progress` returns False.
        """
        show = _Bar() if progress is True else progress or None
        if show is not None and not callable(show):
            raise ArgumentError(f"progress must be True or a callable(job), not {progress!r}.")
        try:
            for _ in self:
                if show is not None and show(self) is False:
                    raise Cancelled(
                        f"Stopped during {self.stage}, at {self.done:,} of {self.total:,}."
                    )
        finally:
            self.close()
            if isinstance(show, _Bar):
                show.end()
        return self.result()

    def __repr__(self) -> str:
        state = "finished" if self.finished else self.stage or "not begun"
        return f"Job({state}, {self.done:,} of {self.total:,})"


class _Bar:
    """One line that is written over and over."""

    def __init__(self) -> None:
        self._stage = ""
        self._began = self._shown = 0.0

    def __call__(self, job: Job[Any]) -> None:
        now = time.monotonic()
        if job.stage != self._stage:
            self.end()
            self._stage, self._began, self._shown = job.stage, now, 0.0
        if now - self._shown < 0.1 and job.done < job.total:
            return
        self._shown = now
        share = job.done / job.total if job.total else 1.0
        full = round(24 * share)
        left = (now - self._began) * (1 - share) / share if share else 0.0
        sys.stderr.write(
            f"\r{self._stage:32} |{'#' * full}{' ' * (24 - full)}| {share:4.0%} "
            f"{job.done:,} of {job.total:,}, {left:.0f} s left   "
        )
        sys.stderr.flush()

    def end(self) -> None:
        if self._stage:
            sys.stderr.write("\n")
            sys.stderr.flush()
        self._stage = ""
