"""One file that holds a Lens; that it draws is for tests/browser to see."""

import base64
import gzip
import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from convlens.errors import ArgumentError
from convlens.widget.html import record
from convlens.widget.jobs import model_lock


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 4, 1))


def data_of(page, name):
    """What a browser's JSON.parse(element.textContent) gives."""
    found = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    assert len(found) == 1
    return json.loads(found[0])


def array_of(reply, name):
    index = [spec["name"] for spec in reply["header"]["arrays"]].index(name)
    raw = gzip.decompress(base64.b64decode(reply["buffers"][index]))
    spec = reply["header"]["arrays"][index]
    return np.frombuffer(raw, spec["dtype"]).reshape(spec["shape"])


def test_page_holds_quality_and_filters_of_every_layer(open_lens, model, tmp_path):
    lens = open_lens(model, layer="2", eps=0.05, view="filters")
    path = lens.to_html(tmp_path / "lens.html")
    recording = data_of(path.read_text("utf-8"), "recording")
    traits = recording["traits"]
    assert (traits["layer"], traits["eps"], traits["view"]) == ("2", 0.05, "filters")
    assert traits["_structure"]["offline"] is True
    assert [row["key"] for row in traits["_summary"]["rows"]] == ["0", "2", "3"]
    assert all(row["curve"] for row in traits["_summary"]["rows"])
    weights = array_of(recording["replies"]['filters {"layer":"2","start":0}'], "weights")
    np.testing.assert_array_equal(weights.reshape(16, 8, 3, 3), model[2].weight.detach())
    for key in ("0", "2", "3"):
        assert f'distribution {{"layer":"{key}"}}' in recording["replies"]
        assert f'cluster {{"layer":"{key}","start":0}}' in recording["replies"]


def test_selected_layer_comes_first_where_not_all_fit(open_lens, model):
    lens = open_lens(model, layer="2")
    replies = record(lens, 4 * model[2].weight.numel())["replies"]
    assert [key for key in replies if key.startswith("filters")] == [
        'filters {"layer":"2","start":0}'
    ]


def test_every_page_of_a_huge_layer_is_recorded(open_lens, monkeypatch):
    monkeypatch.setattr("convlens.widget.answers.PAGE_WEIGHTS", 100)
    lens = open_lens(nn.Linear(30, 10))
    starts = [
        reply["header"]["start"]
        for key, reply in record(lens, 10**6)["replies"].items()
        if key.startswith("filters")
    ]
    assert starts == [0, 3, 6, 9]


def test_markup_in_names_stays_text(open_lens, tmp_path):
    name = "</script><script>alert(1)</script>"
    net = nn.Sequential()
    net.add_module(name.replace(".", ""), nn.Conv2d(3, 8, 3))
    path = open_lens(net, name=f"{name} \u2028 'x' \"y\"").to_html(tmp_path / "lens.html")
    page = path.read_text("utf-8")
    assert "<script>alert" not in page
    recording = data_of(page, "recording")
    assert recording["traits"]["layer"] == name
    assert name in recording["traits"]["_structure"]["model"]["title"]


def test_page_names_no_address(open_lens, model, tmp_path):
    page = open_lens(model).to_html(tmp_path / "lens.html").read_text("utf-8")
    fetched = re.findall(r"""(?:src|href|import|url)\s*[=(]\s*["']?https?:""", page)
    assert fetched == []


def test_nan_layer_leaves_the_others_in_the_page(open_lens, model):
    nn.init.constant_(model[0].weight, float("nan"))
    replies = record(open_lens(model), 10**6)["replies"]
    assert 'filters {"layer":"2","start":0}' in replies


def test_what_was_computed_is_read_while_the_model_is_held(open_lens, model, monkeypatch):
    lens = open_lens(model)
    free = []

    def computed():
        with ThreadPoolExecutor(1) as other:
            free.append(other.submit(model_lock(model).acquire, blocking=False).result())
            yield "preflight", {"layer": "2"}, ({}, {})
            free.append(other.submit(model_lock(model).acquire, blocking=False).result())

    monkeypatch.setattr(lens, "computed", computed)
    assert 'preflight {"layer":"2"}' in record(lens, 0)["replies"]
    assert free == [False, False]


def test_missing_folder_is_refused_and_nothing_is_written(open_lens, model, tmp_path):
    with pytest.raises(ArgumentError, match="no folder"):
        open_lens(model).to_html(tmp_path / "nowhere" / "lens.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [-1, float("nan"), "8", True])
def test_wrong_size_is_refused(open_lens, model, tmp_path, size):
    with pytest.raises(ArgumentError, match="max_mb"):
        open_lens(model).to_html(tmp_path / "lens.html", max_mb=size)


def test_failure_leaves_the_old_page(open_lens, model, tmp_path, monkeypatch):
    lens = open_lens(model)
    path = lens.to_html(tmp_path / "lens.html")
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="disk full"):
        lens.to_html(path)
    assert path.read_bytes() == before
