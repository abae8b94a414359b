"""Metadata may hold pickles; none of them runs anything."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convlens import filterdb
from convlens.filterdb.pickles import safe_loads
from tests.filterdb import files

pytest.importorskip("tables")


class Runs:
    """Calls something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def with_pickle(path: Path, payload: bytes) -> Path:
    """A database whose fixed frame has `payload` where pandas pickled the column filter_ids."""
    files.write(path, format="fixed")
    with h5py.File(path, "r+") as file:
        meta: Any = file["meta"]
        for name, node in meta.items():
            if node.dtype.kind == "O":
                node[0] = np.frombuffer(payload, dtype=np.uint8)
                assert name.endswith("_values")
    return path


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda mark: Runs(subprocess.call, ["touch", str(mark)]), "call"),
        (lambda mark: Runs(subprocess.getoutput, f"touch '{mark}'"), "getoutput"),
        (lambda mark: Runs(eval, f"open({str(mark)!r}, 'w')"), "eval"),
        (lambda mark: Runs(np.savetxt, str(mark), [1]), "savetxt"),
        (lambda mark: [np.zeros(2), Runs(os.mkdir, str(mark))], "mkdir"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_and_nothing_runs(
    tmp_path: Path, make: Any, named: str, protocol: int
) -> None:
    mark = tmp_path / "was here"
    path = with_pickle(tmp_path / "a.h5", pickle.dumps(make(mark), protocol))
    with pytest.raises(filterdb.UnsafePickleError, match=named):
        filterdb.open(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(make(mark), protocol))  # it would have
    assert mark.exists()


def test_a_malicious_attribute_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "was here"
    path = files.write(tmp_path / "a.h5", format="table")
    with h5py.File(path, "r+") as file:
        payload = pickle.dumps(Runs(os.mkdir, str(mark)), 0)
        file["meta"].attrs["levels"] = np.bytes_(payload)
    with pytest.raises(filterdb.UnsafePickleError, match="mkdir"):
        filterdb.open(path)
    assert not mark.exists()


def test_dotted_names_do_not_reach_through_what_is_allowed() -> None:
    payload = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    with pytest.raises(filterdb.UnsafePickleError, match=r"numpy\.ndarray\.tofile"):
        safe_loads(payload)


def test_a_damaged_pickle_is_said_to_be_one(tmp_path: Path) -> None:
    path = with_pickle(tmp_path / "a.h5", pickle.dumps(np.zeros(3))[:-9])
    with pytest.raises(filterdb.FilterDBError, match="damaged"):
        filterdb.open(path)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(filterdb.FilterDBError):
        safe_loads(data)


@given(st.lists(st.one_of(st.text(), st.floats(allow_nan=False), st.none(), st.booleans())))
def test_arrays_of_plain_objects_come_back(values: list[Any]) -> None:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert safe_loads(pickle.dumps(array, protocol)).tolist() == values
