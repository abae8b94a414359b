"""Comparisons from the front end: filling in, stopping, resuming, switching."""

import json
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from tests.untouched import differences, fingerprint
from tests.widget.front import Gated
from tests.widget.test_lens import arrays


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten())


@pytest.fixture
def images():
    return torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(1))


ASKED = {"measure": "cka", "comparison": "self", "layer_set": "convs", "settings": "{}"}


class Loader:
    """Batches of eight that can be held up, and that counts what was drawn."""

    def __init__(self, images):
        self.images, self.drawn = images, 0
        self.gate, self.waiting = threading.Event(), threading.Event()
        self.hold_at = -1

    def __len__(self):
        return 8

    def __iter__(self):
        for i in range(8):
            if i == self.hold_at:
                self.waiting.set()
                assert self.gate.wait(10)
            self.drawn += 1
            yield self.images[8 * i : 8 * i + 8]


def test_figures_are_those_of_the_plain_call(open_lens, page, model, images):
    open_lens(model, images)
    reply = page.ask("similarity", **ASKED)
    expected = cl.compare(model, images)
    np.testing.assert_allclose(arrays(reply)["matrix"], expected.matrix, rtol=1e-6)
    np.testing.assert_allclose(arrays(reply)["stderr"], expected.stderr, rtol=1e-5)
    header = reply["header"]
    assert [row["key"] for row in header["rows"]] == list(expected.rows)
    assert header["estimator"] == expected.estimator
    assert header["finished"]


def test_matrix_fills_in_batch_by_batch(open_lens, page, model, images):
    open_lens(model, Loader(images))
    number = page.send("similarity", params=ASKED)
    page.answer(number)
    told = [m for m in page.messages if m["id"] == number and "rows" in m["header"]]
    assert [m["header"]["done"] for m in told if m["status"] == "progress"] == list(range(1, 9))
    assert not any(m["header"]["finished"] for m in told if m["header"]["done"] < 8)
    third = cl.compare(model, images[:24], batch_size=8)
    np.testing.assert_allclose(arrays(told[2])["matrix"], third.matrix, rtol=1e-6)


def test_stopped_comparison_resumes_and_draws_nothing_twice(open_lens, page, model, images):
    loader = Loader(images)
    loader.hold_at = 3
    lens = open_lens(model, loader)
    drawn_to_list = loader.drawn
    number = page.send("similarity", params=ASKED)
    assert loader.waiting.wait(10)
    page.send("cancel", id=number)
    loader.gate.set()
    assert page.answer(number)["status"] == "cancelled"
    lens.view = "similarity"
    partial = lens.result()
    assert not partial.finished
    assert partial.batches < 8
    resumed = page.ask("similarity", **ASKED)
    assert loader.drawn - drawn_to_list == 8
    expected = cl.compare(model, images, batch_size=8)
    np.testing.assert_allclose(arrays(resumed)["matrix"], expected.matrix, rtol=1e-6)


def test_switching_the_measure_does_not_run_the_model_where_what_was_kept_allows(
    open_lens, page, model, images
):
    runs = []
    model.register_forward_pre_hook(lambda *_: runs.append(1))
    open_lens(model, images)
    page.ask("similarity", **ASKED | {"measure": "cka_debiased"})
    before = len(runs)
    switched = page.ask("similarity", **ASKED | {"measure": "cka_biased"})
    assert len(runs) == before
    expected = cl.compare(model, images, measure="cka_biased")
    np.testing.assert_allclose(arrays(switched)["matrix"], expected.matrix, rtol=1e-6)


def test_settings_reach_the_measure(open_lens, page, model, images):
    open_lens(model, images)
    asked = ASKED | {"measure": "cka_rbf", "settings": json.dumps({"t": 0.5})}
    expected = cl.compare(model, images, measure="cka_rbf", t=0.5)
    np.testing.assert_allclose(
        arrays(page.ask("similarity", **asked))["matrix"], expected.matrix, rtol=1e-6
    )


def test_settings_are_a_trait_that_result_copied_code_and_the_page_share(
    open_lens, page, model, images
):
    lens = open_lens(
        model, images, view="similarity", measure="cka_rbf", measure_settings={"t": 0.5}
    )
    expected = cl.compare(model, images, measure="cka_rbf", t=0.5)
    np.testing.assert_allclose(lens.result().matrix, expected.matrix, rtol=1e-6)
    page.set(measure="svcca", measure_settings={"variance": 0.9})
    assert lens.measure_settings == {"variance": 0.9}
    lens.measure_settings = {"variance": 0.99}  # the default
    assert lens.measure_settings == {}
    lens.measure_settings = {"variance": 0.9}
    lens.measure = "cka"
    assert lens.measure_settings == {}, "cka has no such parameter"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (5, "must map parameters"),
        ({"tt": 1}, "Did you mean 't'"),
        ({"t": -1}, "t is -1; it must be a number above 0"),
        ({3: 1}, "no parameter 3"),
    ],
)
def test_wrong_settings_are_refused_and_the_old_ones_stay(open_lens, model, images, given, says):
    lens = open_lens(model, images, measure="cka_rbf", measure_settings={"t": 0.5})
    with pytest.raises(cl.errors.ArgumentError, match=says):
        lens.measure_settings = given
    assert lens.measure_settings == {"t": 0.5}


def test_what_was_compared_is_found_again_and_nothing_else(open_lens, page, model, images):
    runs = []
    open_lens(model, images)
    asked = ASKED | {"measure": "cka_rbf", "settings": '{"t":2}'}
    assert page.ask("compared", **asked)["header"] == {"found": False, "revision": 0}
    first = page.ask("similarity", **asked)
    model.register_forward_pre_hook(lambda *_: runs.append(1))
    again = page.ask("compared", **asked)
    assert again["header"]["found"]
    np.testing.assert_array_equal(arrays(again)["matrix"], arrays(first)["matrix"])
    for other in ({"settings": "{}"}, {"measure": "cka"}, {"layer_set": "all"}):
        assert not page.ask("compared", **asked | other)["header"]["found"]
    assert runs == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"measure": "ckaa"}, "cka"),
        ({"layer_set": "conv"}, "Did you mean 'convs'"),
        ({"comparison": "reference"}, "give it inputs= and reference="),
        ({"settings": "[]"}, "JSON object"),
        ({"settings": "{"}, "JSON object"),
        ({"settings": '{"t": -1}', "measure": "cka_rbf"}, "t is -1"),
    ],
)
def test_wrong_request_is_refused_and_the_lens_goes_on(
    open_lens, page, model, images, changes, says
):
    open_lens(model, images[:8])
    reply = page.ask("similarity", **ASKED | changes)
    assert reply["status"] == "error"
    assert says in reply["header"]["message"]
    assert page.ask("similarity", **ASKED)["status"] == "ok"


def test_result_of_a_comparison_that_cannot_be_made_says_what_is_missing(open_lens, model, images):
    lens = open_lens(model, images[:8], view="similarity", comparison="reference")
    with pytest.raises(cl.errors.ArgumentError, match="give it inputs= and reference="):
        lens.result()


def test_without_inputs_there_is_nothing_to_compare(open_lens, page, model):
    lens = open_lens(model, view="similarity")
    with pytest.raises(cl.errors.ArgumentError, match="give it inputs="):
        lens.result()
    assert page.state["_structure"]["similarity"] is None
    assert "inputs=" in page.ask("similarity", **ASKED)["header"]["message"]


@pytest.mark.parametrize("comparison", ["self", "inputs", "reference"])
def test_every_comparison_and_its_copied_code_agree(open_lens, page, model, images, comparison):
    reference = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten())
    others = images.flip(-1)
    lens = open_lens(model, images, reference, reference_inputs=others, view="similarity")
    assert [c["name"] for c in page.state["_structure"]["similarity"]["comparisons"]] == [
        "self",
        "inputs",
        "reference",
    ]
    lens.comparison = comparison
    reply = page.ask("similarity", **ASKED | {"comparison": comparison})
    template = page.state["_structure"]["code"]["similarity"][comparison]
    code = template.format(measure="'cka'", layer_set="'convs'", settings="", fit="False")
    scope: dict[str, Any] = {
        "model": model,
        "inputs": images,
        "reference": reference,
        "reference_inputs": others,
    }
    exec(code, scope)
    np.testing.assert_allclose(arrays(reply)["matrix"], scope["similarity"].matrix, rtol=1e-6)
    np.testing.assert_array_equal(lens.result().matrix, scope["similarity"].matrix)


def test_model_in_training_notices_nothing(open_lens, page, model, images):
    model.train()
    before = fingerprint(model)
    open_lens(model, images)
    page.ask("similarity", **ASKED | {"layer_set": "all"})
    assert differences(before, fingerprint(model)) == []


def test_offline_page_holds_what_was_compared(open_lens, page, model, images):
    from convlens.widget.html import record

    lens = open_lens(model, images, view="similarity")
    page.ask("similarity", **ASKED)
    key = 'similarity {"comparison":"self","layer_set":"convs","measure":"cka","settings":"{}"}'
    assert key in record(lens, 0)["replies"]
    # as JSON.stringify writes 2 and 0.00002, which is what a page looks for
    for given, written in ((2.0, "2"), (0.00002, "0.00002")):
        page.ask("similarity", **ASKED | {"measure": "cka_rbf", "settings": f'{{"t":{given}}}'})
        assert (
            key.replace('cka"', 'cka_rbf"').replace("{}", f'{{\\"t\\":{written}}}')
            in (record(lens, 0)["replies"])
        )


def test_step_of_an_optimiser_between_two_batches_stays_and_changes_no_value(
    open_lens, page, model, images
):
    forward = Gated(3)
    loader = Loader(images)
    open_lens(model, loader, forward=forward)
    expected = cl.compare(model, loader)
    forward.runs = 0
    number = page.send("similarity", params=ASKED)
    stepped = forward.step(model)
    reply = page.answer(number)
    assert all(torch.equal(a, b) for a, b in zip(stepped, model.parameters(), strict=True))
    np.testing.assert_allclose(arrays(reply)["matrix"], expected.matrix, atol=1e-6)
