"""Filters that are mapped out of the file are those that HDF5 reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from convlens import filterdb
from convlens.filterdb.mapping import Extents, extents_of
from convlens.filterdb.reading import Piece, Source, close_files

N = 30_000


def filters(dtype: Any = np.float32) -> Any:
    return np.random.default_rng(0).standard_normal((N, 3, 3)).astype(dtype)


def found(path: Path, data: Any = None, userblock: int = 0, **how: Any) -> Extents | None:
    with h5py.File(path, "w", userblock_size=userblock) as file:
        file.create_dataset("filters", data=filters() if data is None else data, **how)
    with h5py.File(path) as file:
        return extents_of(str(path), file["filters"])


def same(path: Path, data: Any, pieces: tuple[Piece, ...]) -> None:
    source = Source(str(path), "filters", N, 9)
    read: dict[int, list[Any]] = {}
    try:
        for slot, rows in source.read(pieces):
            read.setdefault(slot, []).append(rows.copy())
    finally:
        close_files()
    flat = data.reshape(-1, 9)
    for slot in {piece.slot for piece in pieces}:
        own = [flat[piece.start : piece.stop] for piece in pieces if piece.slot == slot]
        assert (np.concatenate(read[slot]) == np.concatenate(own)).all()


PIECES = (Piece(0, 0, 7), Piece(1, 7, 20_000), Piece(0, 20_001, 29_000), Piece(2, 29_000, N))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("how", [{}, {"chunks": (8192, 3, 3)}, {"chunks": (1 << 16, 3, 3)}])
def test_in_one_piece_and_in_chunks(tmp_path: Path, dtype: Any, how: dict[str, Any]) -> None:
    data = filters(dtype)
    if how.get("chunks", (0,))[0] > N:
        how = {**how, "maxshape": (None, 3, 3)}
    assert found(tmp_path / "a.h5", data, **how) is not None
    same(tmp_path / "a.h5", data, PIECES)


def test_chunks_that_lie_apart(tmp_path: Path) -> None:
    path, data = tmp_path / "a.h5", filters()
    with h5py.File(path, "w") as file:
        how: dict[str, Any] = {"shape": data.shape, "dtype": "float32", "chunks": (5000, 3, 3)}
        one, other = (file.create_dataset(name, **how) for name in ("filters", "others"))
        for start in (*range(5000, N, 5000), 0):
            one[start : start + 5000] = data[start : start + 5000]
            other[start : start + 5000] = 0
            file.flush()
    with h5py.File(path) as file:
        extents = extents_of(str(path), file["filters"])
    assert extents is not None
    assert extents.breaks(0, N) == {5000, 10_000, 15_000, 20_000, 25_000}
    assert extents.breaks(5000, 10_000) == set()
    assert extents.breaks(4999, 10_001) == {5000, 10_000}
    same(path, data, PIECES)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_chunks_at_odd_places(tmp_path: Path, dtype: Any) -> None:
    path, data = tmp_path / "a.h5", filters(dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset("before", data=np.zeros(10_001, np.uint8))
        file.create_dataset("filters", data=data)
    with h5py.File(path) as file:
        extents = extents_of(str(path), file["filters"])
    assert extents is not None
    assert not extents.view(7, 20_000).flags.aligned
    same(path, data, PIECES)
    source = Source(str(path), "filters", N, 9)
    assert all(rows.flags.aligned for _, rows in source.read(PIECES))  # or loops do not take them
    close_files()


@pytest.mark.parametrize(
    "how",
    [
        {"chunks": (8192, 3, 3), "compression": "gzip"},
        {"chunks": (8192, 3, 3), "fletcher32": True},
        {"chunks": (8192, 3, 1)},
        {"chunks": (100, 3, 3)},
        {"data": filters().astype(">f4")},
    ],
)
def test_what_only_hdf5_can_read(tmp_path: Path, how: dict[str, Any]) -> None:
    assert found(tmp_path / "a.h5", **how) is None
    same(tmp_path / "a.h5", filters(), PIECES)


def test_a_header_of_the_user_s(tmp_path: Path) -> None:
    for how in ({}, {"chunks": (8192, 3, 3)}):
        found(tmp_path / "a.h5", userblock=8192, **how)
        same(tmp_path / "a.h5", filters(), PIECES)


def test_filters_kept_in_another_file(tmp_path: Path) -> None:
    path, data = tmp_path / "a.h5", filters()
    with h5py.File(path, "w") as file:
        node = file.create_dataset(
            "filters",
            data.shape,
            "float32",
            external=[(str(tmp_path / "a.raw"), 0, data.nbytes)],
        )
        node[...] = data
    same(path, data, PIECES)


def test_what_is_written_to_them_does_not_reach_the_file(tmp_path: Path) -> None:
    extents = found(tmp_path / "a.h5")
    assert extents is not None
    extents.view(0, 100)[:] = 7
    same(tmp_path / "a.h5", filters(), PIECES)


def test_a_file_that_is_cut_short_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5"
    extents = found(path)
    assert extents is not None
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    monkeypatch.setattr("convlens.filterdb.reading._opened", lambda *_: (None, extents))
    reading = Source(str(path), "filters", N, 9).read(PIECES[1:])
    with pytest.raises(filterdb.FilterDBError, match="the file is damaged there"):
        list(reading)
