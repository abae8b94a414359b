"""Figures agree with their definitions, computed here in another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import convlens as cl
from tests.models import SHARED, trained
from tests.saliency.nets import NETS, make

TARGET = torch.tensor([1, 4, 0])


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("baseline", ["zero", "mean", "blur", "noise"])
def test_integrated_gradients_add_up_within_one_percent(name, baseline):
    model, x = make(name)
    found: Any = cl.attribute(model, x, TARGET, steps=300, baseline=baseline)
    with torch.no_grad():
        score = model(x).gather(1, TARGET[:, None])[:, 0].numpy()
    np.testing.assert_allclose(found.score, score, rtol=1e-5)
    difference = found.values.sum((1, 2, 3)) - found.delta
    assert (np.abs(found.delta) <= 0.01 * np.maximum(np.abs(difference), 0.5)).all()


@pytest.mark.parametrize("name", ["vgg", "resnet", "functional", "grey"])
@pytest.mark.parametrize("method", ["deep_lift", "deep_lift_shap"])
def test_deep_lift_adds_up(name, method):
    model, x = make(name)
    base = torch.randn(4, *x.shape[1:], generator=torch.Generator().manual_seed(2))
    several = method == "deep_lift_shap"
    found: Any = cl.attribute(model, x, TARGET, method, baseline=base if several else base[:3])
    with torch.no_grad():
        score = model(x).gather(1, TARGET[:, None])[:, 0]
        there = model(base)
    there = there.mean(0)[TARGET] if several else there[:3].gather(1, TARGET[:, None])[:, 0]
    np.testing.assert_allclose(found.values.sum((1, 2, 3)), score - there, atol=2e-5)
    np.testing.assert_allclose(found.delta, 0, atol=2e-5)


@pytest.mark.parametrize("name", ["vgg", "resnet", "functional", "grey"])
def test_lrp_hands_the_whole_score_back_where_no_bias_keeps_any(name):
    model, x = make(name)
    for module in model.modules():
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)
        if isinstance(module, nn.BatchNorm2d):
            module.get_buffer("running_mean").zero_()
    found: Any = cl.attribute(model, x, TARGET, "lrp")
    np.testing.assert_allclose(found.values.sum((1, 2, 3)), found.score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", ["functional", "resnet"])
def test_grad_cam_is_its_definition(net):
    """relu(sum_k mean_ij(d score / d A_k) A_k), Selvaraju et al. 2017, eq. 1 and 2."""
    model, x = make(net)
    layer = {"functional": "conv2", "resnet": "layer1.1.bn2"}[net]
    kept = []

    def keep(module, args, output):
        kept.append(output)
        return output.clone()  # resnet adds to it in place

    handle = model.get_submodule(layer).register_forward_hook(keep)
    score = model(x).gather(1, TARGET[:, None]).sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept)
    wanted = F.relu((gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True))
    found: Any = cl.attribute(model, x, TARGET, "layer_grad_cam", layer=layer)
    np.testing.assert_allclose(found.values, wanted.detach(), atol=1e-6)
    large = F.interpolate(wanted, (10, 10), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found.map(), large[:, 0].detach(), atol=1e-6)
    shares = [
        cl.attribute(model, x, TARGET, "layer_grad_cam", layer=layer, channel=k, relu=False).values
        for k in range(kept[0].shape[1])
    ]
    np.testing.assert_allclose(np.maximum(sum(shares), 0), found.values, atol=1e-6)


def test_one_call_of_a_module_that_is_called_twice():
    model, x = make("resnet")
    calls = []
    relu = model.get_submodule("layer1.0.relu")
    handle = relu.register_forward_hook(lambda m, a, o: calls.append(o.detach().clone()))
    model(x)
    handle.remove()
    for call in (0, 1):
        found: Any = cl.attribute(
            model, x, TARGET, "input_x_gradient", layer=f"layer1.0.relu:{call}"
        )
        zero = calls[call].numpy() == 0
        assert zero.any()
        assert (found.values[zero] == 0).all()
        assert (found.values[~zero] != 0).mean() > 0.9
    with pytest.raises(cl.ArgumentError, match=r"layer1.0.relu is called 2 times: choose one"):
        cl.attribute(model, x, TARGET, "saliency", layer="layer1.0.relu")


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, *grad_outputs):
        (gradient,) = grad_outputs
        (x,) = ctx.saved_tensors
        return gradient.clamp(min=0) * (x > 0)


def test_guided_backpropagation_sees_functional_relu(monkeypatch):
    model, x = make("functional")
    found: Any = cl.attribute(model, x, TARGET, "guided_backprop").values
    plain = cl.attribute(model, x, TARGET, "saliency", absolute=False).values
    for home in (F, torch, torch.Tensor):
        monkeypatch.setattr(home, "relu", lambda x: _Guided.apply(x))
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(model(leaf).gather(1, TARGET[:, None]).sum(), leaf)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert np.abs(found - plain).max() > 0.1  # what a tool gives that does not see them


def test_occlusion_is_the_fall_of_the_score():
    model, x = make("grey")
    found: Any = cl.attribute(model, x[:1], 2, "occlusion", window=5, stride=5).values
    with torch.no_grad():
        whole = model(x[:1])[0, 2]
        for top in (0, 5):
            for left in (0, 5):
                covered = x[:1].clone()
                covered[..., top : top + 5, left : left + 5] = 0
                fall = float(whole - model(covered)[0, 2])
                window = found[..., top : top + 5, left : left + 5]
                np.testing.assert_allclose(window, fall, atol=1e-5)


def test_shapley_values_of_a_sum_are_its_terms():
    model: Any = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    x = torch.randn(1, 1, 4, 4)
    terms = (model[1].weight[1] * x.flatten()).detach().view(2, 2, 2, 2).sum((1, 3)).numpy()
    for method in ("shapley_value_sampling", "kernel_shap"):
        found: Any = cl.attribute(model, x, 1, method, patch=2, samples=64).values[0, 0]
        np.testing.assert_allclose(found[::2, ::2], terms, atol=1e-3)


def test_on_the_trained_resnet_and_real_images():
    model = trained("resnet20")
    raw = np.load(SHARED / "cifar10" / "test_256.npz")
    images = torch.from_numpy(raw["images"][:4]).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images - mean[:, None, None]) / std[:, None, None]
    found: Any = cl.attribute(model, x, steps=200, labels=torch.from_numpy(raw["labels"][:4]))
    assert (found.predicted == raw["labels"][:4]).all()
    difference = found.values.sum((1, 2, 3)) - found.delta
    assert (np.abs(found.delta) < 0.01 * np.abs(difference)).all()
    lift: Any = cl.attribute(model, x, method="deep_lift")
    assert (np.abs(lift.delta) < 1e-4 * np.abs(lift.score)).all()
    assert (cl.agreement(found, lift).cosine > 0.3).all()
