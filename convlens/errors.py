"""One family of errors; each message says what was wrong, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConvlensError(Exception):
    """Base of every error that convlens raises on purpose."""


class ModelError(ConvlensError, TypeError):
    """What was given as a model is none, or holds nothing that could be looked at."""


class ForwardError(ConvlensError, RuntimeError):
    """The model raised an exception while it ran on the given inputs (kept as ``__cause__``)."""


class UnknownLayerError(ConvlensError, KeyError):
    """No layer has this name or key."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message, quotes and escapes included.
        return Exception.__str__(self)


class ArgumentError(ConvlensError, ValueError):
    """An argument has a value that cannot be used."""


class NoGradientError(ArgumentError):
    """A model passes no gradient back to its input, as those that compute in integers do not."""


class ClosedLensError(ConvlensError, RuntimeError):
    """A Lens was used after ``close()``."""


class Cancelled(ConvlensError):  # noqa: N818 - not a fault: somebody asked for it
    """A ``progress`` callback returned False, so the analysis stopped."""


class CheckpointError(ConvlensError, OSError):
    """A checkpoint could not be written, or is none of ours; the one before it is whole."""


class MissingPackageError(ConvlensError, ImportError):
    """A package that only this analysis needs is not installed; the message has the pip line."""


def nearest(name: object, valid: Iterable[str], limit: int = 3) -> str:
    """Return ``" Did you mean 'a', 'b'?"`` with the names closest to `name`, or ``""``.

    Parameters
    ----------
    name : object
        What was asked for; anything but a string has no near names.
    valid : iterable of str
        The names that exist.
    limit : int, default 3
        At most this many are named.

    Examples
    --------
    >>> nearest("conv", ["conv1", "conv2", "fc"])
    " Did you mean 'conv1', 'conv2'?"
    """
    if not isinstance(name, str):
        return ""
    names = list(dict.fromkeys(valid))
    lower = {n.lower(): n for n in reversed(names)}
    close = difflib.get_close_matches(name.lower(), lower, n=limit, cutoff=0.5)
    found = [lower[c] for c in close]
    if not found and name:
        # "conv2" is far from "layer4.2.conv2" in letters, and yet what was meant.
        found = [n for n in names if name.lower() in n.lower()][:limit]
    return f" Did you mean {', '.join(repr(n) for n in found)}?" if found else ""
