"""Drift from the front end: measured, kept, stopped, read back; what a Lens takes as database."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from convlens.errors import ArgumentError, ConvlensError
from convlens.filterdb.plots import smoothed
from convlens.widget import drifted, drifting
from tests.untouched import differences, fingerprint
from tests.widget.test_lens import arrays


class Net(nn.Module):
    """Two convolutions of 3 x 3, one of 1 x 1, one transposed, and one that runs twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.again = nn.Conv2d(16, 16, 3, padding=1)
        self.point = nn.Conv2d(16, 4, 1)
        self.up = nn.ConvTranspose2d(4, 4, 3)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        x = self.again(self.again(self.first(x)).relu())
        return self.last(self.up(self.point(x)).mean((2, 3)))


ASKED = {"against": "shipped", "group": "all"}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def database(tmp_path):
    pytest.importorskip("tables")
    nets = {name: cl.demo.load(name).model for name in cl.demo.VARIANTS}
    return cl.filterdb.export(nets, tmp_path / "digits.h5")


def test_figures_are_those_of_the_plain_call(open_lens, page, model):
    open_lens(model)
    reply = page.ask("drift", **ASKED)
    expected = cl.filterdb.drift(model)
    header, sent = reply["header"], arrays(reply)
    rows = [*expected.layers, expected.whole]
    assert [row["key"] for row in header["rows"]] == ["first", "again", "all layers"]
    for row, plain in zip(header["rows"], rows, strict=True):
        assert row["drift"] == plain.drift
        assert row["floor_high"] == plain.floor_high
        assert row["noise"] == plain.is_noise
    assert header["rows"][1]["sentences"][0] == f"Your {expected['again'].text}."
    summary = expected.summary
    assert header["about"].startswith(cl.filterdb.shipped().title)
    # densities: as plot_ridges draws them, their integral is nearly 1
    grid = np.linspace(*summary.span, drifted.POINTS)
    again = smoothed(expected.coefficients, 1, 2, grid)
    np.testing.assert_allclose(sent["curves"][1, 2], again, rtol=1e-5)
    integral = sent["others"].sum(-1) * (grid[1] - grid[0])
    np.testing.assert_allclose(integral, 1, atol=0.02)
    np.testing.assert_allclose(sent["components"][0], summary.pca.components, rtol=1e-6)
    assert expected.pca is not None
    np.testing.assert_allclose(sent["components"][1], expected.pca.components, rtol=1e-5)
    # what the components add makes up the whole
    np.testing.assert_allclose(sent["parts"].sum(1), [row.drift for row in rows], rtol=1e-5)


def test_bands_are_those_at_the_depth_of_each_layer(open_lens, page, model):
    open_lens(model)
    reply = page.ask("drift", **ASKED)
    summary = cl.filterdb.shipped()
    for figure, sent in zip(("sparsity", "entropy"), arrays(reply)["bands"], strict=True):
        band = summary.band(figure)
        np.testing.assert_allclose(sent, [band[:, 0], band[:, 5]], rtol=1e-6)


def test_each_layer_is_compared_with_those_at_its_depth(open_lens, page, model):
    open_lens(model)
    reply = page.ask("drift", against="shipped", group="depth")
    expected = cl.filterdb.drift(model, group="depth")
    header = reply["header"]
    assert [row["legend"] for row in header["rows"]] == ["depth 0.0", "depth 0.5", "summary"]
    assert [row["beside"] for row in header["rows"]] == [0, 1, 2]
    assert arrays(reply)["others"].shape == (3, 9, drifted.POINTS)
    np.testing.assert_allclose(
        arrays(reply)["parts"].sum(1)[:-1], [layer.drift for layer in expected.layers], rtol=1e-5
    )


def test_what_is_not_compared_is_listed_with_the_reason(open_lens, page, model):
    images = torch.ones(1, 3, 8, 8)
    lens = open_lens(model, images)
    missing = dict(page.ask("drift", **ASKED)["header"]["missing"])
    listed = [layer.key for layer in lens.layers]
    assert {"again:0", "again:1"} <= set(listed)
    assert missing == {
        "point": "its filters are 1 × 1, not 3 × 3",
        "up": "transposed convolutions are left out, as in CNN Filter DB",
        "last": "Linear: no filters",
    }


def test_a_model_without_such_filters_says_what_it_has(open_lens, page, database):
    lens = open_lens(nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten()), database=database)
    for against in ("shipped", "database"):
        header = page.ask("drift", against=against, group="all")["header"]
        assert header["rows"] == []
        assert header["about"] == "No layer here has filters of 3 × 3 to compare."
        assert header["missing"] == [["0", "its filters are 5 × 5, not 3 × 3"]]
    lens.view = "drift"
    with pytest.raises(ArgumentError, match="no convolution of 3 x 3 to compare"):
        lens.result()


@pytest.mark.parametrize("form", ["path", "text", "open", "summary", "saved"])
def test_database_is_taken_in_every_form(open_lens, page, model, database, tmp_path, form):
    summary = database.summary()
    summary.save(tmp_path / "saved.npz")
    given: Any = {
        "path": database.path,
        "text": str(database.path),
        "open": database,
        "summary": summary,
        "saved": tmp_path / "saved.npz",
    }[form]
    lens = open_lens(model, database=given, view="drift")
    assert lens.drift_against == "database"
    [source] = [s for s in page.state["_structure"]["drift"] if s["name"] == "database"]
    assert (source["title"], source["asks"]) == ("digits.h5", False)
    reply = page.ask("drift", against="database", group="all")
    expected = cl.filterdb.drift(model, summary)
    assert [row["drift"] for row in reply["header"]["rows"][:-1]] == [
        layer.drift for layer in expected.layers
    ]
    assert lens.result().summary.pca.n == summary.pca.n
    assert lens.database is given or not isinstance(given, cl.filterdb.FilterDB | type(summary))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (5, "must be the path of a filter database"),
        ("nothing.h5", "no file 'nothing.h5'"),
        ("nothing.npz", "no file 'nothing.npz'"),
    ],
)
def test_wrong_database_is_refused(model, given, says):
    with pytest.raises(ConvlensError, match=says):
        cl.Lens(model, database=given)


def test_file_that_is_no_database_is_refused(model, tmp_path):
    (tmp_path / "notes.h5").write_text("nothing of the kind")
    with pytest.raises(cl.filterdb.FilterDBError):
        cl.Lens(model, database=tmp_path / "notes.h5")


def test_large_database_waits_to_be_asked_for(open_lens, page, model, database, monkeypatch):
    monkeypatch.setattr(drifting, "_MOST_UNASKED", 1000)
    open_lens(model, database=database)
    asks = {source["name"]: source["asks"] for source in page.state["_structure"]["drift"]}
    assert asks == {"shipped": False, "database": True}


def test_reading_a_database_tells_how_far_it_is_and_is_done_once(
    open_lens, page, model, database, monkeypatch
):
    begun = []
    begin = type(database).begin
    monkeypatch.setattr(
        type(database), "begin", lambda self, *a, **k: begun.append(a) or begin(self, *a, **k)
    )
    open_lens(model, database=database)
    number = page.send("drift", params={"against": "database", "group": "all"})
    assert page.answer(number)["status"] == "ok"
    told = [m["header"] for m in page.messages if m["id"] == number and m["status"] == "progress"]
    assert any(header["total"] for header in told)
    assert page.ask("drift", against="database", group="depth 0.5")["status"] == "ok"
    assert page.ask("refresh")["status"] == "ok"
    assert page.ask("drift", against="database", group="all")["status"] == "ok"
    assert begun == [("summary",)]


def test_stopped_measurement_lets_go_and_can_be_asked_for_again(
    open_lens, page, model, database, monkeypatch
):
    gate, waiting, closed = threading.Event(), threading.Event(), []
    job = drifting.Drifting._job

    def held(self, *arguments):
        found = job(self, *arguments)
        step, close = found.step, found.close
        monkeypatch.setattr(found, "close", lambda: closed.append(1) or close())

        def pause():
            waiting.set()
            assert gate.wait(20)
            return step()

        monkeypatch.setattr(found, "step", pause)
        return found

    monkeypatch.setattr(drifting.Drifting, "_job", held)
    lens = open_lens(model, database=database)
    number = page.send("drift", params={"against": "database", "group": "all"})
    assert waiting.wait(20)
    page.send("cancel", id=number)
    gate.set()
    assert page.answer(number)["status"] == "cancelled"
    assert closed == [1]
    assert list(lens.computed()) == []
    assert page.ask("drift", against="database", group="all")["status"] == "ok"


def test_reference_is_compared_and_its_copied_code_agrees(open_lens, page, model, database):
    reference = cl.demo.load().model
    summary = database.summary()
    lens = open_lens(model, reference=reference, database=summary, view="drift")
    code = page.state["_structure"]["code"]["drift"]
    scope = {"model": model, "reference": reference, "lens": lens}
    for against, template in code.items():
        for group in ("all", "depth"):
            lens.drift_against, lens.drift_group = against, group
            found: dict[str, Any] = {**scope}
            exec(template.replace("{group}", repr(group)) + '\ndrift["again"]', found)
            reply = page.ask("drift", against=against, group=group)
            plain = found["drift"]
            drifts = [row["drift"] for row in reply["header"]["rows"][:-1]]
            np.testing.assert_allclose(drifts, [layer.drift for layer in plain.layers])
            kept = lens.result()
            assert [layer.drift for layer in kept.layers] == drifts
    assert set(code) == {"shipped", "database", "reference"}


def test_copied_code_opens_the_file_that_was_given(open_lens, page, model, database):
    open_lens(model, database=database.path)
    code = page.state["_structure"]["code"]["drift"]["database"]
    scope: dict[str, Any] = {"model": model}
    exec(code.replace("{group}", "'all'"), scope)
    assert scope["drift"].summary.title == "digits.h5"


@pytest.mark.parametrize(
    ("traits", "says"),
    [
        ({"drift_against": "databse"}, "must be one of shipped, not 'databse'"),
        ({"drift_against": "database"}, "give the Lens database="),
        ({"drift_against": "reference"}, "give the Lens reference="),
        ({"drift_group": "memorizing"}, "Did you mean 'memorising'"),
        ({"drift_group": 3}, "drift_group must be text"),
        ({"drift_against": None}, "drift_against must be text"),
    ],
)
def test_wrong_choice_is_refused_and_the_old_one_stays(open_lens, page, model, traits, says):
    lens = open_lens(model)
    [(name, value)] = traits.items()
    before = getattr(lens, name)
    with pytest.raises(ArgumentError, match=says):
        setattr(lens, name, value)
    assert getattr(lens, name) == before
    if isinstance(value, str):
        params = {"against": lens.drift_against, "group": lens.drift_group}
        reply = page.ask("drift", **params | {name.removeprefix("drift_"): value})
        assert reply["status"] == "error"
        assert says in reply["header"]["message"]


def test_group_that_the_other_does_not_have_becomes_the_whole(open_lens, page, model, database):
    lens = open_lens(model, database=database, drift_against="shipped", drift_group="memorising")
    lens.drift_against = "database"
    assert lens.drift_group == "all"
    page.set(drift_against="shipped", drift_group="memorising")
    assert (lens.drift_against, lens.drift_group) == ("shipped", "memorising")
    lens.drift_group = "depth"
    lens.drift_against = "database"
    assert lens.drift_group == "depth"


def test_changed_weights_are_measured_anew_after_refresh(open_lens, page, model):
    lens = open_lens(model, view="drift")
    before = page.ask("drift", **ASKED)["header"]["rows"]
    with torch.no_grad():
        model.again.weight.zero_()
    assert page.ask("drift", **ASKED)["header"]["rows"] == before
    page.ask("refresh")
    after = page.ask("drift", **ASKED)
    assert after["header"]["revision"] == 1
    assert after["header"]["rows"][1]["drift"] != before[1]["drift"]
    assert lens.result()["again"].drift == after["header"]["rows"][1]["drift"]


def test_filters_that_are_not_finite_are_counted(open_lens, page, model):
    with torch.no_grad():
        model.again.weight[0, 0, 0, 0] = torch.nan
        model.first.weight[:] = torch.nan
    open_lens(model)
    first, again, _ = page.ask("drift", **ASKED)["header"]["rows"]
    assert first["drift"] is None
    assert first["said"][-1] == "0 filters, 48 not finite"
    assert first["sentences"] == [
        "At its depth there is nothing to compare its diversity with.",
        "It has no drift: there are no filters to compare.",
    ]
    assert again["said"][-1] == "255 filters, 1 not finite"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"drift": 0.5, "floor_high": 0.2}, "Its drift of 0.500 is 2.5 times what noise makes."),
        ({"drift": 42.0, "floor_high": 0.02}, "Its drift of 42.000 is 2,100 times what noise"),
        ({"drift": 0.1, "floor_high": 0.2}, "is no more than noise, p = 0.30."),
        ({"drift": 0.1, "floor_high": 0.0}, "is more than noise."),
    ],
)
def test_drift_in_words(model, changes, says):
    layer = replace(cl.filterdb.drift(model).layers[0], p=0.3, **changes)
    assert says in drifted._sentences(layer)[1]


def test_model_in_training_notices_nothing(open_lens, page, model):
    model.train()
    before = fingerprint(model)
    open_lens(model)
    assert page.ask("drift", **ASKED)["status"] == "ok"
    assert differences(before, fingerprint(model)) == []


def test_offline_page_holds_what_was_measured(open_lens, page, model):
    from convlens.widget.html import record

    lens = open_lens(model, view="drift")
    assert not any(key.startswith("drift") for key in record(lens, 0)["replies"])
    page.ask("drift", **ASKED)
    replies = record(lens, 0)["replies"]
    assert 'drift {"against":"shipped","group":"all"}' in replies
    assert len(replies['drift {"against":"shipped","group":"all"}']["buffers"]) == 6
