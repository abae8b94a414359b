"""From models to a file: depths, sources, metadata, and what happens when it fails."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import convlens as cl
from convlens import filterdb
from tests.models import CifarResNet, Reused
from tests.untouched import differences, fingerprint

pytest.importorskip("tables")


class Branches(nn.Module):
    """A stem, two branches of which one is a shortcut, and a last layer; 1 x 1 among them."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(8, 4, 3, padding=1)
        self.shortcut = nn.Conv2d(4, 8, 1)
        self.one = nn.Conv2d(4, 8, 3, padding=1)
        self.two = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.up(self.last(self.shortcut(x) + self.two(self.one(x).relu())))


class Undecided(nn.Module):
    """Cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(4, 4, 3)
        self.first = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.second(x) if x.sum() > -1e9 else x


def depths(db: filterdb.FilterDB) -> dict[str, int]:
    return dict(zip(db.layers["layer"], db.layers["conv_depth"], strict=True))


def test_depth_is_the_rank_in_the_graph(tmp_path: Path) -> None:
    db = filterdb.export(Branches(), tmp_path / "a.h5")
    # stem; shortcut (1 x 1, not stored) beside one; two; last
    assert depths(db) == {"stem": 0, "one": 1, "two": 2, "last": 3}
    assert db.layers["conv_depth_norm"].tolist() == pytest.approx([1, 1 / 3, 2 / 3, 0])
    assert db.layers.set_index("layer")["filters"].to_dict() == {
        "last": 32, "one": 32, "two": 32, "stem": 12
    }  # fmt: skip
    assert "up left out: a transposed convolution" in db.layers["notes"].iloc[0]
    assert db.layers["3x3_filter_share"].iloc[0] == pytest.approx(108 / 140)


def test_depth_by_running_is_the_same(tmp_path: Path) -> None:
    model, x = Branches(), torch.randn(1, 3, 8, 8)
    before = fingerprint(model)
    db = filterdb.export(model, tmp_path / "a.h5", inputs=x)
    assert differences(before, fingerprint(model)) == []
    assert depths(db) == {"stem": 0, "one": 1, "two": 2, "last": 3}


def test_what_cannot_be_traced_is_in_the_order_of_its_modules_and_says_so(tmp_path: Path) -> None:
    db = filterdb.export(Undecided(), tmp_path / "a.h5")
    assert depths(db) == {"second": 0, "first": 1}
    assert "inputs= would help" in db.layers["notes"].iloc[0]
    db = filterdb.export(Undecided(), tmp_path / "b.h5", inputs=torch.randn(1, 3, 8, 8))
    assert depths(db) == {"second": 1, "first": 0}


def test_onnx_gives_what_the_module_gives(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    model = Branches()
    weights = {name: cast(Any, m).weight.detach().numpy() for name, m in model.named_children()}

    def conv(name: str, x: str, y: str, **attributes: Any) -> Any:
        return helper.make_node("Conv", [x, f"{name}.weight"], [y], name=name, **attributes)

    nodes = [
        conv("stem", "x", "a", pads=[1] * 4),
        conv("one", "a", "b", pads=[1] * 4),
        helper.make_node("Relu", ["b"], ["c"]),
        conv("two", "c", "d", pads=[1] * 4, group=2),
        conv("shortcut", "a", "e"),
        helper.make_node("Add", ["d", "e"], ["f"]),
        conv("last", "f", "y", pads=[1] * 4),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "branches",
        [value("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [value("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, f"{n}.weight") for n, w in weights.items() if n != "up"],
    )
    made = helper.make_model(
        graph, producer_name="test", opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.save(made, tmp_path / "branches.onnx")
    db = filterdb.export(tmp_path / "branches.onnx", tmp_path / "a.h5")
    assert depths(db) == {"stem": 0, "one": 1, "two": 2, "last": 3}
    for row, name in db.layers["layer"].items():
        assert (db.read(int(str(row))) == weights[name].reshape(-1, 3, 3)).all()
    about = db.models.iloc[0]
    assert (about["producer"], about["op_set"], about["Conv"], about["Add"]) == ("test", 17, 5, 1)
    onnx.save(made, tmp_path / "apart.onnx", save_as_external_data=True, location="w.bin",
              size_threshold=0)  # fmt: skip
    apart = filterdb.export(tmp_path / "apart.onnx", tmp_path / "b.h5")
    assert (apart.read(0) == db.read(0)).all()
    (tmp_path / "w.bin").unlink()
    with pytest.raises(filterdb.FilterDBError, match=r"apart\.onnx keeps its weights in 'w\.bin'"):
        filterdb.export({"again": tmp_path / "apart.onnx"}, tmp_path / "b.h5")


def test_files_and_factories(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    model = CifarResNet(1)
    torch.save(model.state_dict(), tmp_path / "plain.pt")
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, tmp_path / "training.ckpt")
    safetensors.save_file(model.state_dict(), tmp_path / "tensors.safetensors")
    db = filterdb.export(
        [
            model,
            model.state_dict(),
            tmp_path / "plain.pt",
            tmp_path / "training.ckpt",
            str(tmp_path / "tensors.safetensors"),
            filterdb.CheckpointOf(tmp_path / "plain.pt", lambda: CifarResNet(1)),
        ],
        tmp_path / "a.h5",
    )
    assert db.models["Name"].tolist() == [
        "CifarResNet", "state dict", "plain", "training", "tensors", "plain (2)"
    ]  # fmt: skip
    assert db.models["sha256"].iloc[:4].nunique() == 1
    assert db.models["sha256"].iloc[5] == db.models["sha256"].iloc[0]
    random = torch.random.get_rng_state()
    filterdb.export({"x": filterdb.CheckpointOf(tmp_path / "plain.pt", lambda: CifarResNet(1))},
                    tmp_path / "b.h5")  # fmt: skip
    assert (torch.random.get_rng_state() == random).all()


def test_weights_as_they_are_used(tmp_path: Path) -> None:
    model = Reused()
    prune.l1_unstructured(model.stem, "weight", 0.5)
    model.twice.half()
    db = filterdb.export(model, tmp_path / "a.h5")
    rows = {name: int(str(row)) for row, name in db.layers["layer"].items()}
    assert set(rows) == {"twice", "stem"}  # unused is 1 x 1; twice is in once
    assert (db.read(rows["stem"]) == model.stem.weight.detach().numpy().reshape(-1, 3, 3)).all()
    assert (db.read(rows["stem"]) == 0).mean() == pytest.approx(0.5)


def test_it_appends_and_skips_what_is_there(tmp_path: Path) -> None:
    one, other = CifarResNet(1), CifarResNet(1)
    path = tmp_path / "a.h5"
    db = filterdb.export({"one": one}, path)
    n, digest = db.n, path.read_bytes()
    assert filterdb.export({"one": one}, path).n == n
    assert path.read_bytes() == digest
    db = filterdb.export({"one": one, "other": other}, path, {"one": {}, "other": {"Task": "x"}})
    assert db.n == 2 * n
    assert db.models["Task"].tolist()[1] == "x"
    with pytest.raises(cl.ArgumentError, match="with other filters"):
        filterdb.export({"one": other}, path)
    with pytest.raises(cl.ArgumentError, match="give this one another name"):
        filterdb.export({"one": one}, path, existing="error")
    assert filterdb.export({"one": one}, path, existing="add").n == 3 * n


def test_other_kernel_sizes_go_into_files_of_their_own(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 5), nn.Conv2d(4, 4, (1, 7)))
    assert filterdb.export(model, tmp_path / "5.h5", kernel=5).n == 16
    assert filterdb.export(model, tmp_path / "17.h5", kernel=(1, 7)).kernel == (1, 7)
    with pytest.raises(cl.ArgumentError, match="its convolutions are 1 x 7, 3 x 3, 5 x 5"):
        filterdb.export(model, tmp_path / "7.h5", kernel=7)
    assert not (tmp_path / "7.h5").exists()
    with pytest.raises(filterdb.FilterDBError, match="holds filters of 5 x 5"):
        filterdb.export(model, tmp_path / "5.h5")


def test_a_disk_that_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    filterdb.export({"first": CifarResNet(1)}, path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("convlens.filterdb.journal.os.fsync", full)
    with pytest.raises(filterdb.FilterDBError, match=r"disk is full.*holds 1 of the 2 models"):
        filterdb.export({"first": _same(path), "second": CifarResNet(1)}, path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert len(filterdb.open(path).models) == 1


def _same(path: Path) -> Any:
    """A state dict with the filters that the file has."""
    db = filterdb.open(path)
    shapes = zip(db.layers.index, db.layers["outputs"], db.layers["inputs"], strict=True)
    return {
        f"{row}.weight": torch.from_numpy(db.read(row)).reshape(out, into, 3, 3)
        for row, out, into in shapes
    }


KILLED = """
import sys, torch
sys.path.insert(0, {root!r})
from convlens import filterdb
from tests.models import CifarResNet
def made(number):
    torch.manual_seed(number)
    return CifarResNet(1)
filterdb.export({{f"net {{n}}": lambda n=n: made(n) for n in range(400)}}, {path!r})
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_killed_export_leaves_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    root = str(Path(__file__).parents[2])
    for _ in range(2):
        code = KILLED.format(root=root, path=str(path))
        before = path.stat().st_size if path.exists() else 0
        process = subprocess.Popen([sys.executable, "-c", code])
        end = time.monotonic() + 60
        while time.monotonic() < end and (path.stat().st_size if path.exists() else 0) <= before:
            time.sleep(0.02)
        time.sleep(0.15)
        process.send_signal(signal.SIGKILL)
        process.wait()
        db = filterdb.open(path)
        assert 0 < len(db.models) < 400
        torch.manual_seed(0)
        first = next(m.weight for m in CifarResNet(1).modules() if isinstance(m, nn.Conv2d))
        assert (db.read(0) == first.detach().numpy().reshape(-1, 3, 3)).all()
        assert np.isfinite(db.pca().components).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: filterdb.export({}, p), "models is empty"),
        (lambda p: filterdb.export(CifarResNet, p), "has no convolution|class CifarResNet"),
        (lambda p: filterdb.export(nn.Linear(2, 2), p), "no convolution of 3 x 3"),
        (lambda p: filterdb.export(p.parent / "none.pt", p), "There is no file"),
        (lambda p: filterdb.export(p.parent, p), "ends in none of"),
        (lambda p: filterdb.export(CifarResNet(1), p, kernel=0), "kernel must be a size"),
        (
            lambda p: filterdb.export(CifarResNet(1), p, {"filter_ids": 1}),
            "cannot set 'filter_ids'",
        ),
        (lambda p: filterdb.export(CifarResNet(1), p, {"other": {}}), "says nothing of"),
        (lambda p: filterdb.export(CifarResNet(1), p, existing="maybe"), "existing must be"),
        (lambda p: filterdb.export(CifarResNet(1), p / "no" / "such"), "no folder"),
    ],
)
def test_bad_arguments(tmp_path: Path, call: Any, said: str) -> None:
    with pytest.raises(cl.ConvlensError, match=said):
        call(tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()


def test_files_that_are_none(tmp_path: Path) -> None:
    for name in ("a.pt", "a.safetensors", "a.onnx"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(filterdb.FilterDBError, match=name):
            filterdb.export(tmp_path / name, tmp_path / "a.h5")
    torch.save(nn.Conv2d(3, 3, 3), tmp_path / "module.pt")
    with pytest.raises(filterdb.FilterDBError, match="more than tensors"):
        filterdb.export(tmp_path / "module.pt", tmp_path / "a.h5")


def test_stopped_between_two_models(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    models = {"one": CifarResNet(1), "two": CifarResNet(1)}
    with pytest.raises(cl.Cancelled):
        filterdb.export(models, path, progress=lambda job: job.done < 1)
    assert filterdb.open(path).models["Name"].tolist() == ["one"]
    assert filterdb.export(models, path).models["Name"].tolist() == ["one", "two"]
    assert not (tmp_path / "a.h5.lock").exists()


def test_what_was_read_before_another_process_added_to_it(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    db = filterdb.export({"one": CifarResNet(1)}, path)
    db.read(0)
    root = str(Path(__file__).parents[2])
    code = KILLED.format(root=root, path=str(path)).replace("range(400)", "range(1)")
    subprocess.run([sys.executable, "-c", code], check=True)
    again = filterdb.open(path)
    assert again.models["Name"].tolist() == ["one", "net 0"]
    assert again.pca().n == 2 * db.n
