"""The inputs of a Lens from the front end: pages, one in full, files, colours."""

import base64
import io
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convlens.errors import ArgumentError
from convlens.widget.pixels import SCALES, find_pixels
from convlens.widget.strip import PAGE
from tests.untouched import differences, fingerprint
from tests.widget.test_lens import arrays


class Net(nn.Module):
    """Three classes of images of any size."""

    def __init__(self, channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(channels, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.bn(self.conv(x)).relu().mean((2, 3)))


def pixels(n=70, channels=3, height=12, width=10):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, channels, height, width), generator=generator).float() / 255


def as_imagenet(images):
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in SCALES["ImageNet"])
    return (images - mean) / std


def file_of(image, format="png"):
    """An image file in base64, of pixels (3, h, w) from 0 to 1."""
    held = io.BytesIO()
    rgb = (image.permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(rgb).save(held, format)
    return base64.b64encode(held.getvalue()).decode()


def test_input_is_read_while_no_other_reads(open_lens, page):
    images, begun, gate = as_imagenet(pixels(8)), threading.Event(), threading.Event()

    class Loader:
        def __iter__(self):
            yield images[:4]
            if threading.current_thread() is not threading.main_thread():
                begun.set()
                assert gate.wait(10)
            yield images[4:]

    lens = open_lens(Net().eval(), Loader(), input_index=6)
    number = page.send("inputs", params={"start": 0})
    assert begun.wait(10)
    # once a second one asks for a batch
    opening = threading.Timer(0.2, gate.set)
    opening.start()
    torch.testing.assert_close(lens.input, images[6:7])
    opening.join()
    assert page.answer(number)["header"]["total"] == 8


def test_pages_hold_each_input_once_with_what_the_model_says(open_lens, page):
    model, images = Net().eval(), as_imagenet(pixels())
    labels = torch.arange(70) % 3
    open_lens(model, images, labels=labels)
    first, second = page.ask("inputs", start=0), page.ask("inputs", start=PAGE)
    assert [(r["header"]["start"], r["header"]["stop"]) for r in (first, second)] == [
        (0, PAGE),
        (PAGE, 70),
    ]
    assert {r["header"]["total"] for r in (first, second)} == {70}
    found = {
        name: np.concatenate([arrays(first)[name], arrays(second)[name]])
        for name in ("thumbnails", "labels", "predicted", "probability")
    }
    expected = (pixels() * 255).round().byte().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(found["thumbnails"], expected)
    np.testing.assert_array_equal(found["labels"], labels)
    with torch.no_grad():
        scores = model(images).softmax(1)
    np.testing.assert_array_equal(found["predicted"], scores.argmax(1))
    np.testing.assert_allclose(found["probability"], scores.max(1).values, rtol=1e-5)
    assert (first["header"]["how"], first["header"]["scale"]) == ("found", "ImageNet")


def test_loader_is_read_once_as_far_as_pages_go_and_gives_its_labels(open_lens, page):
    drawn = []

    class Counting(TensorDataset):
        def __getitem__(self, index):
            drawn.append(index)
            return super().__getitem__(index)

    labels = torch.arange(70) % 3
    loader = DataLoader(Counting(pixels(), labels), batch_size=20)
    open_lens(Net(), loader)
    before = len(drawn)  # one batch, for the order of layers
    first = page.ask("inputs", start=0)
    assert (first["header"]["total"], len(drawn) - before) == (None, 60)
    last = page.ask("inputs", start=PAGE)
    assert (last["header"]["total"], len(drawn) - before) == (70, 70)
    np.testing.assert_array_equal(arrays(last)["labels"], labels[PAGE:])
    page.ask("inputs", start=0)
    assert len(drawn) - before == 70


def test_one_input_in_full(open_lens, page):
    model, reference, images = Net().eval(), Net().eval(), as_imagenet(pixels(5))
    with torch.no_grad():
        reference.head.bias.add_(torch.tensor([0.0, 9.0, 0.0]))
    open_lens(model, images, reference, labels=[0, 1, 2, 0, 1])
    reply = page.ask("picture", index=3)
    np.testing.assert_array_equal(arrays(reply)["image"], images[3])
    with torch.no_grad():
        for name, net in (("scores", model), ("reference_scores", reference)):
            np.testing.assert_allclose(
                arrays(reply)[name], net(images[3:4]).softmax(1)[0], rtol=1e-5
            )
    assert reply["header"]["label"] == 0
    both = page.ask("inputs", start=0)
    assert set(arrays(both)["reference_predicted"]) == {1}


@pytest.mark.parametrize("format", ["png", "bmp"])
def test_dropped_file_is_what_the_same_pixels_are(open_lens, page, format):
    model, images = Net().eval(), as_imagenet(pixels(5))
    lens = open_lens(model, images)
    reply = page.ask("upload", name="mine." + format, data=file_of(pixels(5)[2], format))
    header = reply["header"]
    assert (header["start"], header["total"], header["names"]) == (5, 6, {"5": "mine." + format})
    with torch.no_grad():
        expected = model(images[2:3]).argmax()
    assert arrays(reply)["predicted"][0] == expected
    lens.input_index = 5
    torch.testing.assert_close(lens.input, images[2:3], rtol=0, atol=1e-5)


def test_large_file_is_fitted_to_the_input_about_its_middle(open_lens, page):
    images = as_imagenet(pixels(5))
    wide = torch.zeros(3, 24, 200)
    wide[:, :, 90:110] = 1.0  # of 12 x 10 pixels the middle shows 20 of 200
    lens = open_lens(Net(), images)
    page.ask("upload", name="wide.png", data=file_of(wide))
    lens.input_index = 5
    assert lens.input.shape == (1, 3, 12, 10)
    assert lens.input.min() > as_imagenet(torch.full((1, 3, 1, 1), 0.9)).min()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("text.png", base64.b64encode(b"no image").decode(), "cannot be read as an image"),
        ("x.png", "§§", "cannot be read as an image"),
        ("cut.png", file_of(pixels(1, height=64, width=64)[0])[:400], "cannot be read"),
    ],
)
def test_file_that_is_no_image_is_refused_and_the_lens_goes_on(open_lens, page, name, data, says):
    open_lens(Net(), as_imagenet(pixels(5)))
    reply = page.ask("upload", name=name, data=data)
    assert reply["status"] == "error"
    assert says in reply["header"]["message"]
    assert name in reply["header"]["message"]
    assert page.ask("inputs", start=0)["header"]["total"] == 5


def test_file_of_too_many_pixels_is_refused_before_it_is_unpacked(open_lens, page, monkeypatch):
    monkeypatch.setattr("convlens.widget.upload._MOST_PIXELS", 100)
    open_lens(Net(), as_imagenet(pixels(5)))
    reply = page.ask("upload", name="big.png", data=file_of(pixels(1)[0]))
    assert "'big.png' has 10 x 12 pixels; at most 100" in reply["header"]["message"]


def test_file_needs_a_scale_that_is_known(open_lens, page):
    images = torch.randn(5, 3, 12, 10) * 40
    lens = open_lens(Net(), images)
    assert page.ask("inputs", start=0)["header"]["how"] == "stretched"
    data = file_of(pixels(1)[0])
    assert "mean and std" in page.ask("upload", name="a.png", data=data)["header"]["message"]
    lens.mean, lens.std = 0.5, 40.0
    assert page.ask("inputs", start=0)["header"]["how"] == "given"
    assert page.ask("upload", name="a.png", data=data)["status"] == "ok"


@given(
    name=st.sampled_from(sorted(SCALES)),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=30, deadline=None)
def test_scale_is_found_to_the_last_pixel(name, seed):
    mean, std = SCALES[name]
    channels = max(len(mean), 1)
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randint(0, 256, (8, channels, 9, 7), generator=generator).float()
    whole[0, :, 0, :2] = torch.tensor([0.0, 255.0])
    column = [torch.tensor(v).view(-1, 1, 1) for v in (mean, std)]
    found = find_pixels((whole / 255 - column[0]) / column[1], None, None)
    assert (found.how, found.name) == ("found", name)


@pytest.mark.parametrize("shape", [(6, 7), (6, 3, 5), (6, 3, 4, 4, 4)])
def test_inputs_that_are_no_images_are_said_to_be_none(open_lens, page, shape):
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    model(torch.randn(shape))
    open_lens(model, torch.randn(shape))
    said = page.ask("inputs", start=0)["header"]["message"]
    assert str(shape).replace("6", "1", 1) in said
    assert "images" in said


def test_without_inputs_there_is_no_strip(open_lens, page):
    open_lens(Net())
    assert page.state["_structure"]["saliency"] is None
    assert "inputs=images" in page.ask("inputs", start=0)["header"]["message"]


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"labels": [0.5] * 5}, "one whole number per input"),
        ({"labels": [0, 1]}, "labels has 2 entries and inputs has 5"),
        ({"classes": "ab"}, "names of the classes"),
        ({"classes": [1, 2]}, "names of the classes"),
        ({"mean": "x"}, "mean must be a number"),
        ({"std": [1, 0, 1]}, "std must be above 0"),
        ({"input_index": -1}, "whole number from 0"),
        ({"input_index": True}, "whole number from 0"),
    ],
)
def test_wrong_argument_is_refused_in_a_sentence(open_lens, given_, says):
    with pytest.raises(ArgumentError, match=says):
        open_lens(Net(), pixels(5), **given_)


def test_input_that_is_not_there_is_refused_once_that_is_known(open_lens, page):
    lens = open_lens(Net(), pixels(5))
    page.ask("inputs", start=0)
    with pytest.raises(ArgumentError, match="from 0 to 4"):
        lens.input_index = 5
    assert lens.input_index == 0


def test_mean_for_other_channels_is_said_in_the_answer(open_lens, page):
    open_lens(Net(), pixels(5), mean=[0.1, 0.2])
    said = page.ask("inputs", start=0)["header"]["message"]
    assert "mean has 2 values and the inputs have 3 channels" in said


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels_is_shown(open_lens, page, channels):
    open_lens(Net(channels), pixels(3, channels))
    shown = arrays(page.ask("inputs", start=0))["thumbnails"]
    grey = (pixels(3, channels).mean(1) * 255).round().byte()
    np.testing.assert_allclose(shown, grey[..., None].expand(-1, -1, -1, 3), atol=1)


def test_model_in_training_notices_nothing(open_lens, page):
    model = Net().train()
    before = fingerprint(model)
    open_lens(model, as_imagenet(pixels()))
    page.ask("inputs", start=0)
    assert differences(before, fingerprint(model)) == []


def test_predictions_are_of_the_weights_of_now(open_lens, page):
    model = Net().eval()
    lens = open_lens(model, as_imagenet(pixels(5)))
    page.ask("inputs", start=0)
    with torch.no_grad():
        model.head.bias.add_(torch.tensor([0.0, 0.0, 99.0]))
    lens.refresh()
    assert set(arrays(page.ask("inputs", start=0))["predicted"]) == {2}
