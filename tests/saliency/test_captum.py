"""What comes out is what a direct call of Captum gives, where that can be made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from captum import attr
from captum._utils.models.linear_model import SkLearnLasso
from captum.attr._utils.custom_modules import Addition_Module
from torch import nn

import convlens as cl
from convlens.saliency import METHODS
from tests.saliency.nets import make

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")

TARGET = torch.tensor([1, 4, 0])
ONE = 4  # a class, for methods that are compared on one input


@pytest.fixture(scope="module")
def net():
    model, x = make("vgg")
    return model, x[:, :, :8, :8].contiguous()


def of(net, method, inputs=None, target: Any = TARGET, **arguments: Any):
    model, x = net
    x = x if inputs is None else inputs
    return cl.attribute(model, x, target=target, method=method, **arguments).values


def close(ours, theirs, tolerance=1e-6):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=tolerance, rtol=1e-4)


def seeded():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the one that Captum draws from


def test_gradients(net):
    model, x = net
    close(of(net, "saliency"), attr.Saliency(model).attribute(x, TARGET))
    signed = attr.Saliency(model).attribute(x, TARGET, abs=False)
    close(of(net, "saliency", absolute=False), signed)
    close(of(net, "input_x_gradient"), attr.InputXGradient(model).attribute(x, TARGET))


@pytest.mark.parametrize("rule", METHODS["integrated_gradients"].parameters[1].choices)
def test_integrated_gradients(net, rule):
    model, x = net
    theirs, delta = attr.IntegratedGradients(model).attribute(
        x, 0.5, target=TARGET, n_steps=21, method=rule, return_convergence_delta=True
    )
    given: dict[str, Any] = {"steps": 21, "rule": rule, "baseline": 0.5}
    for batch_size in (None, 1, 7, 100):
        found: Any = cl.attribute(model, x, TARGET, batch_size=batch_size, **given)
        close(found.values, theirs)
        close(found.delta, delta, 1e-5)


def test_gradient_shap(net):
    model, x = net
    base = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    seeded()
    width = 0.2 * float(x[0].max() - x[0].min())
    theirs = attr.GradientShap(model).attribute(x[:1], base, 6, width, target=ONE)
    close(
        of(net, "gradient_shap", x[:1], ONE, baseline=base, samples=6, noise=0.2, batch_size=6),
        theirs,
    )


def test_guided_backpropagation_and_deconvolution(net):
    model, x = net
    close(of(net, "guided_backprop"), attr.GuidedBackprop(model).attribute(x, TARGET))
    close(of(net, "deconvolution"), attr.Deconvolution(model).attribute(x, TARGET))


def test_deep_lift():
    """Without max pooling, whose rule in Captum 0.9 does not add up."""
    model, x = make("grey")
    base = torch.randn(3, 1, 10, 10, generator=torch.Generator().manual_seed(1))
    theirs, delta = attr.DeepLift(model).attribute(x, base, TARGET, return_convergence_delta=True)
    found: Any = cl.attribute(model, x, TARGET, "deep_lift", baseline=base)
    close(found.values, theirs)
    close(found.delta, delta, 1e-5)
    several = torch.cat([base, base + 1])
    shap = attr.DeepLiftShap(model).attribute(x[:2], several, TARGET[:2])
    for batch_size in (None, 3):
        found: Any = cl.attribute(
            model, x[:2], TARGET[:2], "deep_lift_shap", baseline=several, batch_size=batch_size
        )
        close(found.values, shap)
    layer = attr.LayerDeepLift(model, model[2]).attribute(x, base, TARGET)
    close(cl.attribute(model, x, TARGET, "deep_lift", layer="2", baseline=base).values, layer)


def test_grad_cam_and_guided_grad_cam(net):
    model, x = net
    layer = model[3]
    method = attr.LayerGradCam(model, layer)
    close(of(net, "layer_grad_cam", layer="3"), method.attribute(x, TARGET, relu_attributions=True))
    close(of(net, "layer_grad_cam", relu=False), method.attribute(x, TARGET))
    theirs = attr.GuidedGradCam(model, layer).attribute(x, TARGET, interpolate_mode="nearest")
    close(of(net, "guided_grad_cam", layer="3", interpolate="nearest"), theirs)


class Residual(nn.Module):
    """Every operation a module that Captum has an LRP rule for, but for a flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.add = Addition_Module()
        self.relu2 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(24, 5)

    def forward(self, x):
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.add(self.conv2(x), x))
        return self.fc(torch.flatten(self.pool(x), 1))


class WrittenPlainly(Residual):
    """The same with a sum and functions."""

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = (self.conv2(x) + x).relu_()
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))


def test_lrp_of_modules_and_of_the_same_written_plainly():
    torch.manual_seed(3)
    model = Residual().eval()
    plain = WrittenPlainly().eval()
    plain.load_state_dict(model.state_dict())
    x = torch.randn(3, 3, 6, 6)
    theirs, delta = attr.LRP(model).attribute(x, TARGET, return_convergence_delta=True)
    for one in (model, plain):
        found: Any = cl.attribute(one, x, TARGET, "lrp")
        close(found.values, theirs, 1e-5)
        close(-found.delta, delta, 1e-5)
    inside = attr.LayerLRP(model, model.conv2).attribute(x, TARGET)
    close(cl.attribute(model, x, TARGET, "lrp", layer="conv2").values, inside, 1e-5)


@pytest.mark.parametrize("base", ["saliency", "integrated_gradients"])
def test_noise_tunnel(net, base):
    model, x = net
    direct = {"saliency": attr.Saliency, "integrated_gradients": attr.IntegratedGradients}[base]
    width = 0.1 * float(x[0].max() - x[0].min())
    for ours in ("smoothgrad", "vargrad"):
        torch.manual_seed(5)
        theirs = attr.NoiseTunnel(direct(model)).attribute(
            x[:1], nt_type=ours, nt_samples=7, stdevs=width, target=ONE
        )
        for batch_size in (3, 400):
            found = of(
                net, ours, x[:1], ONE, of=base, samples=7, noise=0.1, seed=5, batch_size=batch_size
            )
            close(found, theirs, 1e-5)


def mask(side, size=8):
    line = torch.arange(size) // side
    return (line[:, None] * (size // side) + line).expand(1, 3, size, size).contiguous()


def test_perturbation(net):
    model, x = net
    theirs = attr.Occlusion(model).attribute(
        x, (3, 3, 3), strides=(3, 2, 2), baselines=0.3, target=TARGET
    )
    close(of(net, "occlusion", window=3, stride=2, baseline=0.3), theirs, 1e-5)
    theirs = attr.FeatureAblation(model).attribute(x, target=TARGET, feature_mask=mask(2))
    close(of(net, "feature_ablation", patch=2), theirs, 1e-5)
    seeded()
    one: dict[str, Any] = {"target": ONE, "feature_mask": mask(4)}
    theirs = attr.ShapleyValueSampling(model).attribute(x[:1], n_samples=4, **one)
    close(of(net, "shapley_value_sampling", x[:1], ONE, samples=4, patch=4), theirs, 1e-5)
    seeded()
    theirs = attr.Lime(model, interpretable_model=SkLearnLasso(alpha=0.01)).attribute(
        x[:1], n_samples=20, **one
    )
    close(of(net, "lime", x[:1], ONE, samples=20, patch=4), theirs, 1e-5)
    seeded()
    theirs = attr.KernelShap(model).attribute(x[:1], n_samples=20, **one)
    close(of(net, "kernel_shap", x[:1], ONE, samples=20, patch=4), theirs, 1e-4)


def test_attributions_to_a_layer(net):
    model, x = net
    layer = model[2]
    given: dict[str, Any] = {"layer": "2"}
    activation = attr.LayerGradientXActivation(model, layer)
    close(of(net, "input_x_gradient", **given), activation.attribute(x, TARGET))
    gradient = attr.LayerGradientXActivation(model, layer, multiply_by_inputs=False)
    close(of(net, "saliency", **given, absolute=False), gradient.attribute(x, TARGET))
    inside = attr.LayerIntegratedGradients(model, layer)
    theirs = inside.attribute(x, 0.2, target=TARGET, n_steps=13)
    for batch_size in (None, 5):
        found = of(
            net, "integrated_gradients", steps=13, baseline=0.2, batch_size=batch_size, **given
        )
        close(found, theirs, 1e-5)


def test_attributions_of_a_channel(net):
    model, x = net

    def mean(output):
        return output[:, 3].mean((1, 2))

    given: dict[str, Any] = {"layer": "2", "channel": 3, "target": None}
    theirs = attr.NeuronGradient(model, model[2]).attribute(x, mean)
    close(of(net, "saliency", absolute=False, **given), theirs)
    theirs = attr.NeuronIntegratedGradients(model, model[2]).attribute(x, mean, n_steps=11)
    close(of(net, "integrated_gradients", steps=11, **given), theirs)
    theirs = attr.NeuronGuidedBackprop(model, model[2]).attribute(x, mean)
    close(of(net, "guided_backprop", **given), theirs)
