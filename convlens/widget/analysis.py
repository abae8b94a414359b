"""What an analysis of a Lens is: one view's answers, kept and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from convlens.errors import Cancelled
from convlens.widget.answers import Answer, Arrays, Steps

__all__ = ["Analysis", "Progress", "Result", "while_current"]

if TYPE_CHECKING:
    import pandas as pd

    from convlens.compression import CompressionReport
    from convlens.features import Features
    from convlens.filterdb import ModelDrift
    from convlens.filters import Filters
    from convlens.quality import Quality
    from convlens.saliency import Saliency
    from convlens.similarity import Similarity

    Result = (
        Quality
        | Filters
        | Saliency
        | Features
        | Similarity
        | ModelDrift
        | CompressionReport
        | pd.DataFrame
    )
else:
    Result = Any

Progress = Callable[[dict[str, Any], Arrays], None]


class Analysis(Protocol):
    """What answers some kinds of request, and remembers what it answered."""

    kinds: ClassVar[tuple[str, ...]]
    """The kinds of request that it answers, of `convlens.widget.protocol.KINDS`."""

    def answer(self, kind: str, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Answer a request in steps, telling `progress` how far it is."""
        ...

    def answers(self) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        """Give each answer that is kept: its kind, what asks for it, and itself."""
        ...

    def forget(self) -> None:
        """Forget what was computed: the weights have changed."""
        ...

    def result(self, chosen: Any) -> Any:
        """Give what the view shows for what is chosen in a Lens; compute it where it is not kept.

        Parameters
        ----------
        chosen
            Has the traits of the selection: `layer`, `channel`, `method`, ...
        """
        ...


def while_current(steps: Steps, current: Callable[[], bool]) -> Steps:
    """Go on with an answer for as long as the weights are those that it is of.

    Raises
    ------
    Cancelled
        Where `current` says after a step that they are others: what the analysis kept of the
        old ones is forgotten by then, and nothing of them is to be kept anew.
    """
    try:
        while True:
            next(steps)
            yield
            if not current():
                raise Cancelled("The weights were read again while this was computed: ask again.")
    except StopIteration as end:
        return end.value
    finally:
        steps.close()
