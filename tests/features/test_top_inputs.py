"""The inputs that excite a channel most: against looking at all of them at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import convlens as cl
from convlens.errors import ArgumentError, ConvlensError
from tests.features.nets import Functional, make
from tests.untouched import left_untouched


@pytest.fixture(scope="module")
def digits() -> Any:
    return cl.demo.load()


@pytest.fixture(scope="module")
def emitted(digits) -> torch.Tensor:
    """What one layer gives for all digits at once, by a hook of our own."""
    seen = []
    handle = digits.model.layer2[0].conv1.register_forward_hook(lambda *a: seen.append(a[2]))
    with torch.no_grad():
        digits.model(digits.images)
    handle.remove()
    return seen[0]


LAYER = "layer2.0.conv1"


@pytest.mark.parametrize("by", ["max", "mean"])
def test_they_are_those_that_excite_it_most(by, digits, emitted):
    top = cl.top_inputs(digits.model, digits.images, LAYER, [7, 2], k=11, by=by)
    flat = emitted[:, [7, 2]].flatten(2)
    score = flat.amax(2) if by == "max" else flat.mean(2)
    wanted = score.T.sort(dim=1, descending=True, stable=True)
    np.testing.assert_allclose(top.activation, wanted.values[:, :11], rtol=1e-4, atol=1e-5)
    assert top.channels == (7, 2)
    assert top.n == len(digits.images)
    for row, channel in enumerate(top.channels):
        for rank, index in enumerate(top.index[row].tolist()):
            assert score[index, row].item() == pytest.approx(top.activation[row, rank], abs=1e-4)
            place = np.unravel_index(emitted[index, channel].argmax().item(), (8, 8))
            assert tuple(top.position[row, rank]) == place


@settings(max_examples=15, deadline=None)
@given(batch_size=st.integers(1, 50), k=st.integers(1, 30), seed=st.integers(0, 99))
def test_batches_do_not_matter(batch_size, k, seed):
    torch.manual_seed(0)
    model = nn.Conv2d(2, 3, 3)
    # few values, so that many are equal
    x = torch.randint(0, 2, (20, 2, 3, 3), generator=torch.Generator().manual_seed(seed)).float()
    one = cl.top_inputs(model, x, None, k=k, batch_size=20)
    other = cl.top_inputs(model, x, None, k=k, batch_size=batch_size)
    np.testing.assert_allclose(one.activation, other.activation, atol=1e-5)
    assert (one.index[:, 20:] == -1).all()
    assert np.isneginf(one.activation[:, 20:]).all()
    assert [sorted(row) for row in one.index[:, :20].tolist()] == [
        sorted(set(row)) for row in one.index[:, :20].tolist()
    ]
    assert len(one.inputs(0)) == len(other.inputs(0)) == min(k, 20)


def test_of_equals_the_earlier_stays():
    x = torch.zeros(9, 1, 4, 4)
    x[[3, 6, 8], :, 1, 2] = 1
    model = nn.Identity()
    top = cl.top_inputs(nn.Sequential(model), x, "0", k=4, batch_size=2)
    assert top.index.tolist() == [[3, 6, 8, 0]]
    assert top.position[0, :3].tolist() == [[1, 2]] * 3


def test_what_is_not_among_the_best_is_let_go(digits):
    search = cl.Search(digits.model, digits.images, LAYER, [0, 1], k=2, batch_size=10)
    most = 0
    for _ in search.steps():
        most = max(most, len(search._images))
    assert most <= 4
    top = search.result()
    assert set(top.images) == set(top.index.flatten().tolist())
    for index, image in top.images.items():
        assert np.array_equal(image, digits.images[index].numpy())


@pytest.mark.parametrize("stop", [1, 3])
def test_stopped_early_it_has_the_best_so_far(stop, digits):
    search = cl.Search(digits.model, digits.images, LAYER, [4], k=3, batch_size=50)
    with pytest.raises(ArgumentError, match="make a step first"):
        search.result()
    with left_untouched(digits.model):
        for done, total in search.steps():
            assert total == 11
            if done == stop:
                break
    early = search.result()
    assert not early.finished
    assert early.n == 50 * stop
    first = cl.top_inputs(digits.model, digits.images[: 50 * stop], LAYER, [4], k=3)
    assert np.array_equal(early.index, first.index)
    list(search.steps())
    whole = cl.top_inputs(digits.model, digits.images, LAYER, [4], k=3)
    assert np.array_equal(search.result().index, whole.index)
    assert search.result().finished


def test_progress_stops_it(digits):
    top = cl.top_inputs(
        digits.model, digits.images, LAYER, 0, batch_size=20, progress=lambda s: s.done < 2
    )
    assert (top.n, top.finished) == (40, False)


@pytest.mark.parametrize("kind", ["loader", "data set", "generator", "mapping", "max_batches"])
def test_every_form_of_inputs(kind, digits):
    images, labels = digits.images[:64], digits.labels[:64]
    dataset = TensorDataset(images, labels)
    options: Any = {}
    inputs: Any = {
        "loader": lambda: DataLoader(dataset, batch_size=24),
        "data set": lambda: dataset,
        "generator": lambda: (images[start : start + 16] for start in range(0, 64, 16)),
        "mapping": lambda: [{"pixel_values": images, "labels": labels}],
        "max_batches": lambda: digits.images,
    }[kind]()
    if kind == "mapping":
        options["inputs_from"] = "pixel_values"
    if kind == "max_batches":
        options.update(max_batches=2, batch_size=32)
    top = cl.top_inputs(digits.model, inputs, LAYER, [5], k=4, **options)
    wanted = cl.top_inputs(digits.model, images, LAYER, [5], k=4)
    assert np.array_equal(top.index, wanted.index)
    assert all(np.array_equal(a, b) for a, b in zip(top.crops(5), wanted.crops(5), strict=True))


def test_inputs_that_are_no_images():
    model = nn.Sequential(nn.Linear(5, 3))
    x = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    top = cl.top_inputs(model, x, "0", k=2)
    with torch.no_grad():
        assert top.index[:, 0].tolist() == model(x).argmax(0).tolist()
    assert (top.box == -1).all()
    with pytest.raises(ArgumentError, match="no images"):
        top.inputs(0)


def test_nan_excites_nobody():
    x = torch.rand(6, 1, 3, 3)
    x[2] = torch.nan
    top = cl.top_inputs(nn.Sequential(nn.Identity()), x, "0", k=6)
    assert 2 not in top.index[0].tolist()
    assert top.index[0, -1] == -1
    assert len(top.to_frame()) == 5


def test_memory_that_runs_out_halves_batches():
    class Narrow(Functional):
        def forward(self, x):
            if x.shape[0] > 3:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    torch.manual_seed(0)
    model, x = Narrow(), torch.randn(20, 3, 8, 8)
    top = cl.top_inputs(model, x, "two", k=3, batch_size=10)
    assert any("out of memory with 10 inputs" in note for note in top.notes)
    small = cl.top_inputs(model, x, "two", k=3, batch_size=3)
    assert np.array_equal(top.index, small.index)


def test_colours_are_their_own_or_the_range_of_all_that_was_seen(digits):
    own = cl.top_inputs(
        digits.model, digits.images, LAYER, 0, k=3, mean=digits.mean, std=digits.std
    )
    for index, picture in own.pictures.items():
        pixels = digits.images[index, 0].numpy() * digits.std[0] + digits.mean[0]
        np.testing.assert_allclose(picture[..., 0] / 255, pixels.clip(0, 1), atol=3e-3)
    ranged = cl.top_inputs(digits.model, 5 * digits.images + 2, None, 0, k=3)
    low, high = 5 * digits.images.min() + 2, 5 * digits.images.max() + 2
    for index, picture in ranged.pictures.items():
        unit = (5 * digits.images[index, 0] + 2 - low) / (high - low)
        np.testing.assert_allclose(picture[..., 0] / 255, unit.numpy(), atol=3e-3)


def test_the_result_tells_what_it_is(digits):
    top = cl.top_inputs(digits.model, digits.images, LAYER, [3, 1], k=4)
    frame = top.to_frame()
    assert len(frame) == 8
    assert frame["channel"].tolist() == [3] * 4 + [1] * 4
    assert "top 4 of 540 inputs for 2 channels by max" in repr(top)
    for crops in (False, True):
        figure: Any = top.plot(crops=crops)
        assert len(figure.axes[0].child_axes) == 8
    assert "<img" in top._repr_html_()
    for crop, (index, box) in zip(
        top.crops(3), zip(top.index[0], top.box[0], strict=True), strict=True
    ):
        first, left, last, right = box
        assert np.array_equal(crop, top.pictures[index][first:last, left:right])
    with pytest.raises(ArgumentError, match="Channel 2 was not searched for; there are 3, 1"):
        top.crops(2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k is 0; it must be a whole number above 0"),
        ({"max_batches": 0}, "max_batches is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"by": "median"}, "by is 'median'; it must be 'max' or 'mean'"),
        ({"channels": 5}, "There is no channel 5: two has 5, 0 to 4"),
        ({"layer": "tow"}, "No layer is called 'tow'"),
        ({"inputs": torch.zeros(0, 3, 8, 8)}, "inputs is empty"),
        ({"inputs": []}, "inputs is empty"),
        ({"inputs": np.zeros((2, 3, 8, 8))}, "pass torch.as_tensor"),
        (
            {"inputs": torch.zeros(2, 1, 8, 8)},
            "The model raised RuntimeError on inputs of 1 x 8 x 8",
        ),
        ({"forward": lambda model, x: model(x[:1])}, "gives 1 rows for 4 inputs"),
    ],
)
def test_bad_arguments_get_one_clear_sentence(options, said):
    model = make("functional")
    arguments: Any = {"layer": "two", "inputs": torch.zeros(4, 3, 8, 8)} | options
    with left_untouched(model), pytest.raises(ConvlensError, match=said) as caught:
        cl.top_inputs(model, **arguments)
    assert "\n" not in str(caught.value)
