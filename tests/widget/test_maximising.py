"""Features from the front end: climbing, stopping, going on; top inputs, maps, all channels."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import convlens as cl
from convlens.widget.html import record
from convlens.widget.maximising import Maximising
from convlens.widget.sources import Sources
from convlens.widget.strip import Strip
from tests.untouched import differences, fingerprint
from tests.widget.test_lens import arrays


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3),
        nn.Flatten(),
        nn.Linear(180, 2),
    )


@pytest.fixture
def images():
    return torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))


HOW = {"layer": "2", "steps": 12, "seed": 3, "size": 0}


class Passes:
    """Lets so many through, then makes wait."""

    def __init__(self):
        self.left, self.open, self.waiting = 10**9, threading.Event(), threading.Event()

    def __deepcopy__(self, memo):
        return self  # the copy that the Lens runs waits too

    def one(self):
        self.left -= 1
        if self.left < 0:
            self.waiting.set()
            assert self.open.wait(10)


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.passes = Passes()

    def forward(self, x):
        self.passes.one()
        return x


def test_feature_is_that_of_the_plain_call_and_streams(open_lens, page, model, images):
    lens = open_lens(model, images, layer="2", channel=1, view="features")
    lens.feature_steps, lens.feature_seed = 12, 3
    number = page.send("features", params=HOW | {"channel": 1})
    reply = page.answer(number)
    found = arrays(reply)
    expected = cl.visualize_features(model, "2", 1, inputs=images, steps=12, seed=3)
    np.testing.assert_array_equal(found["model_picture"], expected.pictures[0])
    np.testing.assert_array_equal(found["model_curve"], expected.curve[0])
    (side,) = reply["header"]["sides"]
    assert side["value"] == pytest.approx(float(expected.activation[0]))
    assert (side["fires"], side["why"]) == (True, None)
    told = [m["header"] for m in page.messages if m["id"] == number and "sides" in m["header"]]
    assert told[0]["done"] == 0
    assert told[-1]["done"] == told[-1]["total"] == 12
    np.testing.assert_array_equal(lens.result().images, expected.images)


def test_stopped_feature_goes_on_and_ends_where_an_unstopped_one_does(open_lens, page, images):
    torch.manual_seed(0)
    model = nn.Sequential(module := Gate(), nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3))
    gate = module.passes
    expected = cl.visualize_features(model, "2", 1, inputs=images, steps=12, seed=3)
    lens = open_lens(model, images, layer="2", channel=1, view="features")
    lens.feature_steps, lens.feature_seed = 12, 3
    gate.left = 8
    number = page.send("features", params=HOW | {"channel": 1})
    assert gate.waiting.wait(10)
    page.send("cancel", id=number)
    gate.left = 10**9
    gate.open.set()
    assert page.answer(number)["status"] == "cancelled"
    partial = lens.result()
    assert not partial.finished
    made = int(np.isfinite(partial.curve).sum())
    assert 0 < made < 12
    number = page.send("features", params=HOW | {"channel": 1})
    reply = page.answer(number)
    first = next(m for m in page.messages if m["id"] == number and "sides" in m["header"])
    assert first["header"]["done"] >= made, "it began anew"
    np.testing.assert_allclose(arrays(reply)["model_curve"], expected.curve[0], rtol=1e-4)


def test_what_was_drawn_is_there_at_once(open_lens, page, model, images):
    passes = []
    open_lens(model, images)
    page.ask("feature_page", **HOW, side="model", start=0)
    # of the original: a snapshot that is made anew would have the hook as well
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    number = page.send("features", params=HOW | {"channel": 4})
    reply = page.answer(number)
    assert reply["header"]["finished"]
    assert not passes
    sent = [m for m in page.messages if m["id"] == number]
    assert len(sent) == 2, "it was drawn again"


def test_page_has_every_channel_as_drawn_alone(open_lens, page, model, images):
    lens = open_lens(model, images, layer="2", view="features")
    lens.feature_steps, lens.feature_seed = 12, 3
    reply = page.ask("feature_page", **HOW, side="model", start=0)
    header = reply["header"]
    assert header["at"] == [0, 1, 2, 3, 4]
    assert (header["stop"], header["channels"]) == (5, 5)
    expected = cl.visualize_features(model, "2", inputs=images, steps=12, seed=3)
    np.testing.assert_array_equal(arrays(reply)["pictures"], expected.pictures)
    np.testing.assert_allclose(arrays(reply)["values"], expected.activation)
    whole = lens.result()
    assert whole.channels == expected.channels
    np.testing.assert_array_equal(whole.images, expected.images)


def test_channel_that_never_fires_says_so(open_lens, page, images):
    conv = nn.Conv2d(3, 2, 3)
    with torch.no_grad():
        conv.weight[1] = 0
    open_lens(nn.Sequential(conv), images)
    reply = page.ask("features", layer="0", channel=1, steps=9, seed=0, size=0)
    (side,) = reply["header"]["sides"]
    assert side["fires"] is False
    assert "never fires" in side["why"]
    tiles = page.ask("feature_page", layer="0", side="model", start=0, steps=9, seed=0, size=0)
    assert tiles["header"]["fires"] == [True, False]


def test_top_inputs_are_those_of_the_plain_call_also_of_a_shuffled_loader(
    open_lens, page, model, images
):
    data = TensorDataset(images, torch.arange(40) % 2)
    loader = DataLoader(data, batch_size=7, shuffle=True)
    lens = open_lens(model, loader)
    reply = page.ask("top_inputs", layer="2", channel=3)
    held = torch.cat([lens._strip.held.image(i) for i in range(40)])
    expected = cl.top_inputs(model, held, "2", 3)
    (side,) = reply["header"]["sides"]
    assert reply["header"]["seen"] == 40
    assert [item["index"] for item in side["items"]] == expected.index[0].tolist()
    values = [item["value"] for item in side["items"]]
    np.testing.assert_allclose(values, expected.activation[0], rtol=1e-5)
    box = np.array(side["items"][0]["box"]) * 8
    np.testing.assert_allclose(box, expected.box[0, 0])
    # the picture of the first is that input
    picture = arrays(reply)["model_pictures"][0]
    np.testing.assert_allclose(
        picture / 255, held[expected.index[0, 0]].movedim(0, -1), atol=0.51 / 255
    )


def test_maps_are_what_the_layer_emits(open_lens, page, model, images):
    open_lens(model, images, nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)))
    reply = page.ask("activations", layer="2", channel=1, input=5)
    with torch.no_grad():
        expected = model[:3](images[5:6])[0, 1]
    np.testing.assert_allclose(arrays(reply)["model_map"], expected, rtol=1e-5, atol=1e-6)
    assert reply["header"]["sides"][1]["reason"] == "has no layer 2"
    single = page.ask("activations", layer="4", channel=1, input=5)
    assert single["header"]["sides"][0]["extent"] == [1, 1]


def test_model_stands_beside_its_reference(open_lens, page, model, images):
    reference = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1))
    open_lens(model, images, reference)
    how = HOW | {"layer": "0"}
    both = page.ask("features", **how, channel=1)
    expected = cl.visualize_features(reference, "0", 1, inputs=images, steps=12, seed=3)
    np.testing.assert_array_equal(arrays(both)["reference_picture"], expected.pictures[0])
    one = page.ask("features", **how, channel=3)["header"]["sides"]
    assert [side["reason"] for side in one] == [None, "has 2 channels there"]
    sides = page.ask("top_inputs", layer="0", channel=3)["header"]["sides"]
    assert (len(sides[0]["items"]), sides[1]["items"]) == (9, [])
    tiles = page.ask("feature_page", **how, side="reference", start=0)
    assert tiles["header"]["channels"] == 2


def test_no_data_is_needed_to_synthesise(open_lens, page):
    digits = cl.demo.load()
    open_lens(digits.model)
    how = {"layer": "layer1.0.conv1", "steps": 3, "seed": 0, "size": 0}
    reply = page.ask("features", **how, channel=0)
    assert any("size is guessed" in note for note in reply["header"]["notes"])
    # found once, said each time
    again = page.ask("features", **how | {"seed": 1}, channel=0)
    assert again["header"]["notes"] == reply["header"]["notes"]
    assert again["header"]["sides"][0]["extent"] == reply["header"]["sides"][0]["extent"]
    reply = page.ask("features", **how | {"size": 8}, channel=0)
    assert reply["header"]["sides"][0]["extent"] == [8, 8, 1]
    wanting = page.ask("top_inputs", layer="layer1.0.conv1", channel=0)
    assert "inputs=images" in wanting["header"]["message"]


@pytest.mark.parametrize(
    ("kind", "params", "says"),
    [
        ("features", {"channel": 5}, "channel must be from 0 to 4"),
        ("features", {"channel": 0, "layer": "3x"}, "There is no layer '3x'"),
        ("features", {"channel": -1}, "channel must be at least 0"),
        ("features", {"channel": 0, "steps": 1.5}, "whole number"),
        ("feature_page", {"side": "other", "start": 0}, "side must be one of model"),
        ("feature_page", {"side": "model", "start": 9}, "start must be below 5"),
    ],
)
def test_wrong_request_is_refused_and_the_lens_goes_on(
    open_lens, page, model, images, kind, params, says
):
    open_lens(model, images)
    reply = page.ask(kind, **HOW | params)
    assert reply["status"] == "error"
    assert says in reply["header"]["message"]
    assert page.ask("features", **HOW, channel=0)["status"] == "ok"


def test_inputs_that_are_no_images_are_refused_in_a_sentence(open_lens, page):
    model = nn.Sequential(nn.Conv1d(3, 4, 3), nn.Flatten(), nn.Linear(72, 2))
    open_lens(model, torch.randn(8, 3, 20))
    how = {"layer": "0", "channel": 1}
    for asked in (
        ("features", HOW | how),
        ("top_inputs", how),
        ("activations", how | {"input": 0}),
    ):
        reply = page.ask(asked[0], **asked[1])
        assert "of shape (1, 3, 20)" in reply["header"]["message"]


def test_inputs_of_nan_excite_nothing(open_lens, page):
    open_lens(nn.Sequential(nn.Conv2d(3, 4, 3)), torch.full((8, 3, 8, 8), torch.nan))
    how = {"layer": "0", "channel": 1}
    reply = page.ask("features", **HOW | how)
    assert any("NaN" in note for note in reply["header"]["notes"])
    assert reply["header"]["sides"][0]["fires"]
    (side,) = page.ask("top_inputs", **how)["header"]["sides"]
    assert side["items"] == []
    assert page.ask("activations", **how, input=0)["status"] == "ok"


@pytest.mark.parametrize(
    ("name", "value"),
    [("feature_steps", 0), ("feature_seed", None), ("feature_seed", -1), ("feature_size", 1.5)],
)
def test_wrong_setting_is_refused(open_lens, page, model, name, value):
    lens = open_lens(model)
    with pytest.raises(cl.ArgumentError, match=f"{name} must be a whole number"):
        setattr(lens, name, value)


def test_model_in_training_notices_nothing(open_lens, page, model, images):
    model.train()
    before = fingerprint(model)
    open_lens(model, images)
    page.ask("features", **HOW, channel=2)
    page.ask("feature_page", **HOW, side="model", start=0)
    page.ask("top_inputs", layer="2", channel=2)
    page.ask("activations", layer="2", channel=2, input=0)
    assert differences(before, fingerprint(model)) == []


def test_copied_code_gives_the_same_picture(open_lens, page, model, images):
    open_lens(model, images)
    template = page.state["_structure"]["code"]["features"]
    code = template.replace("{settings}", ", steps=12, seed=3").format(layer="'2'", channel=1)
    scope: dict[str, Any] = {"model": model, "inputs": images}
    exec(code, scope)
    reply = page.ask("features", **HOW, channel=1)
    np.testing.assert_array_equal(scope["features"].pictures[0], arrays(reply)["model_picture"])


def test_weights_read_again_while_drawing_leave_nothing_of_the_old(model, images):
    sources = Sources(model, images)
    maximising = Maximising(sources, Strip(sources))
    steps = maximising.answer("feature_page", HOW | {"side": "model", "start": 0}, lambda *_: None)
    for _ in range(5):
        next(steps)
    maximising.forget()
    with pytest.raises(cl.ArgumentError, match="read again"):
        for _ in steps:
            pass
    assert list(maximising.answers()) == []


def test_refresh_forgets_and_a_saved_page_keeps(open_lens, page, model, images):
    lens = open_lens(model, images)
    page.ask("feature_page", **HOW, side="model", start=0)
    page.ask("top_inputs", layer="2", channel=1)
    page.ask("activations", layer="2", channel=1, input=2)
    replies = record(lens, 0)["replies"]
    assert 'features {"channel":4,"layer":"2","seed":3,"size":0,"steps":12}' in replies
    assert 'top_inputs {"channel":1,"layer":"2"}' in replies
    assert 'activations {"channel":1,"input":2,"layer":"2"}' in replies
    tiles = 'feature_page {"layer":"2","seed":3,"side":"model","size":0,"start":0,"steps":12}'
    assert replies[tiles]["header"]["at"] == [0, 1, 2, 3, 4]
    lens.refresh()
    assert not [name for name in record(lens, 0)["replies"] if name.startswith("feature")]
