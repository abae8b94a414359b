"""The wire: what is accepted, what is refused, and that both languages mean the same."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlens.widget import protocol
from convlens.widget.encoding import encode
from convlens.widget.protocol import KINDS, MessageError, parse

FIXTURE = Path(__file__).parents[1] / "fixtures" / "protocol.json"


def request(**changes):
    return {"id": "7", "client": "v1", "kind": "filters", "params": {"layer": "c", "start": 0}} | (
        changes
    )


def declared():
    """What the front end must know too, from the Python declaration."""
    header, buffers = encode(
        {"layer": "conv1", "value": math.nan, "list": (1, math.inf)},
        {
            "weights": np.array([[1.5, -2.0, np.nan]], dtype=np.float32),
            "counts": np.array([1, 2**31], dtype=np.uint32),
            "labels": np.array([0, 255], dtype=np.uint8),
        },
    )
    return {
        "version": protocol.VERSION,
        "statuses": list(protocol.STATUSES),
        "kinds": {
            name: {key: param.type.__name__ for key, param in kind.params.items()}
            for name, kind in KINDS.items()
        },
        "choices": {
            "view": list(protocol.VIEWS),
            "sort": list(protocol.SORTS),
            "scale": list(protocol.SCALES),
            "entropy": list(protocol.ENTROPIES),
            "comparison": list(protocol.COMPARISONS),
            "layer_set": list(protocol.LAYER_SETS),
        },
        "request": request(),
        "reply": {"id": "7", "status": "ok", "header": header},
        "buffers_hex": [bytes(buffer).hex() for buffer in buffers],
    }


def test_fixture_is_what_python_declares():
    # to write it anew: python -m tests.widget.test_protocol
    assert json.loads(FIXTURE.read_text()) == declared()


def test_good_request_is_taken():
    taken = parse(request())
    assert (taken.id, taken.client, taken.kind) == ("7", "v1", "filters")
    assert taken.params == {"layer": "c", "start": 0}


def test_whole_number_is_taken_for_a_float_and_stays_a_number_between_the_bounds():
    with pytest.raises(MessageError, match=r"eps must be between 0 and 1, not 1\.0"):
        parse(request(kind="quality", params={"eps": 1}))


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (None, "must be an object"),
        ([1], "must be an object"),
        (request(id=None), "id must be text"),
        (request(id="x" * 65), "id must be text of 1 to 64"),
        (request(client=""), "client must be text"),
        (request(kind="filter"), "Did you mean 'filters'"),
        (request(kind=["filters"]), "is no kind of request"),
        (request(params=[]), "params must be an object"),
        (request(extra=1), "not 'extra'"),
        (request(params={"layer": "c"}), "needs start"),
        (request(params={"layer": "c", "start": 0, "stop": 9}), "not 'stop'"),
        (request(params={"layer": 3, "start": 0}), "layer must be text, not 3"),
        (request(params={"layer": "c", "start": -1}), "start must be at least 0"),
        (request(params={"layer": "c", "start": True}), "start must be a whole number"),
        (request(params={"layer": "c", "start": 0.5}), "start must be a whole number"),
        (request(params={"layer": "c" * 2001, "start": 0}), "at most 2,000 characters"),
        (request(kind="quality", params={"eps": math.nan}), "eps must be between"),
        (request(kind="quality", params={"eps": 0}), "eps must be between"),
    ],
)
def test_bad_request_is_refused_in_a_sentence(message, says):
    with pytest.raises(MessageError) as caught:
        parse(message)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


def test_refusal_names_the_request_it_answers():
    with pytest.raises(MessageError) as caught:
        parse(request(kind="nonsense"))
    assert caught.value.id == "7"


def test_binary_data_is_refused():
    with pytest.raises(MessageError, match="no binary data"):
        parse(request(), [b"12"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_at_all_is_taken_or_refused(message):
    try:
        taken = parse(message)
    except MessageError:
        return
    assert taken.kind in KINDS


if __name__ == "__main__":
    FIXTURE.write_text(json.dumps(declared(), indent=2) + "\n")
