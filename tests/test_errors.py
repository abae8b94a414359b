from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlens import errors
from convlens.errors import (
    ArgumentError,
    Cancelled,
    ClosedLensError,
    ConvlensError,
    ForwardError,
    ModelError,
    NoGradientError,
    UnknownLayerError,
    nearest,
)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ModelError, TypeError),
        (UnknownLayerError, KeyError),
        (ArgumentError, ValueError),
        (ClosedLensError, RuntimeError),
        (ForwardError, RuntimeError),
        (NoGradientError, ArgumentError),
        (Cancelled, ConvlensError),
    ],
)
def test_each_error_is_caught_as_ours_and_as_the_builtin_it_stands_for(kind, builtin):
    assert issubclass(kind, ConvlensError)
    assert issubclass(kind, builtin)


def test_every_error_of_the_module_is_of_the_family():
    kinds = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert len(kinds) == 10
    assert all(issubclass(kind, ConvlensError) for kind in kinds)


def test_unknown_layer_shows_its_message_and_not_the_repr_of_it():
    assert str(UnknownLayerError("There is no layer 'conv9'.")) == "There is no layer 'conv9'."


def test_nearest_names_the_closest_first():
    assert nearest("conv1", ["fc", "conv12", "conv2"]) == " Did you mean 'conv12', 'conv2'?"


def test_nearest_ignores_case_and_keeps_the_spelling_that_is_valid():
    assert nearest("CONV", ["Conv"]) == " Did you mean 'Conv'?"


def test_nearest_finds_the_end_of_a_long_dotted_name():
    assert nearest("conv2", ["layer4.2.downsample.conv2"]) == (
        " Did you mean 'layer4.2.downsample.conv2'?"
    )


def test_nearest_names_no_more_than_asked_for():
    assert nearest("conv", [f"conv{i}" for i in range(9)], limit=2).count("conv") == 2


@pytest.mark.parametrize("name", ["", "zzzzzz", None, 3])
def test_nearest_says_nothing_where_nothing_is_near(name):
    assert nearest(name, ["conv1", "fc"]) == ""


@given(st.text(), st.lists(st.text(min_size=1)))
def test_nearest_only_ever_names_what_is_valid(name, valid):
    said = nearest(name, valid)
    shown = [v for v in valid if repr(v) in said]
    assert said == "" or shown


@given(st.lists(st.text(min_size=1), min_size=1))
def test_nearest_names_an_exact_match_first(valid):
    lower = {v.lower() for v in valid}
    if len(lower) == len(set(valid)):  # else two differ in case only
        assert nearest(valid[0], valid).startswith(f" Did you mean {valid[0]!r}")
