"""A writer that dies at any moment leaves the file before the change, or after it."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlens.filterdb import FilterDBError
from convlens.filterdb.journal import PAGE, Transaction, journal_of, recover


def grown(path: Path, at: int | None = None, snapshot: Path | None = None) -> int:
    """Append to a data set and change an attribute, in one transaction.

    Parameters
    ----------
    path : Path
    at : int, optional
        Copy what is on the disk after so many operations on the file: what a process that died
        there would leave.
    snapshot : Path, optional
        Where to.

    Returns
    -------
    int
        How many operations on the file there were.
    """
    transaction = Transaction(path)
    raw: Any = transaction._file
    calls = 0

    class Watched:
        """The file, of which a copy is made on the way."""

        def __getattr__(self, name: str) -> Any:
            found = getattr(raw, name)
            if name not in ("write", "truncate"):
                return found

            def call(*arguments: Any) -> Any:
                nonlocal calls
                result = found(*arguments)
                calls += 1
                if calls == at and snapshot is not None:
                    shutil.copy(path, snapshot)
                    if journal_of(path).exists():
                        shutil.copy(journal_of(path), journal_of(snapshot))
                return result

            return call

    transaction._file = Watched()  # type: ignore[assignment]
    with h5py.File(transaction, "r+") as file:
        node: Any = file["x"]
        n = len(node)
        node.resize(n + 5000, axis=0)
        node[n:] = np.arange(n, n + 5000)
        file.attrs["n"] = n + 5000
        if "table" in file:
            del file["table"]
        file["table"] = np.arange(n)
    transaction.commit()
    transaction.close()
    return calls


def check(path: Path) -> int:
    recover(path)
    with h5py.File(path, "r") as file:
        node: Any = file["x"]
        n = len(node)
        assert (node[()] == np.arange(n)).all()
        assert file.attrs["n"] == n
        return n


def new(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(3000), maxshape=(None,), chunks=(1000,))
        file.attrs["n"] = 3000
    return path


def test_a_transaction_is_what_h5py_makes_of_it(tmp_path: Path) -> None:
    path = new(tmp_path / "a.h5")
    for times in range(1, 6):
        grown(path)
        assert check(path) == 3000 + 5000 * times
    assert not journal_of(path).exists()


def test_death_at_any_operation(tmp_path: Path) -> None:
    total = grown(new(tmp_path / "whole.h5"))
    seen = list[int]()
    for moment in range(1, total + 1):
        path = tmp_path / f"{moment}.h5"
        grown(new(tmp_path / "a.h5"), moment, path)
        seen.append(check(path))
        grown(path)  # and it can be written again
        assert check(path) == seen[-1] + 5000
    assert set(seen) == {3000, 8000}
    assert seen == sorted(seen)


def test_a_disk_that_fills_in_the_middle(tmp_path: Path) -> None:
    path = new(tmp_path / "a.h5")
    before = path.read_bytes()
    transaction = Transaction(path)
    raw: Any = transaction._file

    class Full:
        def __getattr__(self, name: str) -> Any:
            return self.full if name == "write" else getattr(raw, name)

        def full(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    transaction._file = Full()  # type: ignore[assignment]
    with h5py.File(transaction, "r+") as file:
        file["more"] = np.arange(100_000)
        node: Any = file["more"]
        assert node[99_999] == 99_999  # HDF5 sees what it wrote
    with pytest.raises(OSError, match="No space left"):
        transaction.commit()
    transaction.give_up()
    transaction.close()
    assert path.read_bytes() == before


def test_a_journal_that_was_cut_short_is_not_used(tmp_path: Path) -> None:
    path = new(tmp_path / "a.h5")
    journal_of(path).write_bytes(b"convlens journal 1\n" + bytes(40))
    with pytest.raises(FilterDBError, match="no whole journal"):
        recover(path)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 3 * PAGE),
    st.lists(st.tuples(st.integers(0, 5 * PAGE), st.binary(max_size=3 * PAGE))),
)
def test_it_reads_as_a_plain_file_would(size: int, writes: list[tuple[int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, plain = Path(folder) / "a", Path(folder) / "b"
        for one in (path, plain):
            one.write_bytes((bytes(range(251)) * (size // 251 + 1))[:size])
        transaction = Transaction(path)
        with plain.open("r+b", buffering=0) as expected:
            for place, data in writes:
                if not data:
                    continue
                for file in (transaction, expected):
                    file.seek(place)
                    file.write(data)
                whole = bytearray(transaction.seek(0, 2))
                transaction.seek(0)
                transaction.readinto(whole)
                assert whole == plain.read_bytes()
        assert path.read_bytes()[:size] == (bytes(range(251)) * (size // 251 + 1))[:size]
        transaction.commit()
        transaction.close()
        assert path.read_bytes() == plain.read_bytes()
