import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from convlens.widget.encoding import encode


def test_header_has_no_nan():
    header, _ = encode({"a": math.nan, "b": [math.inf, (1, -math.inf)], "c": {"d": np.float32(2)}})
    assert json.loads(json.dumps(header, allow_nan=False)) == {
        "a": None,
        "b": [None, [1, None]],
        "c": {"d": 2.0},
    }


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.uint8, np.uint16, np.uint32, np.int32]),
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    )
)
def test_arrays_come_back_equal(array):
    header, (buffer,) = encode({}, {"x": array})
    (described,) = header["arrays"]
    back = np.frombuffer(buffer, dtype=described["dtype"]).reshape(described["shape"])
    np.testing.assert_array_equal(back, array)


def test_non_contiguous_and_big_endian_arrays_are_laid_out_anew():
    array = np.arange(12, dtype=">u4").reshape(3, 4).T
    _, (buffer,) = encode({}, {"x": array})
    np.testing.assert_array_equal(np.frombuffer(buffer, "<u4").reshape(4, 3), array)


def test_dtype_that_the_front_end_cannot_read_is_refused():
    with pytest.raises(TypeError, match="float64"):
        encode({}, {"x": np.zeros(2)})
