"""Whatever is wrong is said in one clear sentence, and where it can be before the model runs."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import convlens as cl
from tests.saliency.nets import make


class Silent(nn.Module):
    """Fails the test when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.deeper = nn.Conv2d(4, 6, 3)

    def forward(self, x):
        pytest.fail("the model was called")


IMAGES = torch.zeros(2, 3, 10, 10)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"inputs": IMAGES.byte()}, r"inputs are uint8 numbers; make them float, scaled as"),
        ({"inputs": IMAGES[0]}, r"inputs are 3 x 10 x 10; .* with inputs\[None\]"),
        ({"inputs": IMAGES[:0]}, r"inputs are 0 x 3 x 10 x 10; a batch"),
        ({"inputs": IMAGES.repeat(1, 3, 1, 1)}, r"with 9 channels; .* its first takes 3"),
        ({"inputs": IMAGES.numpy()}, r"inputs is a ndarray: pass torch.as_tensor"),
        ({"inputs": IMAGES.to("meta")}, r"meta device"),
        ({"inputs": (IMAGES, IMAGES)}, r"inputs is a tuple, and attributions are for one tensor"),
        ({"inputs": []}, r"inputs is empty"),
        ({"method": "integrated_gradient"}, r"Did you mean 'integrated_gradients'"),
        ({"steps": 0}, r"steps is 0; it must be a whole number from 1 to"),
        ({"stepz": 5}, r"integrated_gradients has no parameter 'stepz'; it takes steps, rule"),
        ({"rule": "gauss"}, r"rule is 'gauss'; it must be 'gausslegendre' or"),
        ({"method": "occlusion", "window": 11}, r"window is 11 pixels; .* image of 10 x 10"),
        ({"method": "occlusion", "window": 2, "stride": 3}, r"stride is 3 pixels; .* at most"),
        ({"method": "lime", "patch": 11}, r"patch is 11 pixels; it must fit"),
        ({"baseline": "zeros"}, r"baseline is 'zeros'.* Did you mean 'zero'"),
        ({"baseline": torch.zeros(4, 4)}, r"baseline is 4 x 4 and does not fit inputs of 2 x 3"),
        ({"baseline": None}, r"baseline is a NoneType; it must be one of zero, mean"),
        ({"target": "labels"}, r"target is 'labels'.* Did you mean 'label'"),
        ({"target": "label"}, r"target='label' needs labels="),
        ({"target": [1, 2, 3]}, r"target is 3, and there are 2 inputs: give one class each"),
        ({"target": 1.5}, r"target holds float32 numbers; classes are given by whole numbers"),
        ({"target": "label", "labels": [1]}, r"labels is 1, and there are 2 inputs"),
        ({"layer": "convv"}, r"No layer is called 'convv'. Did you mean 'conv'"),
        ({"layer": "all"}, r"layer='all' names 2 layers; name one"),
        ({"channel": 2}, r"channel=2 needs layer="),
        ({"method": "occlusion", "layer": "conv"}, r"occlusion attributes to inputs only"),
        ({"method": "lrp", "target": torch.sum}, r"LRP hands back the score of a class"),
        ({"seed": -1}, r"seed is -1; it must be a whole number >= 0"),
        ({"batch_size": 0}, r"batch_size is 0; it must be a whole number >= 1"),
        ({"device": "gpu"}, r"device is 'gpu', which cannot be used here"),
        ({"inputs_from": "image", "inputs": [{"x": IMAGES}]}, r"inputs_from is 'image', and a"),
    ],
)
def test_said_before_the_model_is_called(given, said):
    arguments: dict[str, Any] = {"inputs": IMAGES, **given}
    with pytest.raises((cl.ArgumentError, cl.UnknownLayerError), match=said) as caught:
        cl.attribute(Silent(), **arguments)
    assert "\n" not in str(caught.value)


def test_no_model():
    with pytest.raises(cl.ModelError):
        cl.attribute(cast(Any, len), IMAGES)


@pytest.mark.parametrize("method", ["saliency", "layer_grad_cam", "occlusion", "deep_lift"])
def test_a_target_that_is_no_class(method):
    model, x = make("vgg")
    for target in (5, -1, [0, 7, 1]):
        with pytest.raises(cl.ArgumentError, match=r"this model has 5 classes, 0 to 4\."):
            cl.attribute(model, x, target, method)


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "occlusion"])
def test_outputs_that_are_nan(method):
    model, x = make("vgg")
    x[1] = float("nan")
    with pytest.raises(cl.ForwardError, match="The model's outputs for input 1 are NaN"):
        cl.attribute(model, x, method=method)
    with pytest.raises(cl.ForwardError, match="The model's outputs for input 1 are NaN"):
        cl.predict(model, x, batch_size=1)


@pytest.mark.parametrize("method", ["saliency", "occlusion", "deep_lift"])
@pytest.mark.parametrize(
    ("target", "said"),
    [
        (lambda out: out, r"one number per input, a tensor of \d+; it gave \d+ x 5"),
        (lambda out: out.sum(), r"it gave a single number"),
        (lambda out: 3.0, r"it gave a float"),
        (lambda out: out.argmax(1), r"must give real numbers that a gradient can be taken of"),
    ],
)
def test_a_callable_that_gives_no_scalar(method, target, said):
    model, x = make("vgg")
    with pytest.raises(cl.ArgumentError, match=said):
        cl.attribute(model, x, target, method)


def test_a_model_that_raises():
    model, x = make("vgg")
    with pytest.raises(cl.ForwardError, match=r"The model raised RuntimeError on inputs of 3 x 1"):
        cl.attribute(model, x[:, :1])
    with pytest.raises(cl.ForwardError, match=r"returns a list without a tensor of scores"):
        cl.attribute(model, x, forward=lambda m, x: [])
    with pytest.raises(cl.ForwardError, match=r"its first dimension must be the inputs'"):
        cl.attribute(model, x, forward=lambda m, x: m(x).mean(0))


def test_dense_outputs_need_a_callable():
    model = nn.Conv2d(3, 5, 3).eval()
    x = torch.randn(2, 3, 6, 6)
    with pytest.raises(cl.ArgumentError, match=r"The outputs are 2 x 5 x 4 x 4, not one"):
        cl.attribute(model, x)
    found: Any = cl.attribute(
        model, x, lambda out: out[:, 2].mean((1, 2)), "saliency", absolute=False
    )
    assert found.target is None
    weight = model.weight[2].detach().numpy()
    np.testing.assert_allclose(
        found.values[0, :, 2:4, 2:4].mean((1, 2)) * 16, weight.sum((1, 2)), rtol=1e-4
    )


def test_a_channel_or_call_that_is_not_there():
    model, x = make("resnet")
    with pytest.raises(cl.ArgumentError, match=r"channel is 8; layer1.0.conv1 has 8 channels"):
        cl.attribute(model, x, method="saliency", layer="layer1.0.conv1", channel=8)
    with pytest.raises(cl.ArgumentError, match=r"relu:4 is not called on these inputs"):
        cl.attribute(model, x, method="saliency", layer="layer1.0.relu:4")


def test_training_mode_is_put_aside_and_back():
    model, x = make("resnet")
    wanted = cl.attribute(model, x, 1, "saliency").values
    model.train()
    np.testing.assert_array_equal(cl.attribute(model, x, 1, "saliency").values, wanted)
    assert all(module.training for module in model.modules())


def test_inputs_of_other_types_are_fitted_to_the_model():
    model, x = make("vgg")
    wanted = cl.attribute(model, x, 1, "saliency").values
    found: Any = cl.attribute(model, x.double(), 1, "saliency")
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, wanted, atol=1e-6)
    labels = torch.tensor([4, 2, 0])
    loader = DataLoader(TensorDataset(x, labels), batch_size=2)
    drawn: Any = cl.attribute(model, loader, "label", "saliency")
    assert drawn.target.tolist() == [4, 2] == drawn.label.tolist()
    named = cl.attribute(model, [{"image": x}], 1, "saliency", inputs_from="image")
    np.testing.assert_allclose(named.values, wanted, atol=1e-6)
    double = model.double()
    np.testing.assert_allclose(cl.attribute(double, x, 1, "saliency").values, wanted, atol=1e-5)


def test_outputs_of_other_kinds():
    model, x = make("vgg")
    wanted = cl.attribute(model, x, method="saliency")
    for wrap in (lambda o: {"aux": o * 0, "logits": o}, lambda o: (o, o * 0)):
        found: Any = cl.attribute(model, x, method="saliency", forward=lambda m, x, w=wrap: w(m(x)))
        np.testing.assert_array_equal(found.values, wanted.values)
    one = nn.Sequential(model, nn.Linear(5, 1), nn.Flatten(0)).eval()
    found: Any = cl.attribute(one, x, method="saliency")
    assert found.predicted.tolist() == [0, 0, 0]
    in_inference = torch.inference_mode()(lambda: cl.attribute(model, x, method="saliency"))
    np.testing.assert_array_equal(in_inference().values, wanted.values)
