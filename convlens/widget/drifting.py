"""Drift of a Lens's model: measured when its view opens, kept by what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from convlens.errors import ArgumentError, nearest
from convlens.layers import Layers
from convlens.widget.analysis import Progress
from convlens.widget.answers import Answer, Steps
from convlens.widget.drifted import USUAL, comparable, groups_in_words, nothing, reply
from convlens.widget.protocol import DRIFT_AGAINST
from convlens.widget.snapshots import Snapshots
from convlens.widget.sources import Sources

# convlens.filterdb is imported where it is needed: a Lens is on the screen earlier without
if TYPE_CHECKING:
    from convlens.filterdb import FilterDB, Job, ModelDrift, Summary

__all__ = ["Drifting", "against_of", "check_database", "describe_drift"]

# filters of a database beyond which reading it is for a person to ask for
_MOST_UNASKED = 2_000_000

_GIVE = {
    "database": "give the Lens database=, a file, a FilterDB or a Summary",
    "reference": "give the Lens reference=, another model",
}


def check_database(given: Any) -> Summary | FilterDB | None:
    """Open what a Lens was given as its database.

    Raises
    ------
    ArgumentError
        Where it is no path, `FilterDB` or `Summary`.
    FilterDBError
        Where the file is missing, damaged or of another kind.
    """
    if given is None:
        return None
    from convlens import filterdb

    if isinstance(given, filterdb.Summary | filterdb.FilterDB):
        return given
    if not isinstance(given, str | Path):
        raise ArgumentError(
            "database must be the path of a filter database, what cl.filterdb.open() returns, or "
            f"a Summary of one, not a {type(given).__name__}."
        )
    if Path(given).suffix.lower() == ".npz":
        return filterdb.Summary.load(given)
    return filterdb.open(given)


def against_of(sources: Sources) -> tuple[str, ...]:
    """Give what a model can be compared with, of `DRIFT_AGAINST`."""
    missing = {"database": sources.database is None, "reference": sources.reference is None}
    return tuple(name for name in DRIFT_AGAINST if not missing.get(name))


def describe_drift(sources: Sources) -> list[dict[str, Any]]:
    """Describe what a model can be compared with, for the front end's menu."""
    database = sources.database
    path: Path | None = getattr(database, "path", None)
    titles = {
        "shipped": "the summary that ships",
        "database": getattr(database, "title", "") if path is None else path.name,
        "reference": sources.titles[1],
    }
    asks = path is not None and getattr(database, "n", 0) > _MOST_UNASKED
    return [
        {
            "name": name,
            "title": titles[name],
            "groups": groups_in_words(USUAL),
            "asks": asks and name == "database",
        }
        for name in against_of(sources)
    ]


@dataclass
class Drifting:
    """What was measured so far, by what the model was compared with.

    Attributes
    ----------
    sources
        What the Lens was given.
    snapshots
        Of its models, at rest.
    layers : callable() -> Layers
        Those that the Lens lists.
    kept
        By name and group of what they were compared with.
    """

    kinds: ClassVar[tuple[str, ...]] = ("drift",)

    sources: Sources
    snapshots: Snapshots
    layers: Callable[[], Layers]
    kept: dict[tuple[str, str], ModelDrift] = field(
        default_factory=dict[tuple[str, str], "ModelDrift"]
    )
    _summaries: dict[str, Summary] = field(default_factory=dict[str, "Summary"])

    def answer(self, kind: str, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Measure the drift of every layer, a layer a step."""
        del kind
        against, group = params["against"], params["group"]
        self.check(against, group)
        if (against, group) not in self.kept:
            if not comparable(self.layers(), kernel := self._kernel(against)):
                return nothing(params, self.layers(), kernel)
            yield from self._measure(against, group, progress)
        yield
        return reply(self.kept[against, group], params, self.layers())

    def answers(self) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        """Give what was measured: its kind, what asks for it, and the answer."""
        for (against, group), found in self.kept.items():
            params = {"against": against, "group": group}
            yield "drift", params, reply(found, params, self.layers())

    def forget(self) -> None:
        """Forget what was measured; a database stays what it was."""
        self.kept.clear()
        self._summaries.pop("reference", None)

    def result(self, chosen: Any) -> ModelDrift:
        """Give what was measured for what is chosen in a Lens, or measure it now."""
        against, group = chosen.drift_against, chosen.drift_group
        self.check(against, group)
        found = self.kept.get((against, group))
        if found is None:
            sides = self.sources.sides
            found = self._job(against, group, sides["model"], sides.get("reference")).run()
        return found

    def check(self, against: str, group: str) -> None:
        """Raise ArgumentError where there is nothing of that name to compare with."""
        there = against_of(self.sources)
        if against not in there:
            give = f": {_GIVE[against]}." if against in _GIVE else f".{nearest(against, there)}"
            raise ArgumentError(
                f"drift_against must be one of {', '.join(there)}, not {against!r}{give}"
            )
        groups = self.groups(against) if group not in USUAL else USUAL
        if group not in groups:
            raise ArgumentError(
                f"drift_group must be one of {', '.join(groups)}, not {group!r}."
                f"{nearest(group, groups)}"
            )

    def groups(self, against: str) -> tuple[str, ...]:
        """Give the groups of layers that a model can be compared with."""
        from convlens import filterdb
        from convlens.filterdb.summary import depth_group

        given = filterdb.shipped() if against == "shipped" else self.sources.database
        if against != "reference" and isinstance(given, filterdb.Summary):
            return (*USUAL, *(name for name in given.groups if name not in USUAL))
        return (*USUAL, *(depth_group(tenth / 10) for tenth in range(11)))

    def _measure(self, against: str, group: str, progress: Progress) -> Generator[None, None, None]:
        model = self.snapshots.of("model")
        yield
        other = self.snapshots.of("reference") if against == "reference" else None
        yield
        job = self._job(against, group, model, other)
        try:
            while job.step():
                progress({"done": job.done, "total": job.total, "label": job.stage}, {})
                yield
        finally:
            job.close()
        found = self.kept[against, group] = job.result()
        if against != "shipped":
            self._summaries[against] = found.summary

    def _kernel(self, against: str) -> tuple[int, int]:
        """Give the size of the filters that are compared."""
        database = self.sources.database
        if against != "database" or database is None:
            return (3, 3)
        return getattr(database, "kernel", None) or cast("Summary", database).pca.kernel

    def _job(self, against: str, group: str, model: Any, reference: Any) -> Job[ModelDrift]:
        from convlens.filterdb import begin_drift

        other = {"database": self.sources.database, "reference": reference}.get(against)
        return begin_drift(model, self._summaries.get(against, other), group=group)
