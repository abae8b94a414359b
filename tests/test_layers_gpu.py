"""What only a CUDA device shows: devices of inputs and weights, its random generator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convlens.layers import find_layers
from tests.models import CifarResNet, Reused, Unruly, nets
from tests.test_weights import CONVS, legacy
from tests.untouched import left_untouched

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_inputs_on_the_cpu_are_copied_to_the_model():
    model, x = Reused().cuda(), torch.randn(2, 3, 8, 8)
    before = x.clone()
    layers = find_layers(model, [(x, torch.zeros(2))])
    assert layers.keys()[0] == "stem"
    assert x.device.type == "cpu"
    assert torch.equal(x, before)
    assert layers["stem"].device == "cuda:0"


@pytest.mark.parametrize("name", nets())
def test_a_run_leaves_no_trace(name):
    make, images = nets()[name]
    model, x = make().cuda().train(), images()
    torch.cuda.init()
    with left_untouched(model):
        find_layers(model, x)


def test_numbers_drawn_on_the_device_are_put_back():
    model = Unruly().cuda()
    x = torch.randn(2, 3, 8, 8)
    state = torch.cuda.get_rng_state()
    find_layers(model, x, lambda m, x: m(x + torch.rand(1, device="cuda")))
    assert torch.equal(torch.cuda.get_rng_state(), state)


@legacy
@pytest.mark.parametrize("case", CONVS)
def test_effective_weights_are_read_where_they_are(case):
    conv: Any = nn.Sequential(CONVS[case][0]().cuda())
    layer = find_layers(conv)[0]
    with left_untouched(conv):
        weight = layer.weight()
    assert weight.is_cuda
    x = torch.randn(2, 4, 6, 6, device="cuda", dtype=weight.dtype)
    with torch.no_grad():
        expected = conv.eval()(x)
    torch.testing.assert_close(
        F.conv2d(x, weight, conv[0].bias.detach(), groups=2), expected, rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_are_read_as_they_are(dtype):
    model: Any = CifarResNet(1).cuda().to(dtype)
    model = model.to(memory_format=torch.channels_last)
    layers = find_layers(model, torch.randn(2, 3, 32, 32, dtype=dtype))
    assert {layer.weight().dtype for layer in layers} == {dtype}
    assert layers["conv1"].dtype == str(dtype).removeprefix("torch.")
    assert layers["conv1"].weight().data_ptr() == model.conv1.weight.data_ptr()


def test_memory_comes_back():
    model, x = CifarResNet().cuda(), torch.randn(64, 3, 32, 32)
    find_layers(model, x)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    find_layers(model, x)
    assert torch.cuda.memory_allocated() == before
