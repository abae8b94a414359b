"""What an export is given: names and sources of models, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import nn

from convlens.errors import ArgumentError
from convlens.filterdb.layout import INDEX
from convlens.tree import kind_of

__all__ = ["Metadata", "is_maker", "kernel_size", "named"]


def named(models: Any) -> dict[str, Any]:
    """Give every source a name: its own, that of its class, or of its file."""
    if isinstance(models, Mapping):
        given = cast("Mapping[Any, Any]", models)
        if given and not all(hasattr(value, "dim") for value in given.values()):
            return {str(name): source for name, source in given.items()}
        if not given:
            raise ArgumentError("models is empty: pass at least one.")
    several = isinstance(models, list | tuple)
    sources = cast("list[Any]", list(cast(Any, models)) if several else [models])
    if not sources:
        raise ArgumentError("models is empty: pass at least one.")
    names: dict[str, Any] = {}
    for source in sources:
        name = _name_of(source)
        count = sum(known == name or known.startswith(f"{name} (") for known in names)
        names[f"{name} ({count + 1})" if count else name] = source
    return names


def _name_of(source: Any) -> str:
    if isinstance(source, nn.Module):
        return kind_of(source)
    path = getattr(source, "path", source)
    return Path(path).stem if isinstance(path, str | Path) else "state dict"


def is_maker(source: Any) -> bool:
    """Whether this is a function that makes a source."""
    return callable(source) and not isinstance(source, nn.Module | type)


def kernel_size(kernel: Any) -> tuple[int, int]:
    """Return (height, width), or raise ArgumentError."""
    sides = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
    if len(sides) != 2 or not all(isinstance(side, int) and side >= 1 for side in sides):
        raise ArgumentError(f"kernel must be a size like 3 or (3, 3), not {kernel!r}.")
    return cast("tuple[int, int]", sides)


class Metadata:
    """What is said of each model, given in any of three ways.

    Parameters
    ----------
    given : mapping, DataFrame or None
        As for :func:`convlens.filterdb.export`.
    names : sequence of str
        The models there will be.
    """

    def __init__(self, given: Any, names: Sequence[str]) -> None:
        import pandas as pd

        self._shared: Mapping[str, Any] = {}
        self._each: Mapping[str, Mapping[str, Any]] = {}
        if given is None:
            return
        if isinstance(given, pd.DataFrame):
            each: dict[str, Any] = {str(key): row.to_dict() for key, row in given.iterrows()}
        elif isinstance(given, Mapping):
            whole = cast("Mapping[Any, Any]", given)
            if not any(isinstance(value, Mapping) for value in whole.values()):
                self._shared = {str(key): value for key, value in whole.items()}
                return
            each = {str(key): value for key, value in whole.items()}
        else:
            raise ArgumentError(
                f"metadata must be a mapping or a frame, not a {type(given).__name__}."
            )
        missing = [name for name in names if name not in each]
        if missing:
            raise ArgumentError(
                f"metadata says nothing of {missing[0]!r}: it has {', '.join(list(each)[:6])}."
            )
        self._each = each

    def of(self, name: str) -> dict[str, Any]:
        """Return the columns of one model."""
        found = dict(self._each.get(name, self._shared))
        reserved = {*INDEX, "filter_ids", "layer"} & {str(key) for key in found}
        if reserved:
            raise ArgumentError(f"metadata cannot set {sorted(reserved)[0]!r}: export does.")
        return {str(key): value for key, value in found.items()}
