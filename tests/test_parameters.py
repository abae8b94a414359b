"""A parameter takes what it declares, and says what it takes of everything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlens.errors import ArgumentError
from convlens.parameters import Parameter, fill_in

WHOLE = Parameter("steps", "int", 50, "points on the path", low=1, high=1000)
REAL = Parameter("stdev", "float", 0.1, "width of the noise", high=2.0)
FLAG = Parameter("signed", "bool", True, "keep the sign")
ONE_OF = Parameter("rule", "choice", "riemann", "how to add up", choices=("riemann", "gauss"))
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())
)


@given(ANYTHING)
def test_what_comes_out_is_in_the_range_or_refused_in_one_sentence(value):
    for parameter, fits in (
        (WHOLE, lambda v: type(v) is int and 1 <= v <= 1000),
        (REAL, lambda v: type(v) is float and 0 < v <= 2),
        (FLAG, lambda v: type(v) is bool),
        (ONE_OF, lambda v: v in ("riemann", "gauss")),
    ):
        taken, said = outcome(parameter, value)
        if said is None:
            assert fits(taken)
        else:
            assert said.startswith(f"{parameter.name} is ")
            assert parameter.range() in said
            assert not (type(value) is type(parameter.default) and fits(value))


def outcome(parameter, value):
    try:
        return parameter.check(value), None
    except ArgumentError as error:
        return None, str(error)


@pytest.mark.parametrize("parameter", [WHOLE, REAL, FLAG, ONE_OF], ids=lambda p: p.kind)
def test_its_own_default_is_taken_and_travels_as_json(parameter):
    assert parameter.check(parameter.default) == parameter.default
    assert json.loads(json.dumps(parameter.to_json()))["default"] == parameter.default


def test_the_ends_of_a_range():
    assert (WHOLE.check(1), WHOLE.check(1000), WHOLE.check(3.0)) == (1, 1000, 3)
    assert WHOLE.to_json()["low"] == 1
    assert Parameter("n", "int", 1, "any", low=1).range() == "a whole number >= 1"
    with pytest.raises(ArgumentError, match=r"steps is 0; it must be a whole number from 1 to"):
        WHOLE.check(0)
    with pytest.raises(ArgumentError, match="a number above 0 and at most 2"):
        REAL.check(0)


def test_filling_in_names_the_nearest():
    assert fill_in("ig", (WHOLE, REAL), {"steps": 5}) == {"steps": 5, "stdev": 0.1}
    with pytest.raises(ArgumentError, match=r"ig has no parameter 'step'; .*'steps'"):
        fill_in("ig", (WHOLE, REAL), {"step": 5})
    with pytest.raises(ArgumentError, match="takes no parameters"):
        fill_in("ig", (), {"step": 5})
