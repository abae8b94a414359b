"""What comes out is what a direct call of Captum gives, where that can be made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum import attr

import convlens as cl
from convlens.saliency import METHODS
from tests.saliency.nets import make

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")


@pytest.fixture(scope="module")
def net():
    return make("vgg")


def of(net, method, **arguments):
    model, x = net
    return cl.attribute(model, x, target=[1, 4, 0], method=method, **arguments).values


TARGET = torch.tensor([1, 4, 0])


def close(ours, theirs, tolerance=1e-6):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=tolerance, rtol=1e-4)


def test_gradients(net):
    model, x = net
    close(of(net, "saliency"), attr.Saliency(model).attribute(x, TARGET))
    signed = attr.Saliency(model).attribute(x, TARGET, abs=False)
    close(of(net, "saliency", absolute=False), signed)
    close(of(net, "input_x_gradient"), attr.InputXGradient(model).attribute(x, TARGET))


@pytest.mark.parametrize("rule", METHODS["integrated_gradients"].parameters[1].choices)
def test_integrated_gradients(net, rule):
    model, x = net
    theirs = attr.IntegratedGradients(model).attribute(
        x, 0.5, target=TARGET, n_steps=21, method=rule
    )
    for batch_size in (None, 1, 7, 100):
        ours = of(
            net, "integrated_gradients", steps=21, rule=rule, baseline=0.5, batch_size=batch_size
        )
        close(ours, theirs)


def test_grad_cam(net):
    model, x = net
    layer = model[3]
    method = attr.LayerGradCam(model, layer)
    ours = of(net, "layer_grad_cam", layer="3")
    close(ours, method.attribute(x, TARGET, relu_attributions=True))
    close(of(net, "layer_grad_cam", relu=False), method.attribute(x, TARGET))
