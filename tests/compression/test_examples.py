"""The examples in the docstrings run as they stand."""

from __future__ import annotations

import doctest
import inspect
import re

import pytest
import torch

import convlens
from convlens import compression


@pytest.mark.parametrize("name", compression.__all__)
def test_public_names_are_documented_and_their_examples_run(name: str) -> None:
    thing = getattr(compression, name)
    text = inspect.getdoc(thing) or ""
    assert len(text.splitlines()[0]) > 10
    if inspect.isfunction(thing):
        sections = re.findall(r"^(\w+)\n-+$", text, flags=re.MULTILINE)
        assert {"Parameters", "Returns", "Raises", "Examples"} <= set(sections)
        for parameter in inspect.signature(thing).parameters:
            assert re.search(rf"^(.*, )?\*{{0,2}}{parameter}(, .*)? : ", text, re.MULTILINE), (
                parameter
            )
    known = {"convlens": convlens, "torch": torch, name: thing}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for example in doctest.DocTestFinder(exclude_empty=True).find(thing, name, globs=known):
        runner.run(example, out=said.append)
    assert not runner.summarize(verbose=False).failed, "".join(said)
