"""Pictures of any shape, in little memory and low precision; results; what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from convlens.errors import ArgumentError, ConvlensError, ForwardError
from tests.features.nets import Functional, LeNet, make
from tests.features.seeing import QUICK, see, values
from tests.untouched import left_untouched


@pytest.mark.parametrize("size", [8, (9, 14), 28, 31, (33, 8), 40])
@pytest.mark.parametrize("colours", [1, 2, 3, 5])
def test_any_size_and_number_of_colours(size, colours):
    torch.manual_seed(0)
    model = Functional(colours)
    found = cl.visualize_features(model, "one", [0], size=size, mean=0.5, std=0.2, steps=2)
    height, width = size if isinstance(size, tuple) else (size, size)
    assert found.images.shape == (1, colours, height, width)
    assert found.pictures.shape == (1, height, width, 3 if colours == 3 else 1)


def test_size_is_found_by_trying_and_said():
    found = cl.visualize_features(make("one channel"), "conv2", 0, steps=2)
    assert found.images.shape == (1, 1, 28, 28)
    assert any("size is guessed, 28 x 28" in note for note in found.notes)
    assert any("mean and std are guessed" in note for note in found.notes)
    given = cl.visualize_features(
        make("one channel"), "conv2", 0, inputs=torch.rand(3, 1, 28, 28), steps=2
    )
    assert given.notes == ()


def test_a_network_that_shrinks_much_is_one_for_224_pixels():
    model = nn.Sequential(*(nn.Conv2d(3, 3, 3, stride=2, padding=1) for _ in range(5)))
    run = cl.Visualization(model, "0", 0)
    assert run.images().shape == (1, 224, 224, 3)


class Narrow(nn.Module):
    """Has memory for three pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 7, 3)

    def forward(self, x):
        if x.shape[0] > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self.conv(x)


def test_memory_that_runs_out_halves_the_batch():
    torch.manual_seed(0)
    model = Narrow()
    options: Any = {"size": 9, "mean": 0.5, "std": 0.25} | QUICK
    found = cl.visualize_features(model, "conv", batch_size=7, **options)
    assert found.finished
    assert "out of memory: 3 pictures at once" in found.notes
    parts = cl.visualize_features(model, "conv", batch_size=3, **options)
    assert np.array_equal(found.images, parts.images)


def test_bfloat16_climbs_as_well():
    one = see("residual", None, steps=32, size=32, precision="float32")
    two = see("residual", None, steps=32, size=32, precision="bfloat16")
    assert (two.activation > two.start).all()
    np.testing.assert_allclose(one.activation, two.activation, rtol=0.15, atol=0.05)
    emitted = values("residual", two)[range(6), range(6)]
    np.testing.assert_allclose(two.activation, emitted.mean((1, 2)), rtol=1e-3, atol=1e-4)


def test_a_model_that_knows_float32_alone_runs_in_float32():
    class Strict(Functional):
        def forward(self, x):
            if torch.is_autocast_enabled("cpu"):
                raise TypeError("float32 only")
            return super().forward(x)

    found = cl.visualize_features(Strict(), objective="logit", size=32, steps=3)
    assert found.finished


def test_half_precision_models():
    found = cl.visualize_features(make("vgg").bfloat16(), "3", [0, 1], size=16, steps=8)
    assert found.images.dtype == np.float32
    assert (found.activation > found.start).all()


# Results and refusals ---------------------------------------------------------------------------


def test_the_result_tells_what_it_is():
    found = see("functional", [3, 1])
    frame = found.to_frame()
    assert frame["channel"].tolist() == [3, 1]
    assert frame["activation"].tolist() == pytest.approx(found.activation.tolist())
    assert "two: 2 pictures by channel, 12 steps, seed 0" in repr(found)
    figure: Any = found.plot()
    assert len(figure.axes[0].child_axes) == 2
    assert figure.axes[0].child_axes[0].get_title().startswith("3: ")
    assert "<img" in found._repr_html_()
    assert found.plot(figure.axes[0]) is figure


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"channels": 5}, "There is no channel 5: two has 5, 0 to 4"),
        ({"channels": []}, "channels must be a whole number or several"),
        ({"channels": "all"}, "channels must be a whole number or several"),
        ({"layer": "twoo"}, "No layer is called 'twoo'. Did you mean 'two'"),
        ({"layer": None}, "layer is missing"),
        ({"objective": "logit"}, "leave layer out"),
        ({"objective": "chanel"}, "objective is 'chanel'; .* Did you mean 'channel'"),
        ({"objective": "direction"}, "needs direction="),
        ({"direction": torch.ones(5)}, "no other objective takes one"),
        ({"objective": "direction", "direction": torch.ones(4)}, r"not \(1, 4\)"),
        ({"objective": lambda emitted: emitted}, "must return one number per picture"),
        ({"position": (1, 1)}, "position= belongs to objective='neuron'"),
        ({"objective": "neuron", "position": (6, 0)}, "two emits maps of 6 x 6"),
        ({"steps": 0}, "steps is 0; it must be a whole number, at least 1"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"learning_rate": 0}, "learning_rate is 0; it must be a number above 0"),
        ({"tv": -1}, "tv is -1; it must be a number, at least 0"),
        ({"scale": 1}, "scale is 1; it must be below 1"),
        ({"size": 0}, "size must be a whole number of pixels above 0"),
        ({"size": (8, 8, 8)}, "size must be"),
        ({"size": 1}, "The model raised RuntimeError on inputs of 3 x 1 x 1"),
        ({"variants": 0}, "variants is 0"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"mean": 0.5, "std": None}, "mean was given without std"),
        ({"inputs": torch.rand(4, 12, 12)}, "inputs must be images, .* not 4 x 12 x 12"),
        ({"inputs": torch.rand(2, 1, 12, 12)}, "on inputs of 1 x 12 x 12"),
        ({"device": "nowhere"}, "device 'nowhere' cannot be used here"),
        ({"forward": 3}, "forward must be a callable"),
    ],
)
def test_bad_arguments_get_one_clear_sentence(options, said):
    model = make("functional")
    options = {"layer": "two", "size": 12, "mean": 0.5, "std": 0.25, "steps": 2} | options
    if "inputs" in options:
        del options["size"]
    with left_untouched(model), pytest.raises(ConvlensError, match=said) as caught:
        cl.visualize_features(model, **options)
    assert "\n" not in str(caught.value)


def test_what_is_no_model():
    with pytest.raises(ConvlensError, match=r"expects a torch.nn.Module"):
        cl.visualize_features({"weight": 1}, "two")  # type: ignore[arg-type]


def test_no_usual_size_runs():
    class Picky(LeNet):
        def forward(self, x):
            if x.shape[-1] != 77:
                raise ValueError("77 pixels")
            return x

    with pytest.raises(ArgumentError, match=r"No usual size of input runs .* pass size="):
        cl.visualize_features(Picky(), objective="logit")
    with pytest.raises(ArgumentError, match="no 2-D convolution"):
        cl.visualize_features(nn.Linear(3, 3), objective="logit")
    with pytest.raises(ForwardError, match="77 pixels"):
        cl.visualize_features(Picky(), objective="logit", size=8)
