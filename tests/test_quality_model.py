"""Measuring a whole model: which layers, in which order, what the result offers."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from convlens.errors import ArgumentError, Cancelled, ModelError, UnknownLayerError
from convlens.layers import find_layers
from convlens.quality import METRICS, Quality, measure_layer, measure_quality, remeasure
from tests.models import CifarResNet


class Twice(nn.Module):
    """Calls one convolution twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.again = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.again(self.first(x)))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return CifarResNet()


def test_every_layer_is_there_in_order(model: nn.Module) -> None:
    quality = measure_quality(model)
    assert list(quality) == list(find_layers(model).keys())
    assert len(quality) == 20
    assert quality["layer1.0.conv1"].n == 256
    assert [row.key for row in quality.layers] == list(quality)
    assert quality.eps == 0.01
    assert "layer1.0.conv1" in quality
    assert "layer9" not in quality


def test_a_bare_name_is_its_first_call() -> None:
    model = Twice()
    quality = measure_quality(model, inputs=torch.zeros(1, 3, 8, 8))
    assert list(quality) == ["first", "again:0", "again:1"]
    assert quality["again"] is quality["again:0"]
    assert "again" in quality
    first, second = quality["again:0"], quality["again:1"]
    assert first.sparsity == second.sparsity
    assert (first.key, second.key) == ("again:0", "again:1")


def test_a_module_called_twice_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from convlens import quality as module
    from convlens.figures import figures_of

    seen: list[str] = []

    def spy(weight: torch.Tensor, key: str, *args: Any) -> Any:
        seen.append(key)
        return figures_of(weight, key, *args)

    monkeypatch.setattr(module, "figures_of", spy)
    measure_quality(Twice(), inputs=torch.zeros(1, 3, 8, 8))
    assert seen == ["first", "again:0"]


def test_unknown_layers_are_refused_with_the_nearest(model: nn.Module) -> None:
    quality = measure_quality(model)
    with pytest.raises(UnknownLayerError, match=r"'layer1.0.convl'.*'layer1.0.conv1'"):
        quality["layer1.0.convl"]
    with pytest.raises(UnknownLayerError, match=r"'layer1.0.convl'.*'layer1.0.conv1'"):
        measure_quality(model, layers="layer1.0.convl")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("conv1", ["conv1"]),
        (0, ["conv1"]),
        (-1, ["linear"]),
        (["linear", "conv1"], ["conv1", "linear"]),
        ("layer1.0.*", ["layer1.0.conv1", "layer1.0.conv2"]),
        (["*.0.conv1", 1], ["layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1"]),
    ],
)
def test_choosing_layers(model: nn.Module, chosen: Any, expected: list[str]) -> None:
    assert list(measure_quality(model, layers=chosen)) == expected


def test_choosing_a_module_that_is_called_twice() -> None:
    inputs = torch.zeros(1, 3, 8, 8)
    assert list(measure_quality(Twice(), inputs=inputs, layers="again")) == ["again:0", "again:1"]
    assert list(measure_quality(Twice(), inputs=inputs, layers="again:1")) == ["again:1"]


@pytest.mark.parametrize(
    ("chosen", "error", "said"),
    [
        (20, UnknownLayerError, r"^There is no layer 20: the model has 20 layers\.$"),
        (-21, UnknownLayerError, r"^There is no layer -21"),
        ("nothing.*", UnknownLayerError, r"^No layer is called or matches 'nothing"),
        ([], ArgumentError, r"^layers is empty"),
        (True, ArgumentError, r"^layers must be names, indices or patterns, not bool"),
        (1.5, ArgumentError, r"^layers must be names, indices or patterns, not float"),
        ([None], ArgumentError, r"^layers must be names, indices or patterns, not NoneType"),
    ],
)
def test_layers_that_cannot_be_chosen(
    model: nn.Module, chosen: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        measure_quality(model, layers=chosen)


def test_bad_arguments(model: nn.Module) -> None:
    with pytest.raises(ModelError):
        measure_quality("resnet")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArgumentError, match="eps"):
        measure_quality(model, 0)
    with pytest.raises(ArgumentError, match=r"^orthogonality must be True or False, not 'no'"):
        measure_quality(model, orthogonality="no")  # pyright: ignore[reportArgumentType]


def test_layers_without_a_score_are_there_with_the_reason() -> None:
    model = nn.Sequential(OrderedDict(good=nn.Conv2d(3, 8, 3), lazy=nn.LazyConv2d(4, 3)))
    model.add_module("meta", nn.Conv2d(8, 4, 3, device="meta"))
    model.add_module("nan", nn.Conv2d(8, 4, 3))
    with torch.no_grad():
        model.get_parameter("nan.weight")[0, 0, 0, 0] = math.nan
    quality = measure_quality(model)
    assert list(quality) == ["good", "lazy", "meta", "nan"]
    assert quality["good"].reason is None
    assert "lazy" in str(quality["lazy"].reason)
    assert "meta" in str(quality["meta"].reason)
    assert (quality["meta"].n, quality["meta"].kernel) == (32, (3, 3))
    assert quality["nan"].reason == "1 NaN among its 288 weights"
    for key in ("lazy", "meta", "nan"):
        assert quality[key].sparsity is None
        assert quality[key].verdict.title == "Not scored"
        assert remeasure(quality[key], find_layers(model)[key], 0.1).eps == 0.1


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv1d(4, 6, 5),
        nn.Conv3d(2, 4, (1, 3, 3)),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 12, 3, groups=4, dilation=2),
        nn.Linear(10, 5),
    ],
)
def test_any_layer(module: nn.Module) -> None:
    weight = module.get_parameter("weight")
    [found] = measure_quality(module).layers
    assert found.reason is None
    assert (found.out, found.inputs) == tuple(weight.shape[:2])
    assert found.kernel == tuple(weight.shape[2:])


def test_transposed_convolutions_have_their_outputs_first() -> None:
    torch.manual_seed(0)
    module = nn.ConvTranspose2d(4, 6, 3, groups=2)
    [found] = measure_quality(module).layers
    assert (found.out, found.inputs, found.groups) == (6, 2, 2)
    # (in, out / groups, ...) as stored: the two inputs of group 0 are its first two rows
    weight = torch.cat([part.transpose(0, 1) for part in module.weight.detach().split(2)])
    assert found.orthogonality == pytest.approx(measure_layer(weight, groups=2).orthogonality)
    with torch.no_grad():
        module.weight[:, 1] = 0  # output 1 of each group
    assert measure_quality(module)["(model)"].dead_outputs == 2


def test_the_effective_weight_is_measured() -> None:
    torch.manual_seed(0)
    pruned = prune.l1_unstructured(nn.Conv2d(8, 8, 3), "weight", amount=0.5)
    assert measure_quality(pruned)["(model)"].exact_zeros == pytest.approx(0.5)
    normed = parametrizations.weight_norm(nn.Conv2d(8, 8, 3))
    length = measure_quality(normed)["(model)"].l2 or 0
    with torch.no_grad():
        normed.get_parameter("parametrizations.weight.original0").mul_(7)
    assert measure_quality(normed)["(model)"].l2 == pytest.approx(7 * length)


def test_the_model_is_left_as_it_was(model: nn.Module) -> None:
    before = copy.deepcopy(model.state_dict())
    state, training = torch.get_rng_state(), [m.training for m in model.modules()]
    measure_quality(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model.modules()] == training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_progress_is_told_after_each_layer(model: nn.Module) -> None:
    told: list[tuple[int, int, str]] = []
    quality = measure_quality(model, progress=lambda *news: told.append(news))
    assert told == [(i, 20, key) for i, key in enumerate(quality, 1)]


def test_progress_can_stop(model: nn.Module) -> None:
    told: list[int] = []

    def stop(done: int, total: int, label: str) -> bool:
        told.append(done)
        return done < 3

    with pytest.raises(Cancelled, match=r"^Measuring was stopped after 3 of 20 layers\.$"):
        measure_quality(model, progress=stop)
    assert told == [1, 2, 3]


def test_frame(model: nn.Module) -> None:
    quality = measure_quality(nn.Sequential(model, nn.LazyLinear(3)))
    frame = quality.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.name == "layer"
    assert list(frame.index) == list(quality)
    assert frame.loc["0.conv1", "sparsity"] == quality["0.conv1"].sparsity
    assert frame.loc["0.conv1", "filters"] == 48
    assert frame.loc["0.conv1", "kernel"] == (3, 3)
    assert "lazy" in str(frame.loc["1", "not_scored_because"])
    assert frame["variance_entropy"].dtype == float
    assert frame["l2_norm"].dtype == float


def test_dictionary_for_those_who_come_from_torchconvquality(model: nn.Module) -> None:
    quality = measure_quality(model)
    found = quality.to_dict()
    assert list(found) == [key for key in quality if key != "linear"]
    assert list(found["conv1"]) == [
        "n",
        "sparsity",
        "variance_entropy",
        "variance_entropy_norm",
        "variance_entropy_clean",
        "variance_entropy_clean_norm",
        "orthogonality",
    ]
    assert found["conv1"]["variance_entropy_norm"] == quality["conv1"].variance_entropy_normalized
    norms = quality.to_dict(norms=True)["conv1"]
    assert norms["norm_l2_norm"] == pytest.approx(math.sqrt(16 * 27 - 1))
    assert norms["norm_l1"] == quality["conv1"].l1


def test_short_words(model: nn.Module) -> None:
    quality = measure_quality(nn.Sequential(model, nn.LazyLinear(3)))
    assert len(repr(quality)) < 200
    assert repr(quality).startswith("Quality(21 layers of Sequential, eps=0.01, sparsity 0 to")
    assert repr(quality).endswith("1 not scored)")
    assert len(repr(quality["0.conv1"])) < 160
    assert repr(quality["1"]).startswith("LayerQuality('1', not scored: lazy")


def test_html_is_escaped() -> None:
    model = nn.Sequential(OrderedDict({"<b>&": nn.Conv2d(3, 8, 3)}))
    html = measure_quality(model)._repr_html_()
    assert "<td>&lt;b&gt;&amp;</td>" in html
    assert "<b>" not in html


def test_a_result_cannot_be_changed(model: nn.Module) -> None:
    quality = measure_quality(model, layers="conv1")
    for thing in (quality, quality["conv1"]):
        with pytest.raises(AttributeError):
            thing.eps = 0.5  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(quality, Quality)


def test_every_figure_is_explained() -> None:
    row = set(measure_layer(torch.ones(2, 2, 3, 3)).to_json())
    told = {"key", "n", "kernel", "eps", "out", "inputs", "reason", "omitted"}
    assert row - told - {"orthogonality_excluded"} <= set(METRICS)
    for metric in METRICS.values():
        assert all((metric.formula, metric.range, metric.reading, metric.source))
    assert "no information" in METRICS["norm_l2_norm"].reading
