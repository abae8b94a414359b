"""Cells that put a model in a Lens."""

from __future__ import annotations

READ = "print(lens.view, lens.layer, lens.channel, lens.eps)"
"""What a person chose, as the next cell reads it."""


def digits(variant: str = "good", options: str = "") -> str:
    """Return a cell with the demo model, called `model`, in a Lens called `lens`."""
    return f"""
from convlens import Lens, demo
model = demo.load("{variant}").model
lens = Lens(model, name="DigitNet"{_more(options)})
lens
"""


def trained(name: str, options: str = "") -> str:
    """Return the same for a network of the shared data, of which `tests.models` knows the path."""
    return f"""
from convlens import Lens
from tests import models
model = models.trained("{name}")
lens = Lens(model, name="{name}"{_more(options)})
lens
"""


def _more(options: str) -> str:
    return f", {options}" if options else ""
