"""Files as others have written them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from convlens import filterdb
from tests.filterdb import direct, files

pytest.importorskip("tables")


def check(db: filterdb.FilterDB, data: Any) -> None:
    """It holds the frame of `files.frame` and these filters."""
    expected = files.frame().reset_index()
    found = db.layers
    for name in expected.columns:
        if name == "filter_ids":
            continue
        assert found[name].tolist() == pytest.approx(expected[name].tolist(), nan_ok=True), name
    assert found["filters"].tolist() == list(files.SIZES)
    start = 0
    for row, size in enumerate(files.SIZES):
        assert (db.read(row) == data[start : start + size]).all()
        start += size


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("format", ["table", "fixed"])
@pytest.mark.parametrize("name", ["filters", "filter"])
@pytest.mark.parametrize("flat", [True, False])
def test_every_layout(tmp_path: Path, dtype: str, format: str, name: str, flat: bool) -> None:
    data = files.filters().astype(dtype)
    stored = data.reshape(-1, 9) if flat else data
    path = files.write(tmp_path / "a.h5", stored, name=name, format=format)
    check(filterdb.open(path), data)


@pytest.mark.parametrize(
    "how",
    [
        {"chunks": (100, 3, 3)},
        {"chunks": (100, 3, 3), "compression": "gzip", "shuffle": True},
        {"chunks": (64, 3, 3), "maxshape": (None, 3, 3), "compression": "lzf"},
    ],
)
def test_chunked_and_compressed(tmp_path: Path, how: dict[str, Any]) -> None:
    data = files.filters()
    check(filterdb.open(files.write(tmp_path / "a.h5", data, **how)), data)


def test_csv_in_bytes(tmp_path: Path) -> None:
    """As the published notebook of CNN Filter DB reads /meta."""
    text = files.frame().reset_index().to_csv(index=False).encode()
    check(filterdb.open(files.write(tmp_path / "a.h5", meta=text)), files.filters())


def test_frames_without_an_index_of_names(tmp_path: Path) -> None:
    for kind in ("table", "fixed"):
        path = files.write(tmp_path / f"{kind}.h5", meta=files.frame().reset_index(), format=kind)
        check(filterdb.open(path), files.filters())


def test_old_names_of_columns(tmp_path: Path) -> None:
    meta = files.frame(Datatype=["natural"] * 5)
    db = filterdb.open(files.write(tmp_path / "a.h5", meta=meta))
    assert db.models["Visual Category"].tolist() == ["natural", "natural"]


def test_dates_missing_text_and_many_columns(tmp_path: Path) -> None:
    dates = pd.date_range("2021-01-01", periods=5)
    extra = {f"Operator {number}": np.arange(5) + number for number in range(40)}
    meta = files.frame(Made=dates, Paper=["a", None, "c", "d", None], **extra)
    for kind in ("table", "fixed"):
        db = filterdb.open(files.write(tmp_path / f"{kind}.h5", meta=meta, format=kind))
        assert db.layers["Paper"].isna().tolist() == [False, True, False, False, True]
        assert db.layers["Operator 7"].tolist() == list(range(7, 12))
        assert pd.to_datetime(db.layers["Made"]).tolist() == dates.tolist()


def test_filter_ids_as_lists_in_a_pickled_column(tmp_path: Path) -> None:
    ends = np.cumsum(files.SIZES)
    runs = [np.arange(end - size, end) for end, size in zip(ends, files.SIZES, strict=True)]
    ids = np.empty(5, dtype=object)
    ids[:] = [run.tolist() for run in runs]
    path = files.write(tmp_path / "a.h5", meta=files.frame(filter_ids=ids), format="fixed")
    check(filterdb.open(path), files.filters())


def test_pandas_reads_what_export_writes(tmp_path: Path) -> None:
    import convlens as cl

    about = {"Task": "digits", "Paper": None, "Accuracy": 0.98, "Year": 2026, "Open": True}
    db = filterdb.export({"good": cl.demo.load().model}, tmp_path / "a.h5", about)
    frame: Any = pd.read_hdf(db.path, "meta")
    assert list(frame.index.names) == ["model_id", "conv_depth", "conv_depth_norm"]
    assert frame["filter_ids"].iloc[:2].tolist() == ["0:11", "12:155"]
    assert frame["Accuracy"].tolist() == [0.98] * len(frame)
    assert frame["Open"].dtype == bool
    assert frame["Paper"].tolist() == [""] * len(frame)
    with h5py.File(db.path) as file:
        node: Any = file["filters"]
        assert node.shape == (db.n, 3, 3)
        assert node.dtype == np.float32


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f8", "<f2"])
def test_numbers_of_another_machine(tmp_path: Path, dtype: str) -> None:
    data = files.filters().astype(dtype)
    db = filterdb.open(files.write(tmp_path / "a.h5", data))
    expected = direct.pca(data.astype(np.float64))
    assert np.abs(db.pca().components - direct.signed(expected.components_)).max() < 1e-8
    assert (db.read(1) == data[48:304]).all()
