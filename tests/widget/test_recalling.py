"""The history that the front end's slider asks for: whole, then what is new, never much."""

from __future__ import annotations

import base64
import json
import time

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from convlens.errors import ArgumentError
from convlens.history import FIGURES
from convlens.widget import recalling


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten())


@pytest.fixture
def images():
    return torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def shrink(model):
    with torch.no_grad():
        model[0].weight.mul_(0.9)


def values_of(reply, name="values"):
    specs = reply["header"]["arrays"]
    index = [spec["name"] for spec in specs].index(name)
    found = np.frombuffer(reply["buffers"][index], np.float32)
    return found.reshape(specs[index]["shape"])


def test_the_front_end_is_told_and_asks_for_what_is_new(page, open_lens, model, images):
    lens = open_lens(model, images)
    assert page.state["_taken"] == 0
    for label in ("start", "", "end"):
        lens.snapshot(label, cka=True)
        shrink(model)
    page.wait(lambda page: page.state["_taken"] >= 1)
    whole = page.ask("history", since=-1)
    header = whole["header"]
    assert header["moments"] == [[0, 0, "start"], [1, 1, ""], [2, 2, "end"]]
    assert header["layers"] == ["0", "2"]
    assert header["figures"] == [*FIGURES, "cka_first"]
    for column, name in enumerate(FIGURES):
        np.testing.assert_array_equal(values_of(whole)[..., column], lens.history.figure(name))
    np.testing.assert_array_equal(values_of(whole)[..., -1], lens.history.cka("first"))
    last = page.ask("history_last")
    assert last["header"]["numbers"] == [0, 1, 2]
    np.testing.assert_array_equal(values_of(last), lens.history.cka("last"))

    lens.snapshot("more")
    fresh = page.ask("history", since=2)
    assert [number for number, *_ in fresh["header"]["moments"]] == [0, 1, 2, 3]
    assert fresh["header"]["layers"] == []
    np.testing.assert_array_equal(values_of(fresh)[..., 0], lens.history.figure("sparsity")[3:])


def test_before_the_first_snapshot_there_is_nothing(page, open_lens, model):
    open_lens(model)
    assert page.ask("history", since=-1)["header"]["moments"] == []
    assert page.ask("history_last")["header"]["numbers"] == []


def test_messages_are_bounded_and_few(page, open_lens, model, monkeypatch):
    lens = open_lens(model)
    told = []
    publish = page.publish

    def count(data, buffers):
        if data.get("method") == "update" and "_taken" in data["state"]:
            told.append(data["state"]["_taken"])
        publish(data, buffers)

    monkeypatch.setattr(page, "publish", count)
    start = time.monotonic()
    with lens.recording(every=1, limit=5000) as recorder:
        for _ in range(600):
            recorder.count()
    assert len(lens.history) == 601
    page.wait(lambda page: page.state["_taken"] == 601)
    # one of each half a second, and the one after the loop
    assert len(told) <= 4 * (time.monotonic() - start) + 2
    assert not [m for m in page.messages if m["id"] is None]
    whole = page.ask("history", since=-1)
    moments = whole["header"]["moments"]
    assert len(moments) <= recalling.MOST_MOMENTS
    assert [moments[0][1], moments[-1][1]] == [0, 600]
    assert values_of(whole).shape[0] == len(moments)
    known = {number for number, *_ in moments}
    lens.snapshot()
    later = page.ask("history", since=max(known))
    assert {number for number, *_ in later["header"]["moments"]} <= known | {601}
    assert values_of(later).shape[0] == 1


def test_a_step_that_is_chosen_is_among_those_sent(page, open_lens, model):
    lens = open_lens(model)
    with lens.recording(every=1, limit=5000) as recorder:
        for _ in range(500):
            recorder.count()
    sent = {step for _, step, _ in page.ask("history", since=-1)["header"]["moments"]}
    hidden = next(step for step in range(500) if step not in sent)
    lens.step = hidden
    assert hidden in {s for _, s, _ in page.ask("history", since=-1)["header"]["moments"]}


@pytest.mark.parametrize(("layers", "keeps"), [(4, True), (160, False)])
def test_what_a_notebook_keeps_is_small(page, open_lens, monkeypatch, layers, keeps):
    monkeypatch.setattr("convlens.widget.following._MOST_SAVED", 280_000)  # of any bundle
    net = nn.Sequential(*(nn.Conv2d(2, 2, 3) for _ in range(layers)))
    lens = open_lens(net)
    with lens.recording(every=1, limit=100) as recorder:
        for _ in range(12):
            recorder.count()
    page.wait(lambda page: page.state["_past"].get("taken") == 13)
    page.ask("quality", eps=0.01)  # whose summary is saved too
    saved = sum(len(json.dumps(value, default=str)) for value in lens.get_state().values())
    past = page.state["_past"]
    if not keeps:
        assert past == {"taken": 13}
        return
    assert saved < 280_000
    assert len(json.dumps(past)) < 33_000
    values = np.frombuffer(base64.b64decode(past["values"]), np.float32)
    kept = values.reshape(len(past["moments"]), layers, len(past["figures"]))
    place = past["figures"].index("sparsity")
    steps = [step for _, step, _ in past["moments"]]
    assert [steps[0], steps[-1]] == [0, 12]
    np.testing.assert_array_equal(kept[..., place], lens.history.figure("sparsity")[steps])


def test_what_is_kept_fits_into_the_room_there_is(open_lens):
    lens = open_lens(nn.Sequential(*(nn.Conv2d(2, 2, 3) for _ in range(20))))
    for step in range(60):
        lens.snapshot("label " * 5, step)
    for room in (32_000, 9_000, 1_500, 200, -5):
        kept = lens._recalling.saved(room)
        assert len(json.dumps(kept)) <= max(room, 2)
        assert bool(kept) == (room > 1_000)


def test_step_is_read_set_and_refused(page, open_lens, model):
    lens = open_lens(model)
    assert lens.step is None
    with pytest.raises(ArgumentError, match="no snapshots yet"):
        lens.step = 0
    with lens.recording(every=2) as recorder:
        for _ in range(4):
            recorder.count(2)
            shrink(model)
    lens.snapshot("end")
    for step in (2, np.int64(4), "end", None, 0):
        lens.step = step
        assert lens.step == step
    for wrong, said in ((3, "nearest is 2"), ("ende", "'end'"), (1.5, "1.5"), (True, "True")):
        with pytest.raises(ArgumentError, match=said):
            lens.step = wrong
    assert lens.step == 0
    page.set(step=2)
    assert lens.step == 2
    page.set(step=None)
    assert lens.step is None


def test_the_result_at_a_step_is_that_of_the_history(open_lens, model):
    lens = open_lens(model)
    lens.snapshot()
    shrink(model)
    lens.snapshot()
    lens.step = 0
    frame = lens.result()
    assert frame.loc["0", "l2"] > cl.measure_quality(model)["0"].l2
    lens.view = "filters"
    assert isinstance(lens.result(), cl.Filters)
    lens.view, lens.step = "quality", None
    assert isinstance(lens.result(), cl.Quality)


def test_a_step_that_goes_stands_for_the_nearest(page, open_lens, model):
    lens = open_lens(model)
    with lens.recording(every=1, limit=8) as recorder:
        for _ in range(3):
            recorder.count()
        lens.step = 1
        for _ in range(40):
            recorder.count()
        kept = [s.step for s in lens.history.snapshots]
        assert 1 not in kept
        assert lens.step in kept
        page.set(step=1)
        assert lens.step == min(kept, key=lambda step: abs(step - 1))


def test_the_page_that_works_offline_has_it(open_lens, model, images, tmp_path):
    lens = open_lens(model, images)
    page = lens.to_html(tmp_path / "none.html").read_text("utf-8")
    assert '"_taken": 0' in page
    for _ in range(3):
        lens.snapshot(cka=True)
        shrink(model)
    lens.step = 1
    from convlens.widget.html import record

    found = record(lens, 10**6)
    assert found["traits"]["_taken"] == 3
    assert found["traits"]["step"] == 1
    assert len(found["replies"]['history {"since":-1}']["header"]["moments"]) == 3
    assert found["replies"]["history_last {}"]["header"]["numbers"] == [0, 1, 2]


def test_the_thinned_history_has_a_bound(open_lens, monkeypatch):
    monkeypatch.setattr(recalling, "MOST_BYTES", 20_000)
    net = nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(50)))
    lens = open_lens(net)
    with lens.recording(every=1) as recorder:
        for _ in range(40):
            recorder.count()
    [(_, _, (header, arrays))] = list(lens._recalling.answers())
    assert arrays["values"].nbytes <= recalling.MOST_BYTES
    assert len(header["moments"]) < 40


def test_cka_is_taken_of_what_the_model_takes_of_a_batch(open_lens, model, images):
    batch = {"pixels": images, "name": ["x"] * len(images)}
    lens = open_lens(model, batch, inputs_from="pixels")
    assert lens.layers.keys() == ("0", "2")
    lens.snapshot(cka=True)
    np.testing.assert_allclose(lens.history.cka("first"), 1, rtol=1e-6)
