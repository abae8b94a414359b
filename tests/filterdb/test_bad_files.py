"""Files that are damaged, of another layout, or hold what cannot be measured."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

import convlens as cl
from convlens import filterdb
from tests.filterdb import direct, files

pytest.importorskip("tables")


def refused(path: Path, said: str) -> None:
    with pytest.raises(filterdb.FilterDBError, match=said) as caught:
        filterdb.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("filters", encoding="utf-8")
    refused(path, "is no HDF5 file")
    path.write_bytes(b"")
    refused(path, "it is empty")
    path.write_bytes(b"\xfd7zXZ\x00" + bytes(100))
    refused(path, "unpack it first")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")
    refused(path, "PyTorch checkpoint")
    refused(tmp_path, "is a folder")


def test_cut_short(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "cut short")


def test_missing_groups(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.h5", name="weights")
    refused(path, "neither /filters nor /filter: it holds /meta, /weights")
    path = files.write(tmp_path / "b.h5")
    with h5py.File(path, "r+") as file:
        del file["meta"]
    refused(path, "no /meta")
    path = files.write(tmp_path / "c.h5", meta=files.frame().drop(columns="filter_ids"))
    refused(path, "lacks filter_ids")


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["0:47", "48:303", "304:310", "311:311", "312:824"], "row 4 .* is '312:824'"),
        (["0:47", "48:303", "300:310", "311:311", "312:823"], "rows 1 and 2 .* overlap"),
        (["0:47", "48:303", "0:823", "311:311", "312:823"], "overlap"),
        (["0:47", "48:303", "-7:310", "311:311", "312:823"], "row 2"),
        (["0:47", "48:303", "310:304", "311:311", "312:823"], "row 2 .* should be 'start:end'"),
        (["0:47", "48:303", "all of it", "311:311", "312:823"], "should be 'start:end'"),
    ],
)
def test_ids_that_cannot_be(tmp_path: Path, ids: list[str], said: str) -> None:
    refused(files.write(tmp_path / "a.h5", meta=files.frame(filter_ids=ids)), said)


def test_filters_that_no_layer_claims_are_told(tmp_path: Path) -> None:
    ids = ["0:47", "48:303", "304:310", "311:311", "400:823"]
    db = filterdb.open(files.write(tmp_path / "a.h5", meta=files.frame(filter_ids=ids)))
    assert db.notes == ("88 filters belong to no layer",)
    assert db.n == 824 - 88


def test_what_are_no_filters(tmp_path: Path) -> None:
    refused(files.write(tmp_path / "a.h5", np.zeros((824, 9), np.int8)), "holds int8")
    refused(
        files.write(tmp_path / "d.h5", np.zeros((824, 9), np.longdouble)), "holds float|holds >f"
    )
    refused(files.write(tmp_path / "b.h5", np.zeros((824, 10), np.float32)), "shape")
    refused(files.write(tmp_path / "c.h5", np.zeros(824, np.float32)), "shape")


@pytest.mark.parametrize("enough", [0, 1 << 30])
def test_nan_filters_are_counted_and_left_out(
    tmp_path: Path, enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convlens.filterdb.scan.ENOUGH", enough)  # from which loops are compiled
    data = files.filters()
    data[10, 1, 1] = np.nan
    data[50, 0, 0] = np.inf
    data[311] = np.nan  # all of the fourth layer
    kept = np.delete(data, [10, 50, 311], axis=0)
    db = filterdb.open(files.write(tmp_path / "a.h5", data))
    found, expected = db.pca(), direct.pca(kept)
    assert (found.n, found.left_out) == (821, 3)
    assert np.abs(found.components - direct.signed(expected.components_)).max() < 1e-8
    coefficients = db.coefficients()
    assert coefficients.n.tolist() == [47, 255, 7, 0, 512]
    drift = db.drift(by="layer")
    assert np.isnan(drift.matrix[3]).all()
    assert "1 groups hold no finite filter" in drift.notes
    assert np.isfinite(np.delete(np.delete(drift.matrix, 3, 0), 3, 1)).all()
    quality = db.quality().frame
    assert quality["left_out"].tolist() == [1, 1, 0, 1, 0]
    clean = np.delete(data[:48], 10, axis=0)
    assert quality["variance_entropy"].iloc[0] == pytest.approx(direct.entropy(clean), abs=1e-8)
    assert np.isnan(quality["sparsity"].iloc[3])
    db.phenotype()
    db.summary()


def test_nothing_finite_at_all(tmp_path: Path) -> None:
    data = np.full((824, 3, 3), np.nan, np.float32)
    db = filterdb.open(files.write(tmp_path / "a.h5", data))
    with pytest.raises(cl.ArgumentError, match=r"none \(824 hold NaN"):
        db.pca()


def test_all_filters_alike(tmp_path: Path) -> None:
    data = np.full((824, 3, 3), 0.3, np.float32)
    db = filterdb.open(files.write(tmp_path / "a.h5", data))
    assert db.pca().explained_variance.max() < 1e-20
    assert db.quality().frame["variance_entropy"].tolist() == [0.0] * 5
    assert (db.drift(by="layer").matrix == 0).all()
    zero = filterdb.open(files.write(tmp_path / "b.h5", np.zeros((824, 3, 3), np.float32)))
    assert zero.quality().frame["sparsity"].tolist() == [1.0] * 5


def test_one_filter_groups(tmp_path: Path) -> None:
    db = filterdb.open(files.write(tmp_path / "a.h5"))
    drift = db.drift(by="layer")
    assert drift.n_rows.tolist() == list(files.SIZES)
    assert drift.floor[3, 0] > 5  # a single filter tells nothing, and the floor says so
    assert drift.is_noise[3, 2]
    with pytest.raises(cl.ArgumentError, match="at least 2 filters, and there is 1"):
        db.select("filters == 1").pca()


def test_an_empty_selection(tmp_path: Path) -> None:
    db = filterdb.open(files.write(tmp_path / "a.h5"))
    for call, said in (
        (lambda: db.select("Year > 3000"), "No layer meets"),
        (lambda: db.select(Task="Clasification"), "Did you mean 'Classification'"),
        (lambda: db.select(Tsk="x"), "Did you mean 'Task'"),
        (lambda: db.select("Tsk == 1"), "cannot be answered"),
        (lambda: db.group_by("Tsk"), "Did you mean 'Task'"),
        (lambda: db.drift(by="Name", against="resnot"), "Did you mean 'resnet'"),
        (lambda: db.drift(against=3), "against must be"),
        (lambda: db.coefficients(bins=1), "bins must be"),
        (lambda: db.coefficients(span=(1, 0)), "low < high"),
        (lambda: db.pca(workers=0), "workers must be"),
        (lambda: db.pca(device="tpu9"), "device 'tpu9' cannot be used"),
        (lambda: db.begin("drft"), "Did you mean 'drift'"),
        (lambda: db.quality(eps=2), "eps must lie"),
        (lambda: db.read(99), "no layer 99"),
        (lambda: db.pca(client=3), "client must be"),
    ):
        with pytest.raises(cl.ArgumentError, match=said):
            cast_call(call)


def cast_call(call: Any) -> None:
    call()


def test_selecting_and_grouping(tmp_path: Path) -> None:
    db = filterdb.open(files.write(tmp_path / "a.h5"))
    assert db.select("Task == 'Segmentation'").layers["filters"].tolist() == [1, 512]
    assert db.select(Name=["vgg"]).n == 513
    assert len(db.select("conv_depth_norm < 0.6", Name="resnet")) == 2
    assert {name: part.n for name, part in db.group_by("Task").items()} == {
        "Classification": 311,
        "Segmentation": 513,
    }
    assert list(db.group_by("conv_depth_norm", bins=2)) == ["0 to 0.5", "0.5 to 1"]
    assert list(db.group_by("Accuracy")) == ["0.5", "not said"]
    assert isinstance(db.models, pd.DataFrame)
    assert db.models["layers"].tolist() == [3, 2]


def test_a_damaged_chunk_is_said_to_be_one(tmp_path: Path) -> None:
    data = files.filters((200_000,))
    path = files.write(
        tmp_path / "a.h5", data, files.frame((200_000,)), chunks=(50_000, 3, 3), fletcher32=True
    )
    with h5py.File(path) as file:
        node: Any = file["filters"]
        where = node.id.get_chunk_info(2).byte_offset
    with path.open("r+b") as raw:
        raw.seek(where + 1000)
        raw.write(b"damaged")
    with pytest.raises(filterdb.FilterDBError, match="the file is damaged there"):
        filterdb.open(path).pca()
