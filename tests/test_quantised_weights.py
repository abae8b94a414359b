"""Effective weights of quantised and fake-quantised modules: torch.ao and torchao."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.ao.quantization as torch_ao
from torch import Tensor, nn
from torch.ao.quantization import quantize_fx

from convlens.layers import find_layers
from tests.untouched import left_untouched

# Deprecated by torch, in wide use all the same: every call of it warns.
ao: Any = torch_ao
fx: Any = quantize_fx

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.ao.quantization:DeprecationWarning", "ignore:.*reduce_range:UserWarning"
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant = ao.QuantStub()
        self.conv = nn.Conv2d(3, 8, 3, groups=1)
        self.bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.up = nn.ConvTranspose2d(8, 6, 2, groups=2)
        self.fc = nn.Linear(6, 4)
        self.dequant = ao.DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.relu(self.bn(self.conv(self.quant(x)))))
        return self.dequant(self.fc(x.mean((2, 3))))


def _calibrated() -> Any:
    model: Any = Net().eval()
    model.qconfig = ao.get_default_qconfig("x86")
    model.up.qconfig = ao.QConfig(ao.default_observer, ao.default_weight_observer)
    fused = ao.fuse_modules(model, [["conv", "bn", "relu"]])
    prepared = ao.prepare(fused)
    prepared(torch.randn(2, 3, 8, 8))
    return prepared


def test_static_int8_weights_are_dequantised():
    prepared = _calibrated()
    model = ao.convert(prepared)
    for key, original in {
        "conv": prepared.conv[0].weight,
        "fc": prepared.fc.weight,
    }.items():
        layer = find_layers(model)[key]
        scale = original.detach().abs().amax(tuple(range(1, original.dim()))) / 127
        scale = scale.reshape(-1, *[1] * (original.dim() - 1))
        assert (layer.weight() - original.detach()).abs().le(scale * 1.01).all()
        assert layer.weight().unique().numel() > 4
        assert layer.dtype == "qint8"
        assert layer.notes[0].startswith("int8 per channel, symmetric, scales 0.00")


def test_quantised_transposed_convolutions_come_in_our_layout():
    prepared = _calibrated()
    float_layer = find_layers(prepared)["up"]
    layer = find_layers(ao.convert(prepared))["up"]
    assert layer.shape == float_layer.shape == (6, 4, 2, 2)
    torch.testing.assert_close(layer.weight(), float_layer.weight(), atol=2e-3, rtol=0)
    assert layer.notes[0].startswith("int8 per tensor, symmetric, scale 0.00")


def test_dynamic_int8_weights_are_dequantised():
    model: Any = nn.Sequential(nn.Linear(6, 4), nn.LSTM(4, 4))
    quantised = ao.quantize_dynamic(model, {nn.Linear, nn.LSTM})
    linear, lstm = find_layers(quantised)
    torch.testing.assert_close(linear.weight(), model[0].weight.detach(), atol=2e-3, rtol=0)
    assert linear.parameters == 6 * 4 + 4
    assert lstm.reason == "LSTM: recurrent weights, no filters"


def test_reference_quantised_weights_are_rounded():
    import torch.ao.quantization as ao

    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    x = torch.randn(2, 3, 8, 8)
    prepared = fx.prepare_fx(model, ao.get_default_qconfig_mapping("x86"), (x,))
    prepared(x)
    reference = fx.convert_to_reference_fx(prepared)
    layer = find_layers(reference, x)[0]
    assert torch.equal(layer.weight(), reference.get_submodule("0").get_weight())
    assert not torch.equal(layer.weight(), model[0].weight)
    assert layer.notes[0].startswith("rounded to int8 per channel, symmetric")


@pytest.mark.parametrize("seen_data", [False, True])
def test_fake_quantised_weights_are_what_the_next_forward_pass_uses(seen_data):
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3)).train()
    model.qconfig = ao.get_default_qat_qconfig("x86")
    prepared = ao.prepare_qat(model)
    if seen_data:
        prepared(torch.randn(2, 3, 8, 8))
    layer = find_layers(prepared)[0]
    with left_untouched(prepared):
        weight = layer.weight()
    conv = prepared[0]
    assert torch.equal(weight, conv.weight_fake_quant(conv.weight).detach())
    assert layer.notes[0].startswith("fake-quantised to int8 per channel")


def test_fake_quantisation_switched_off_leaves_the_weight():
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3)).train()
    model.qconfig = ao.get_default_qat_qconfig("x86")
    prepared = ao.prepare_qat(model)
    prepared.apply(ao.disable_fake_quant)
    layer = find_layers(prepared)[0]
    assert torch.equal(layer.weight(), prepared[0].weight)
    assert layer.notes == ("fake quantisation is switched off",)


def test_qat_with_batch_norm_folds_it_in_as_its_forward_does():
    model: Any = Net().train()
    model.qconfig = ao.get_default_qat_qconfig("x86")
    model.up.qconfig = None
    prepared = ao.prepare_qat(ao.fuse_modules_qat(model, [["conv", "bn", "relu"]]))
    prepared(torch.randn(4, 3, 8, 8))
    conv, weight = prepared.conv, find_layers(prepared)["conv"].weight()
    scale = conv.bn.weight / torch.sqrt(conv.bn.running_var + conv.bn.eps)
    expected = conv.weight_fake_quant(conv.weight * scale.reshape(-1, 1, 1, 1))
    assert torch.equal(weight, expected.detach())
    assert find_layers(prepared)["conv"].notes[-1] == "batch norm folded in"


@pytest.mark.parametrize(
    ("config", "note"),
    [
        ("Int8WeightOnlyConfig", "int8 per channel, symmetric"),
        ("Float8WeightOnlyConfig", "float8_e4m3fn per channel, symmetric"),
        ("IntxWeightOnlyConfig", "int8 per channel, symmetric"),
        ("Int8DynamicActivationIntxWeightConfig", "int8 per group of 32, symmetric"),
    ],
)
def test_torchao_weights_are_dequantised(config, note):
    quantization = pytest.importorskip("torchao.quantization")
    model: Any = nn.Sequential(nn.Linear(64, 32))
    original = model[0].weight.detach().clone()
    quantization.quantize_(model, getattr(quantization, config)())
    layer = find_layers(model, torch.randn(2, 64))[0]
    with left_untouched(model):
        weight = layer.weight()
    assert type(weight) is Tensor
    assert 0 < (weight - original).abs().max() < 0.01
    assert layer.notes[0].startswith(note)


def test_torchao_qat_weights_are_rounded():
    qat = pytest.importorskip("torchao.quantization.qat")
    from torchao.quantization import quantize_

    model: Any = nn.Sequential(nn.Linear(64, 32))
    int4 = getattr(torch, "int4")  # noqa: B009 - missing from torch's stubs
    weights = qat.IntxFakeQuantizeConfig(int4, group_size=32, is_symmetric=True)
    quantize_(model, qat.QATConfig(weight_config=weights, step="prepare"))
    layer = find_layers(model)[0]
    assert layer.weight()[0, :32].unique().numel() <= 16
    assert layer.notes[0].startswith("fake-quantised to int4 per group of 32, symmetric")
