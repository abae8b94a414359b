"""A parameter of a method or measure, declared once: its check, the form and the docs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from convlens.errors import ArgumentError, nearest

__all__ = ["Parameter", "changed", "fill_in"]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a method or measure, with what a form needs to ask for it.

    Attributes
    ----------
    name, help
        As in Python; what it does, in one sentence.
    kind
        "float", "int", "bool" or "choice".
    default
        The value where none is given.
    low, high
        Of a float: `low` itself is excluded, `high` is included. Of an int: both are included.
    choices
        Of a choice.

    Examples
    --------
    >>> steps = Parameter("steps", "int", 50, "points on the path", low=1, high=1000)
    >>> steps.check(20)
    20
    >>> steps.check(0)
    Traceback (most recent call last):
    convlens.errors.ArgumentError: steps is 0; it must be a whole number from 1 to 1000.
    """

    name: str
    kind: Literal["float", "int", "bool", "choice"]
    default: float | int | bool | str
    help: str
    low: float = 0.0
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> float | int | bool | str:
        """Return `value` as this parameter takes it, or say what it takes."""
        if self.kind == "bool" and isinstance(value, bool):
            return value
        if self.kind == "choice" and isinstance(value, str) and value in self.choices:
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if self.kind == "float" and self.low < value <= self.high:
                return float(value)
            whole = isinstance(value, int) or value.is_integer()
            if self.kind == "int" and whole and self.low <= value <= self.high:
                return int(value)
        hint = nearest(value, self.choices)
        raise ArgumentError(f"{self.name} is {value!r}; it must be {self.range()}.{hint}")

    def range(self) -> str:
        """Return the values it takes, in words."""
        top = not math.isinf(self.high)
        if self.kind == "float":
            return f"a number above {self.low:g}" + (f" and at most {self.high:g}" if top else "")
        if self.kind == "int":
            low = f"{self.low:.0f}"
            return "a whole number " + (f"from {low} to {self.high:.0f}" if top else f">= {low}")
        if self.kind == "bool":
            return "True or False"
        return " or ".join(repr(choice) for choice in self.choices)

    def to_json(self) -> dict[str, Any]:
        """Return the declaration for a form; an open range is None."""
        number = self.kind in ("float", "int")
        return {
            "name": self.name,
            "kind": self.kind,
            "default": self.default,
            "help": self.help,
            "low": self.low if number else None,
            "high": self.high if number and math.isfinite(self.high) else None,
            "choices": list(self.choices),
        }


def fill_in(
    owner: str, parameters: Sequence[Parameter], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return every parameter's value: those given checked, the defaults of the others.

    Parameters
    ----------
    owner : str
        What has the parameters, as it is called in a message.
    parameters : sequence of Parameter
        All that it has.
    given : mapping of str
        Values by parameter name.

    Raises
    ------
    ArgumentError
        A name is none of the parameters', or a value is outside its range.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            takes = ", ".join(known) or "no parameters"
            raise ArgumentError(
                f"{owner} has no parameter {name!r}; it takes {takes}.{nearest(name, known)}"
            )
    return {
        name: parameter.check(given.get(name, parameter.default))
        for name, parameter in known.items()
    }


def changed(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values, of `fill_in`, that are not the defaults, sorted by name."""
    usual = {parameter.name: parameter.default for parameter in parameters}
    return {name: values[name] for name in sorted(values) if values[name] != usual[name]}
