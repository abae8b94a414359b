"""Real integers: torch.ao, torchao and NNCF, in a report and in a Lens."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import convlens as cl
from convlens.compression import read_scales, report
from convlens.errors import ArgumentError, MissingPackageError, ModelError
from tests.models import SHARED, Structured, trained
from tests.untouched import left_untouched

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Block(nn.Module):
    """A residual block as the libraries fuse it: conv + bn + relu, conv + bn, linear."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(x + self.norm2(self.conv(x)))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    block: Any = Block()
    for norm in (block.norm, block.norm2):
        norm.running_var.uniform_(0.3, 2)
        norm.running_mean.uniform_(-0.3, 0.3)
        norm.weight.data.uniform_(-1.5, 1.5)
    return block.eval()


@pytest.fixture
def images():
    return torch.randn(48, 3, 8, 8, generator=torch.Generator().manual_seed(1))


BACKENDS = ["torch.ao", "torchao"]


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("torch").setLevel(logging.ERROR)


@pytest.mark.parametrize("scheme", ["per_channel", "per_tensor"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_are_matched_through_fusion(backend, scheme, model, images):
    if backend == "torchao":
        pytest.importorskip("torchao")
    with left_untouched(model):
        int8 = cl.compression.quantize(model, images, backend=backend, scheme=scheme)
    with left_untouched(model):
        found = report(int8, model, images, batch_size=16)
    assert [row.reference_key for row in found.layers] == ["stem", "conv", "head"]
    assert found.only_model == found.only_reference == ()
    for row in found.layers:
        # what is left is what 8 bits cost: that batch norm and ReLU were fused is accounted for
        assert row.weight_sqnr > 30
        assert row.output_sqnr > 25
        assert row.isolated_sqnr > 25
        assert row.cost < 1e-3
        assert row.cka > 0.98
        assert not row.reasons
    assert ("batch norm folded in" in found["stem"].notes) is True
    assert found.overall.agreement is not None
    assert found.overall.agreement > 0.9
    weights = sum(m.weight.numel() for m in (model.stem, model.conv, model.head))
    assert weights < found.overall.packed < found.overall.reference_packed / 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_scales_are_those_of_the_folded_weight(backend, model, images):
    if backend == "torchao":
        pytest.importorskip("torchao")
    int8 = cl.compression.quantize(model, images, backend=backend)
    scales = read_scales(int8, "stem")
    gain = model.norm.weight / (model.norm.running_var + model.norm.eps).sqrt()
    folded = (model.stem.weight * gain.reshape(-1, 1, 1, 1)).detach()
    peaks = folded.flatten(1).abs().amax(1).numpy()
    assert (scales.bits, scales.per_channel) == (8, True)
    least = 2**-12 if backend == "torchao" else 0  # of its x86 quantiser
    np.testing.assert_allclose(scales.scales, np.maximum(peaks / 127.5, least), rtol=0.02)
    assert not scales.zero_points.any()
    assert scales.integers.shape == (8, 3, 3, 3)
    np.testing.assert_allclose(
        scales.integers * scales.scales.reshape(-1, 1, 1, 1),
        cl.find_layers(int8)["stem"].weight(),
        rtol=1e-5,
        atol=1e-7,
    )
    with pytest.raises(ArgumentError, match="no scales"):
        read_scales(model, "stem")


@pytest.mark.parametrize("backend", ["fake", *BACKENDS])
def test_a_lens_shows_the_integers(backend, model, images, open_lens):
    if backend == "torchao":
        pytest.importorskip("torchao")
    int8 = cl.compression.quantize(model, images, backend=backend)
    lens = open_lens(int8, images, reference=model)
    notes = [" ".join(layer.notes) for layer in lens.layers]
    assert all("int8 per channel" in note for note in notes)
    assert all(layer.reason is None for layer in lens.layers)


def test_torchao_weights_quantised_elsewhere(images):
    ao = pytest.importorskip("torchao.quantization")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 5)).eval()
    again = nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, 5)).eval()
    again.load_state_dict(model.state_dict())
    ao.quantize_(again, ao.Int8WeightOnlyConfig())
    with left_untouched(model):
        found = report(again, model, images)
    assert [row.how for row in found.layers] == ["name", "name"]
    assert all(35 < row.weight_sqnr < 60 and row.output_sqnr > 30 for row in found.layers)
    assert found.overall.packed < found.overall.reference_packed / 3
    scales = read_scales(again, "1")
    assert scales.scales.shape == (64,)
    assert np.abs(scales.integers).max() <= 128


@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="pip install nncf")
def test_nncf(model, images):
    int8: Any = cl.compression.quantize(model, images, backend="nncf")
    found = report(int8, model, images)
    assert [row.reference_key for row in found.layers] == ["stem", "conv", "head"]
    assert found.only_model == ()
    assert all(30 < row.weight_sqnr < 60 and row.output_sqnr > 25 for row in found.layers)
    assert found.overall.agreement is not None
    assert found.overall.agreement > 0.9
    hook = getattr(int8, "__nncf_hooks").pre_hooks["stem/conv2d/0__1"]["0"]
    expected = hook(int8.stem.weight).detach()
    away = (cl.find_layers(int8)["stem"].weight() - expected).abs() > 1e-5
    scales = cl.compression.read_scales(int8, "stem")
    assert (scales.bits, abs(scales.integers).max()) == (8, 127)
    assert away.float().mean() < 0.02  # halves, which NNCF puts there and the last bit decides on


class SymmetricQuantizer(nn.Module):
    """What convlens reads of NNCF's: the test above is of the real one, where it is installed."""

    level_low, level_high, num_bits = -127, 127, 8

    def __init__(self, scale: Tensor):
        super().__init__()
        self.scale = nn.Parameter(scale)


def test_weights_that_nncf_rounds_beside_the_modules(model):
    hooks: Any = nn.Module()
    hooks.pre_hooks = nn.ModuleDict()
    peaks = model.stem.weight.detach().flatten(1).abs().amax(1).reshape(-1, 1, 1, 1)
    inner = nn.ModuleDict({"0": SymmetricQuantizer(peaks)})
    hooks.pre_hooks.add_module("stem/conv2d/0__1", inner)
    model.add_module("__nncf_hooks", hooks)
    layers = cl.find_layers(model)
    assert layers.keys() == ("stem", "conv", "head")
    assert layers["stem"].notes[0].endswith("by NNCF")
    assert layers["conv"].notes == ()
    step = peaks / 127
    expected = (model.stem.weight.detach() / step).round() * step
    torch.testing.assert_close(layers["stem"].weight(), expected)
    scales = cl.compression.read_scales(model, "stem")
    assert (scales.bits, scales.per_channel, set(scales.zero_points)) == (8, True, {0})
    np.testing.assert_allclose(scales.scales, step.flatten().numpy(), rtol=1e-6)
    whole = torch.as_tensor(scales.integers) * step
    torch.testing.assert_close(whole, expected)
    with pytest.raises(cl.errors.ArgumentError, match="no scales"):
        cl.compression.read_scales(model, "conv")


@pytest.mark.parametrize("backend", BACKENDS)
def test_resnet_20_in_real_int8(backend):
    if backend == "torchao":
        pytest.importorskip("torchao")
    model = trained("resnet20")
    with np.load(SHARED / "cifar10" / "test_256.npz") as archive:
        pixels, labels = archive["images"], torch.from_numpy(archive["labels"])
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (torch.from_numpy(pixels).float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    int8 = cl.compression.quantize(model, x[:64], backend=backend)
    found = report(int8, model, x[:128], labels[:128], isolated=0)
    assert len(found.layers) == 20
    assert found.overall.agreement is not None
    assert found.overall.agreement >= 0.98
    assert min(row.cka for row in found.layers) > 0.99


def test_a_missing_package_is_told_with_the_line_that_installs_it(model, images, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'convlens\[torchao\]'"):
        cl.compression.quantize(model, images, backend="torchao")
    with pytest.raises(ImportError, match=r"pip install 'convlens\[nncf\]'"):
        cl.compression.quantize(model, images, backend="nncf")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"calibration": None}, "needs calibration"),
        ({"calibration": []}, "calibration is empty"),
        ({"calibration": torch.randn(2, 5, 8, 8)}, "Batch 1 of calibration does not fit"),
        ({"bits": 4}, "quantises to 8 bits, not 4"),
        ({"activation_bits": 4}, "quantises to 8 bits, not 4"),
        ({"layers": "stem"}, "takes all layers"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(changes, said, model, images):
    given: dict[str, Any] = {"calibration": images, "backend": "torch.ao", **changes}
    with left_untouched(model), pytest.raises(ArgumentError, match=said):
        cl.compression.quantize(model, **given)


def test_what_a_library_cannot_take_is_told_in_a_sentence(images):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) if x.sum() > 0 else -self.conv(x)

    with pytest.raises(ModelError, match=r"backend='torch\.ao' cannot quantise this Branching"):
        cl.compression.quantize(Branching(), images, backend="torch.ao")
    named = {"image": images, "table": torch.randn(48, 5)}
    with pytest.raises(ArgumentError, match="arguments by name"):
        cl.compression.quantize(Structured(), named, backend="torch.ao")
