"""Attributions from the front end: as the plain call gives them, stopped, kept, compared."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from convlens.errors import ArgumentError
from convlens.widget.html import record
from tests.untouched import differences, fingerprint
from tests.widget.front import Gated
from tests.widget.test_lens import arrays

ASKED: dict[str, Any] = {
    "input": 2,
    "target": "predicted",
    "method": "saliency",
    "layer": "",
    "channel": -1,
    "side": "model",
    "baseline": "",
    "settings": "{}",
}


class Net(nn.Module):
    """Three classes; one convolution is called twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.first(x).relu()
        x = self.again(self.again(x).relu())
        return self.head(x.mean((2, 3)))


@pytest.fixture
def model():
    return Net().eval()


@pytest.fixture
def images():
    return torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({}, {}),
        ({"target": "1"}, {"target": 1}),
        ({"target": "label"}, {"target": 0}),
        ({"method": "integrated_gradients", "settings": '{"steps":7}'}, {"steps": 7}),
        ({"method": "integrated_gradients", "baseline": "blur"}, {"baseline": "blur"}),
        ({"method": "layer_grad_cam", "layer": "again:0"}, {"layer": "again:0"}),
        ({"target": "channel", "layer": "first", "channel": 2}, {"layer": "first", "channel": 2}),
        ({"method": "occlusion", "settings": '{"window":3}'}, {"window": 3}),
        ({"method": "deep_lift"}, {}),
    ],
)
def test_maps_are_those_of_the_plain_call(open_lens, page, model, images, changes, arguments):
    open_lens(model, images, labels=[0, 1, 0, 1, 2])
    reply = page.ask("saliency", **ASKED | changes)
    method = changes.get("method", "saliency")
    expected = cl.attribute(model, images[2:3], method=method, **arguments)
    assert expected.upsampled is not None
    np.testing.assert_allclose(arrays(reply)["values"], expected.upsampled[0], atol=1e-6)
    header = reply["header"]
    assert expected.target is not None or changes.get("target") == "channel"
    explained = None if expected.target is None else int(expected.target[0])
    assert header["explained"] == explained
    if expected.delta is None:
        assert header["missing"] is None
    else:
        total = expected.values.sum() - expected.delta[0]
        assert header["missing"] == pytest.approx(float(expected.delta[0] / total), abs=1e-4)


def test_result_and_copied_code_are_what_is_on_the_screen(open_lens, page, model, images):
    lens = open_lens(
        model,
        images,
        view="saliency",
        method="integrated_gradients",
        input_index=2,
        target=1,
        baseline="mean",
        method_settings={"integrated_gradients": {"steps": 9}},
    )
    template = page.state["_structure"]["code"]["saliency"]["given"]
    settings = ", target=1, method='integrated_gradients', baseline='mean', steps=9"
    scope = {"model": model, "inputs": images}
    exec(
        template.replace("{settings}", settings).format(index=2, stop=3).split("\nsaliency.")[0],
        scope,
    )
    before = lens.result()
    np.testing.assert_allclose(before.values, scope["saliency"].values, atol=1e-6)
    asked = ASKED | {"method": "integrated_gradients", "target": "1", "baseline": "mean"}
    page.ask("saliency", **asked | {"settings": '{"steps":9}'})
    shown = lens.result()
    np.testing.assert_array_equal(shown.values, before.values)
    assert lens.result() is shown, "computed again though it is kept"


def test_running_map_tells_how_far_it_is_and_stops(open_lens, page, model, images):
    forward = Gated(6)
    open_lens(model, images, forward=forward)
    forward.runs = 0
    settings = json.dumps({"samples": 4000})
    number = page.send(
        "saliency", params=ASKED | {"method": "shapley_value_sampling", "settings": settings}
    )
    assert forward.waiting.wait(10)
    page.send("cancel", id=number)
    forward.gate.set()
    assert page.answer(number)["status"] == "cancelled"
    told = [m["header"] for m in page.messages if m["id"] == number and m["status"] == "progress"]
    parts = [(h["done"], h["total"]) for h in told if h["total"]]
    assert parts == sorted(parts)
    assert parts[-1][0] < parts[-1][1]
    assert page.ask("saliency", **ASKED)["status"] == "ok"


def test_what_was_computed_is_not_computed_again_until_weights_change(
    open_lens, page, model, images
):
    runs = []
    lens = open_lens(model, images, forward=lambda net, x: runs.append(1) or net(x))
    first = page.ask("saliency", **ASKED)
    seen = len(runs)
    again = page.ask("saliency", **ASKED)
    assert len(runs) == seen
    np.testing.assert_array_equal(arrays(first)["values"], arrays(again)["values"])
    with torch.no_grad():
        model.head.weight *= -2
    changed = page.ask("saliency", **ASKED | {"target": "0"})
    expected = cl.attribute(model, images[2:3], 0, method="saliency")
    np.testing.assert_allclose(arrays(changed)["values"], expected.values[0], atol=1e-6)
    lens.refresh()
    assert page.ask("saliency", **ASKED)["header"]["revision"] == 1
    assert len(runs) > seen


def test_reference_is_explained_too_and_the_maps_are_compared(open_lens, page, model, images):
    reference = Net().eval()
    with torch.no_grad():
        reference.first.weight += 0.1
    open_lens(model, images, reference)
    both = [ASKED | {"side": side} for side in ("model", "reference")]
    maps = [page.ask("saliency", **asked) for asked in both]
    reply = page.ask("agreement", saliencies=json.dumps(both))
    (pair,) = reply["header"]["pairs"]
    found = [cl.attribute(net, images[2:3], method="saliency") for net in (model, reference)]
    expected = cl.agreement(*found)
    assert pair["rank_correlation"] == pytest.approx(expected.rank_correlation[0], abs=1e-6)
    assert pair["ssim"] == pytest.approx(expected.ssim[0], abs=1e-6)
    assert [m["header"]["side"] for m in maps] == ["model", "reference"]
    np.testing.assert_allclose(arrays(maps[1])["values"], found[1].values[0], atol=1e-6)


def test_sanity_check_tells_layer_by_layer_and_gives_the_verdict(open_lens, page, model, images):
    open_lens(model, images)
    number = page.send("sanity", params=ASKED)
    reply = page.answer(number)
    expected = cl.sanity_check(model, images[2:3], "saliency")
    header = reply["header"]
    assert header["layers"] == list(expected.layers)
    np.testing.assert_allclose(
        header["rank_correlation"], expected.rank_correlation[:, 0], atol=1e-6
    )
    assert header["passes"] == expected.passed
    assert expected.verdict[1:] in header["verdict"]
    told = [m["header"] for m in page.messages if m["id"] == number and "layers" in m["header"]]
    assert [len(h["layers"]) for h in told] == sorted(len(h["layers"]) for h in told)
    assert not any(h["verdict"] for h in told[:-1])


def test_methods_that_cannot_be_had_are_said_of_each_side(open_lens, page, model, images):
    reference = nn.Sequential(nn.Conv2d(3, 5, 3), nn.SiLU(), nn.Flatten(), nn.Linear(180, 3))
    open_lens(model, images, reference)
    header = page.ask("preflight", layer="first")["header"]
    assert set(header["model"]) == set(cl.saliency.METHODS)
    assert header["model"]["deep_lift"] is None
    assert "SiLU" in header["reference"]["deep_lift"]
    # it has no such layer, and none of its shape
    assert "first" in header["reference"]["layer_grad_cam"]
    refused = page.ask("saliency", **ASKED | {"method": "deep_lift", "side": "reference"})
    assert refused["header"]["message"] == header["reference"]["deep_lift"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "salency"}, "Did you mean 'saliency'"),
        ({"target": "predict"}, "Did you mean 'predicted'"),
        ({"target": "7"}, "3 classes"),
        ({"target": "label"}, "labels="),
        ({"side": "other"}, "side must be model"),
        ({"settings": "[]"}, "JSON object"),
        ({"settings": '{"steps": 3}'}, "no parameter 'steps'"),
        ({"method": "integrated_gradients", "settings": '{"steps": 0}'}, "steps is 0"),
        ({"method": "integrated_gradients", "baseline": "none"}, "baseline is 'none'"),
        ({"method": "layer_grad_cam", "layer": "frist"}, "first"),
        ({"input": 5}, "from 0 to 4"),
    ],
)
def test_wrong_request_is_refused_and_the_lens_goes_on(
    open_lens, page, model, images, changes, says
):
    open_lens(model, images)
    reply = page.ask("saliency", **ASKED | changes)
    assert reply["status"] == "error"
    assert says in reply["header"]["message"]
    assert page.ask("saliency", **ASKED)["status"] == "ok"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"input": 1}]'])
def test_maps_to_compare_are_named_in_full(open_lens, page, model, images, text):
    open_lens(model, images)
    assert "JSON list" in page.ask("agreement", saliencies=text)["header"]["message"]


def test_maps_to_compare_must_be_there(open_lens, page, model, images):
    open_lens(model, images)
    said = page.ask("agreement", saliencies=json.dumps([ASKED, ASKED | {"input": 1}]))
    assert "compute them again" in said["header"]["message"]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("target", "predict", "Did you mean 'predicted'"),
        ("target", -1, "index of a class"),
        ("target", True, "index of a class"),
        ("method", "gradcam", "Did you mean"),
        ("methods", [], "list of methods"),
        ("methods", "saliency", "list of methods"),
        ("methods", ["saliency", "lrpp"], "Did you mean 'lrp'"),
        ("baseline", "zeros", "Did you mean 'zero'"),
        ("method_settings", {"saliency": 1}, "map methods to values"),
        ("method_settings", {"saliency": {"steps": 1}}, "no parameter 'steps'"),
        ("method_settings", {"integrated_gradients": {"steps": 0}}, "steps is 0"),
    ],
)
def test_wrong_choice_is_refused_and_the_old_one_stays(
    open_lens, page, model, images, name, value, says
):
    lens = open_lens(model, images)
    before = getattr(lens, name)
    with pytest.raises(ArgumentError, match=says):
        setattr(lens, name, value)
    assert getattr(lens, name) == before


def test_method_that_is_looked_at_is_among_those_shown(open_lens, model, images):
    lens = open_lens(model, images)
    lens.methods = ["lrp", "occlusion"]
    assert lens.method == "lrp"
    lens.method = "occlusion"
    assert lens.methods == ["lrp", "occlusion"]
    lens.method = "lime"
    assert lens.methods == ["lime"]
    lens.method_settings = {"lime": {"alpha": 0.01}, "lrp": {"rule": "gamma"}}
    assert lens.method_settings == {"lrp": {"rule": "gamma"}}, "defaults are not kept"


def test_model_in_training_is_not_held_back_nor_undone(open_lens, page, model, images):
    model.train()
    before = fingerprint(model)
    open_lens(model, images)
    page.ask("saliency", **ASKED | {"method": "integrated_gradients"})
    page.ask("preflight", layer="first")
    page.ask("sanity", **ASKED)
    assert differences(before, fingerprint(model)) == []


def test_step_of_an_optimiser_in_the_middle_of_a_map_stays(open_lens, page, model, images):
    forward = Gated(2)
    open_lens(model, images, forward=forward)
    expected = cl.attribute(model, images[2:3], method="saliency").values[0]
    forward.runs = 0
    number = page.send("saliency", params=ASKED)
    stepped = forward.step(model)
    reply = page.answer(number)
    assert all(torch.equal(a, b) for a, b in zip(stepped, model.parameters(), strict=True))
    np.testing.assert_allclose(arrays(reply)["values"], expected, atol=1e-6)


def test_offline_page_of_a_map_whose_input_was_never_scored(open_lens, page, model, images):
    lens = open_lens(model, images, view="saliency")
    page.ask("saliency", **ASKED)
    page.ask("picture", index=4)
    page.ask("saliency", **ASKED | {"input": 4})
    replies = record(lens, 0)["replies"]
    assert [key for key in replies if key.startswith("picture")] == ['picture {"index":4}']
    assert len([key for key in replies if key.startswith("saliency")]) == 2


def test_offline_page_holds_what_was_computed(open_lens, page, model, images):
    lens = open_lens(model, images, view="saliency")
    page.ask("inputs", start=0)
    page.ask("saliency", **ASKED)
    page.ask("preflight", layer="first")
    replies = record(lens, 0)["replies"]
    asked = json.dumps(ASKED, sort_keys=True, separators=(",", ":"))
    assert {f"saliency {asked}", 'picture {"index":2}', 'preflight {"layer":"first"}'} <= set(
        replies
    )
    assert replies['inputs {"start":0}']["header"]["total"] == 5
