"""What a Lens says of training: moments that were kept, and the figures of every layer there."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

from convlens.errors import ArgumentError
from convlens.history import FIGURES, History
from convlens.widget.analysis import Progress
from convlens.widget.answers import Answer, Steps

__all__ = ["Recalling"]

MOST_MOMENTS = 200
MOST_BYTES = 400_000  # of one answer
SAVED_BYTES = 32_000  # of what a notebook keeps, as JSON
_FEWEST = 3

# a page without a kernel draws bars and sparklines of these
_SAVED = ("sparsity", "variance_entropy", "variance_entropy_normalized")


class Recalling:
    """Answers the front end's slider: at most `MOST_MOMENTS` of however many there are.

    Parameters
    ----------
    history : callable() -> History or None
        The snapshots so far.
    chosen : callable() -> int, str or None
        Step or label of the one that is looked at: it is among those sent.
    """

    kinds: ClassVar[tuple[str, ...]] = ("history", "history_last")

    def __init__(
        self, history: Callable[[], History | None], chosen: Callable[[], int | str | None]
    ) -> None:
        self._history, self._chosen = history, chosen

    def answer(self, kind: str, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Answer a request: figures of the moments that the front end does not know."""
        del progress
        history = self._history()
        yield
        if kind == "history":
            return self._moments(history or History(), params["since"])
        return self._last(history or History())

    def answers(self) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        """Give both answers, for a page that works offline."""
        history = self._history()
        if history is None or not len(history):
            return
        yield "history", {"since": -1}, self._moments(history, -1)
        if history.has_cka:
            yield "history_last", {}, self._last(history)

    def forget(self) -> None:
        """Keep what was: other weights are another moment."""

    def result(self, chosen: Any) -> Any:
        """Give the figures of the chosen moment."""
        history = self._history()
        if history is None:
            raise ArgumentError("There are no snapshots yet: take them with lens.snapshot().")
        return history.at(chosen.step)

    def saved(self, room: int = SAVED_BYTES) -> dict[str, Any]:
        """Give what a notebook keeps of the history: the same, thinned to a few kilobytes.

        Parameters
        ----------
        room
            Most bytes; nothing is kept where they are too few.
        """
        history = self._history()
        if history is None or not len(history):
            return {}
        figures = [*_SAVED, *(["cka_first"] if history.has_cka else [])]
        each = 16 * len(figures) * max(1, len(history.layers)) // 3
        most = min(MOST_MOMENTS, room // each)
        while most >= _FEWEST:
            places = self._places(history, most)
            values = history.table(places, figures)
            packed = base64.b64encode(values.astype("<f4").tobytes()).decode()
            kept = {**_header(history, places, figures, -1), "values": packed}
            if len(json.dumps(kept)) <= room:
                return kept
            most = most * 9 // 10
        return {}

    def _moments(self, history: History, since: int) -> Answer:
        figures = [*FIGURES, *(["cka_first"] if history.has_cka else [])]
        each = 4 * len(figures) * max(1, len(history.layers))
        places = self._places(history, MOST_BYTES // each)
        fresh = [place for place in places if history.numbers[place] > since]
        header = _header(history, places, figures, since)
        return header, {"values": history.table(fresh, figures)}

    def _last(self, history: History) -> Answer:
        each = 4 * (len(FIGURES) + 1) * max(1, len(history.layers))
        places = self._places(history, MOST_BYTES // each) if history.has_cka else []
        values = history.cka("last")[places] if places else np.zeros((0, 0), np.float32)
        return {"numbers": [history.numbers[place] for place in places]}, {"values": values}

    def _places(self, history: History, most: int) -> list[int]:
        """Choose which moments are sent: every n-th, the ends, and the one that is looked at."""
        count, most = len(history), max(_FEWEST, min(most, MOST_MOMENTS))
        stride = 1
        while -(-count // stride) > most - 2:
            stride *= 2
        places = {*range(0, count, stride), *([count - 1] if count else [])}
        labelled = [i for i, snapshot in enumerate(history.snapshots) if snapshot.label]
        if len(places) + len(labelled) < most:
            places.update(labelled)
        chosen = self._chosen()
        if chosen is not None and count:
            with suppress(ArgumentError):  # it went just now
                places.add(history.place(chosen))
        return sorted(places)


def _header(history: History, places: list[int], figures: list[str], since: int) -> dict[str, Any]:
    snapshots, numbers = history.snapshots, history.numbers
    return {
        "moments": [[numbers[i], snapshots[i].step, snapshots[i].label] for i in places],
        "figures": figures,
        "layers": list(history.layers) if since < 0 else [],
        "eps": history.eps,
        "since": since,
    }
