"""The wire between a Lens and its front end, declared once.

``js/src/protocol.ts`` mirrors this module; both are held to ``tests/fixtures/protocol.json``.

A request is ``{id, client, kind, params}``. The kernel answers with one or more
``{id, status, header}`` messages and raw buffers; the last has a status other than
``"progress"``. ``{id, client, kind: "cancel", params: {}}`` stops the request of that id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from convlens.errors import ArgumentError, nearest

VERSION = 1

VIEWS = ("quality", "filters", "saliency", "features", "similarity", "drift", "compression")
SORTS = ("position", "norm", "entropy", "cluster")
SCALES = ("filter", "layer", "model")
ENTROPIES = ("normalized", "raw", "clean")
PAIRED = ("model", "reference", "side by side", "difference")
COMPARISONS = ("self", "inputs", "reference")
LAYER_SETS = ("convs", "all")
DRIFT_AGAINST = ("shipped", "database", "reference")

STATUSES = ("progress", "ok", "error", "cancelled")

# of base64: with what is around it, it passes through a Jupyter server, which closes at 10 MB
LONGEST_FILE = 8_000_000

_LONGEST_ID = 64
_LONGEST_CLIENT = 32


class MessageError(ArgumentError):
    """A front-end message that is not what the protocol says.

    Attributes
    ----------
    id
        The id to answer to, where the message had a usable one.
    """

    def __init__(self, message: str, id: str | None = None) -> None:
        super().__init__(message)
        self.id = id


@dataclass(frozen=True)
class Param:
    """One parameter of a request: its type and the range that is accepted."""

    type: type[str] | type[int] | type[float]
    minimum: float | None = None
    # of text
    longest: int = 2_000
    below: float | None = None
    above: float | None = None

    def check(self, name: str, value: object) -> str | None:
        """Say in a few words what is wrong with `value`, or None where nothing is."""
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, self.type) or isinstance(value, bool):
            return f"{name} must be {_WORDS[self.type]}, not {_shown(value)}"
        if isinstance(value, str):
            if len(value) > self.longest:
                return f"{name} must have at most {self.longest:,} characters, not {len(value):,}"
            return None
        low, high, least = self.above, self.below, self.minimum
        # written so that NaN fails
        if (
            (low is not None and not value > low)
            or (high is not None and not value < high)
            or (least is not None and not value >= least)
        ):
            bound = f"between {low} and {high}" if least is None else f"at least {least:g}"
            return f"{name} must be {bound}, not {_shown(value)}"
        return None


_WORDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number"}

_LAYER = Param(str)
_START = Param(int, minimum=0)
# how features are synthesised; 0 is what suits: steps of the size, a size of the inputs
_HOW = {
    "layer": _LAYER,
    "steps": Param(int, minimum=0),
    "seed": Param(int, minimum=0),
    "size": Param(int, minimum=0),
}
_EXPLAINED = {
    "input": _START,
    "channel": Param(int, minimum=-1),
    **{name: Param(str) for name in ("target", "method", "layer", "side", "baseline", "settings")},
}
_COMPARED = {name: Param(str) for name in ("measure", "comparison", "layer_set", "settings")}

_AFTER = {"after": Param(str)}


@dataclass(frozen=True)
class Kind:
    """One kind of request: its parameters, and how urgent it is.

    A click (``urgent``) is answered between two steps of the work that is under way; what fills in
    beside it (``background``) goes on where there is nothing else to do.
    """

    params: Mapping[str, Param] = field(default_factory=dict[str, Param])
    urgent: bool = True
    background: bool = False


KINDS: dict[str, Kind] = {
    "hello": Kind(),
    "quality": Kind({"eps": Param(float, above=0, below=1)}, urgent=False),
    "distribution": Kind({"layer": _LAYER}),
    "filters": Kind({"layer": _LAYER, "start": _START}),
    "filters_exact": Kind({"layer": _LAYER, "reading": _START}, urgent=False, background=True),
    "cluster": Kind({"layer": _LAYER, "start": _START}, urgent=False),
    "similarity": Kind(_COMPARED, urgent=False),
    "compared": Kind(_COMPARED),
    "drift": Kind({"against": Param(str), "group": Param(str)}, urgent=False),
    "features": Kind(_HOW | {"channel": _START}, urgent=False),
    "feature_page": Kind(_HOW | {"side": Param(str), "start": _START}, False, background=True),
    "top_inputs": Kind({"layer": _LAYER, "channel": _START}, urgent=False),
    "activations": Kind({"layer": _LAYER, "channel": _START, "input": _START}),
    "preflight": Kind({"layer": _LAYER}),
    "saliency": Kind(_EXPLAINED, urgent=False),
    "agreement": Kind({"saliencies": Param(str, longest=50_000)}),
    "sanity": Kind(_EXPLAINED, urgent=False),
    "inputs": Kind({"start": _START}, urgent=False),
    "picture": Kind({"index": _START}),
    "upload": Kind({"name": Param(str), "data": Param(str, longest=LONGEST_FILE)}),
    "reference": Kind({"eps": Param(float, above=0, below=1)}, urgent=False, background=True),
    # after what the model shows, which a click waits for
    "reference_pairs": Kind(urgent=False),
    "reference_distribution": Kind({"layer": _LAYER}, urgent=False),
    "reference_filters": Kind({"layer": _LAYER, "start": _START}, urgent=False),
    "history": Kind({"since": Param(int, minimum=-1)}),
    "history_last": Kind(),
    "compression": Kind(_AFTER, urgent=False),
    "compression_known": Kind(_AFTER),
    "compression_flips": Kind(_AFTER | {"start": _START}, urgent=False),
    "compression_scales": Kind({"model": Param(str), "reference": Param(str)}),
    "refresh": Kind(),
    "cancel": Kind(),
}


@dataclass(frozen=True)
class Request:
    """A message of the front end that was checked."""

    id: str
    client: str
    kind: str
    params: Mapping[str, Any]


def parse(content: object, buffers: Sequence[object] | None = None) -> Request:
    """Check a message of the front end.

    Parameters
    ----------
    content
        What came in.
    buffers
        Binary buffers that came with it; a request has none.

    Returns
    -------
    Request
        The message, with every parameter present and of its declared type.

    Raises
    ------
    MessageError
        Naming what is wrong, what was expected and, for names, the nearest valid choice.
    """
    if not isinstance(content, dict):
        raise MessageError(
            f"A message must be an object with id, client, kind and params, not {_shown(content)}."
        )
    message = cast(dict[object, object], content)
    id_ = message.get("id")
    if not isinstance(id_, str) or not 1 <= len(id_) <= _LONGEST_ID:
        raise MessageError(f"id must be text of 1 to {_LONGEST_ID} characters, not {_shown(id_)}.")
    if unknown := [key for key in message if key not in ("id", "client", "kind", "params")]:
        raise MessageError(
            f"A message has id, client, kind and params, not {_shown(unknown[0])}.", id_
        )
    client = message.get("client")
    if not isinstance(client, str) or not 1 <= len(client) <= _LONGEST_CLIENT:
        raise MessageError(
            f"client must be text of 1 to {_LONGEST_CLIENT} characters, not {_shown(client)}.", id_
        )
    name = message.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        hint = nearest(name[:_LONGEST_ID], KINDS) if isinstance(name, str) else ""
        raise MessageError(f"{_shown(name)} is no kind of request.{hint}", id_)
    if buffers:
        raise MessageError(f"A {name} request carries no binary data, not {len(buffers)}.", id_)
    params = message.get("params", {})
    if not isinstance(params, dict):
        raise MessageError(f"params must be an object, not {_shown(params)}.", id_)
    return Request(id_, client, name, _check_params(name, cast(dict[object, object], params), id_))


def _check_params(kind: str, params: dict[object, object], id_: str) -> dict[str, Any]:
    declared = KINDS[kind].params
    for given in params:
        if given not in declared:
            expected = ", ".join(declared) or "no parameters"
            raise MessageError(f"A {kind} request takes {expected}, not {_shown(given)}.", id_)
    checked: dict[str, Any] = {}
    for name, param in declared.items():
        if name not in params:
            raise MessageError(f"A {kind} request needs {name}.", id_)
        if wrong := param.check(name, params[name]):
            raise MessageError(f"In a {kind} request, {wrong}.", id_)
        checked[name] = param.type(cast(Any, params[name]))
    return checked


def _shown(value: object) -> str:
    """Name a value in an error without printing a megabyte of it."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "…")
    if value is None or isinstance(value, bool | int | float):
        return str(value)[:40]
    return f"a {type(value).__name__}"
