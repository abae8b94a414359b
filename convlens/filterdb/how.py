"""How measurements run, as a user says it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from convlens.errors import ArgumentError, nearest
from convlens.filterdb.cluster import check_client
from convlens.filterdb.scan import Running, check_device

__all__ = ["How", "running"]


class How(TypedDict, total=False):
    """How a measurement runs: see :meth:`FilterDB.begin`."""

    device: str
    workers: int | None
    client: Any
    checkpoint: str | Path | None


def running(before: Running, how: How) -> Running:
    """Return `before` with what is said in `how`, checked."""
    unknown = [name for name in how if name not in How.__annotations__]
    if unknown:
        names = [*How.__annotations__, "progress"]
        raise ArgumentError(f"There is no argument {unknown[0]!r}.{nearest(unknown[0], names)}")
    given: dict[str, Any] = dict(how)
    if given.get("device") is not None:
        given["device"] = check_device(given["device"])
    workers = given.get("workers")
    if workers is not None and (isinstance(workers, bool) or not workers >= 1):
        raise ArgumentError(f"workers must be a number of threads above 0, not {workers!r}.")
    if given.get("client") is not None:
        check_client(given["client"])
    if given.get("checkpoint") is not None:
        given["checkpoint"] = Path(given["checkpoint"])
    return replace(before, **given)
