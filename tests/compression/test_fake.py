"""Rounding in floating point: against the formula, against torch's own, and with gradients."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

import convlens as cl
from convlens.compression.fake import input_grid
from convlens.compression.rounding import affine_grid, fake_quantize
from convlens.errors import ArgumentError, UnknownLayerError
from tests.models import CifarResNet, Raising, Reused, Shapes
from tests.untouched import left_untouched


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.integers(2, 16), st.sampled_from(["per_channel", "per_tensor"]))
def test_weights_are_those_of_the_formula(seed, bits, scheme):
    torch.manual_seed(seed)
    conv = nn.Conv2d(3, 5, 3)
    w = conv.weight.detach().numpy().astype(np.float64)
    top = 2 ** (bits - 1) - 1
    peak = np.abs(w).max(axis=(1, 2, 3), keepdims=True) if "channel" in scheme else np.abs(w).max()
    scale = (peak / top).astype(np.float32)
    expected = np.rint(w.astype(np.float32) / scale) * scale  # halves to even
    model = cl.compression.quantize(nn.Sequential(conv), bits=bits, scheme=scheme)
    got = cl.find_layers(model)["0"].weight().numpy()
    np.testing.assert_array_equal(got, expected)
    assert len(np.unique(np.round(got / scale))) <= 2 * top + 1


def test_the_same_as_torch_rounds_them():
    torch.manual_seed(0)
    model = Shapes()
    rounded = cl.compression.quantize(model)
    for layer in cl.find_layers(rounded):
        w = cl.find_layers(model)[layer.key].weight()
        scale = w.flatten(1).abs().amax(1) / 127
        zero = torch.zeros(len(scale), dtype=torch.int32)
        torch.testing.assert_close(
            layer.weight(), torch.fake_quantize_per_channel_affine(w, scale, zero, 0, -127, 127)
        )


def test_inputs_are_rounded_to_the_range_that_calibration_showed():
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3))
    x = torch.rand(8, 3, 9, 9) * 3 - 1
    rounded: Any = cl.compression.quantize(model, x, activation_bits=5)
    hidden = model[:2](x).detach()
    for module, given_ in ((rounded[0], x), (rounded[2], hidden)):
        scale, zero, bits = input_grid(module) or (0, 0, 0)
        low, high = min(0.0, float(given_.min())), float(given_.max())
        assert bits == 5
        assert scale == pytest.approx((high - low) / 31, rel=1e-6)
        assert zero == round(-low / scale)
    # the first layer by hand
    scale, zero, _ = input_grid(rounded[0]) or (0, 0, 0)
    q = ((x / scale).round() + zero).clamp(0, 31)
    expected = nn.functional.conv2d((q - zero) * scale, rounded[0].weight, model[0].bias)
    torch.testing.assert_close(rounded[0](x), expected)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.integers(2, 16))
def test_zero_stays_zero(one, other, bits):
    scale, zero = affine_grid(min(one, other), max(one, other), bits)
    assert 0 <= zero < 2**bits
    got = fake_quantize(
        torch.zeros(1), torch.tensor(scale), torch.tensor(float(zero)), 0, 2**bits - 1
    )
    assert got.item() == 0


def test_gradients_pass_where_nothing_is_clipped():
    x = torch.tensor([-5.0, -0.9, 0.26, 0.9, 5.0], requires_grad=True)
    y = fake_quantize(x, torch.tensor(0.5), torch.tensor(0.0), -2, 2)
    y.sum().backward()
    assert y.tolist() == [-1, -1, 0.5, 1, 1]
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_gradients_reach_the_input_and_the_trained_weight():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 32, 32, requires_grad=True)
    model = cl.compression.quantize(CifarResNet(), torch.randn(4, 3, 32, 32), bits=4)
    model(x)[:, 0].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    weight = model.get_parameter("conv1.parametrizations.weight.original")
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_the_model_is_left_and_the_copy_stands_alone():
    model = Reused()
    model.train()
    x = torch.randn(4, 3, 8, 8)
    with left_untouched(model):
        rounded = cl.compression.quantize(model, x, layers=["stem", "twice"])
    assert not rounded.training
    again = copy.deepcopy(rounded)
    assert torch.equal(again(x.clone()), rounded(x.clone()))
    state = rounded.state_dict()
    assert {"stem.input_scale", "stem.input_zero_point"} <= set(state)
    assert input_grid(rounded.get_submodule("head")) is None


def test_masks_of_pruning_become_zeros():
    torch.manual_seed(0)
    pruned = cl.compression.prune(CifarResNet(), 0.6, layers="convs")
    rounded = cl.compression.quantize(pruned, bits=8)
    assert not prune.is_pruned(rounded)
    for layer in cl.find_layers(pruned):
        zeros = layer.weight() == 0
        assert (cl.find_layers(rounded)[layer.key].weight()[zeros] == 0).all()


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_older_norms_become_plain_weights():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.utils.weight_norm(nn.Conv2d(3, 4, 3)), nn.utils.spectral_norm(nn.Conv2d(4, 2, 3))
    )
    model(torch.randn(1, 3, 8, 8))
    rounded = cl.compression.quantize(model, bits=12)
    for layer in cl.find_layers(model):
        other = cl.find_layers(rounded)[layer.key]
        torch.testing.assert_close(other.weight(), layer.weight(), atol=1e-3, rtol=0)
        assert "int12 per channel" in other.notes[0]


def test_a_dead_channel_and_half_precision():
    model = nn.Conv2d(3, 4, 3).half()
    model.weight.data[1] = 0
    got = cl.find_layers(cl.compression.quantize(nn.Sequential(model)))["0"].weight()
    assert got.dtype == torch.float16
    assert (got[1] == 0).all()
    assert got.isfinite().all()


def test_the_scheme_is_told():
    model = cl.compression.quantize(nn.Sequential(nn.Linear(4, 3)), bits=3, scheme="per_tensor")
    note = cl.find_layers(model)["0"].notes[0]
    assert note.startswith("fake-quantised to int3 per tensor, symmetric, scale 0.")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bits": 1}, "nothing is left beside the sign"),
        ({"bits": 17}, "from 2 to 16, not 17"),
        ({"bits": 8.0}, "whole number from 2 to 16"),
        ({"activation_bits": 0}, "activation_bits must lie"),
        ({"scheme": "per_chanel"}, "Did you mean 'per_channel'"),
        ({"backend": "torchaoo"}, "Did you mean 'torchao'"),
        ({"calibration": []}, "calibration is empty"),
        ({"calibration": torch.zeros(0, 3, 8, 8)}, "calibration is empty"),
        ({"calibration": torch.randn(2, 5, 8, 8)}, "Batch 1 of calibration does not fit"),
        ({"calibration": [torch.randn(2, 3, 8, 8), torch.randn(2, 3)]}, "Batch 2 of calibration"),
        ({"calibration": np.zeros((2, 3, 8, 8))}, "calibration is a ndarray"),
        ({"calibration": torch.full((2, 3, 8, 8), torch.nan)}, "NaN or infinite"),
        ({"calibration": "images"}, "calibration must be a tensor"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(changes, said):
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    with left_untouched(model), pytest.raises(ArgumentError, match=said):
        cl.compression.quantize(model, **changes)


def test_a_model_that_raises_on_calibration():
    model, x = Raising(), torch.randn(2, 3, 8, 8)
    with left_untouched(model), pytest.raises(ArgumentError, match="bad luck inside the model"):
        cl.compression.quantize(model, x)


def test_nothing_to_quantise():
    rounded = nn.Sequential(nn.Embedding(3, 4))
    with pytest.raises(ArgumentError, match="Nothing to quantise"):
        cl.compression.quantize(rounded)
    with pytest.raises(UnknownLayerError):
        cl.compression.quantize(nn.Sequential(nn.Linear(3, 4)), layers="1")
