"""What a report says, against direct and slow computations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convlens as cl
from convlens.compression import Assessment
from convlens.errors import ArgumentError, Cancelled, ForwardError, UnknownLayerError
from tests.models import CifarResNet, Reused, Shapes
from tests.untouched import left_untouched


class Net(nn.Module):
    def __init__(self, width: int = 8):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 6, 3)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = self.conv2(x)
        return self.head(x.mean((2, 3)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    net: Any = Net()
    net.bn1.running_mean.uniform_(-0.2, 0.2)
    net.bn1.running_var.uniform_(0.5, 2)
    net.head.bias.data.zero_()
    return net.eval()


@pytest.fixture
def images():
    return torch.randn(40, 3, 10, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels():
    return torch.randint(0, 4, (40,), generator=torch.Generator().manual_seed(2))


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each layer emits."""
    found: dict[str, Tensor] = {}
    handles = [
        m.register_forward_hook(lambda _, __, y, name=name: found.update({name: y.clone()}))
        for name, m in model.named_modules()
    ]
    with torch.no_grad():
        found[""] = model(x)
    for handle in handles:
        handle.remove()
    return found


def sqnr(r: Tensor, m: Tensor) -> float:
    r, m = r.double(), m.double()
    return float(10 * torch.log10(r.square().sum() / (r - m).square().sum()))


def test_figures_are_those_of_a_direct_computation(model, images, labels):
    small = cl.compression.quantize(model, images, bits=2)
    report = cl.compression.report(small, model, images, labels, batch_size=16)
    mine, theirs = outputs(small, images), outputs(model, images)
    for key in ("conv1", "conv2", "head"):
        row = report[key]
        w, v = (cl.find_layers(m)[key].weight() for m in (model, small))
        assert row.weight_sqnr == pytest.approx(sqnr(w, v), rel=1e-5)
        assert row.output_sqnr == pytest.approx(sqnr(theirs[key], mine[key]), rel=1e-4)
        cosine = torch.cosine_similarity(theirs[key].flatten(), mine[key].flatten(), 0)
        assert row.output_cosine == pytest.approx(float(cosine), rel=1e-5)
        assert row.exact_zeros == pytest.approx(float((v == 0).float().mean()))
        assert row.entropy == cl.measure_quality(small)[key].variance_entropy
        assert row.reference_entropy == cl.measure_quality(model)[key].variance_entropy
    was, now = theirs[""].argmax(1), mine[""].argmax(1)
    assert report.overall.agreement == pytest.approx(float((was == now).float().mean()))
    assert report.overall.accuracy == pytest.approx(float((now == labels).float().mean()))
    assert report.overall.reference_accuracy == pytest.approx(float((was == labels).float().mean()))
    assert [f.index for f in report.flips] == (was != now).nonzero().flatten().tolist()
    assert report.flips  # there is something to look at
    for flip in report.flips:
        assert (flip.before, flip.after) == (int(was[flip.index]), int(now[flip.index]))
        assert flip.label == int(labels[flip.index])
    assert int(report.flips_by_class()["flips"].sum()) == len(report.flips)


def test_isolated_is_one_layer_compressed_by_hand(model, images, labels):
    small = cl.compression.quantize(model, images, bits=3)
    report = cl.compression.report(small, model, images, labels, batch_size=20)
    with torch.no_grad():
        before = model(images)
    theirs = outputs(model, images)
    for key in ("conv1", "conv2", "head"):
        torch.manual_seed(0)
        one = Net().eval()
        one.load_state_dict(model.state_dict())
        setattr(one, key, small.get_submodule(key))
        with torch.no_grad():
            after = one(images)
        lost = float((before - after).square().sum() / before.square().sum())
        assert report[key].cost == pytest.approx(lost, rel=1e-4)
        own = sqnr(theirs[key], outputs(one, images)[key])
        assert report[key].isolated_sqnr == pytest.approx(own, rel=1e-4)
        agreed = float((before.argmax(1) == after.argmax(1)).float().mean())
        assert report[key].isolated_agreement == pytest.approx(agreed)
    assert report["conv1"].isolated_sqnr == pytest.approx(report["conv1"].output_sqnr, rel=1e-6)
    order = [row.key for row in report.ranking()]
    assert order == sorted(order, key=lambda key: -report[key].cost)


def test_cka_is_that_of_compare(model, images):
    pruned = cl.compression.prune(model, 0.7)
    report = cl.compression.report(pruned, model, images, batch_size=10)
    diagonal = cl.compare(pruned, images, model, batch_size=10, layers="all").diagonal()
    for key in ("conv1", "conv2", "head"):
        assert report[key].cka == pytest.approx(diagonal.similarity[key], rel=1e-6)
        assert report[key].cka_stderr == pytest.approx(diagonal.stderr[key], rel=1e-4)
    assert report.ranking("cka")[0].cka == min(row.cka for row in report.layers)


def test_a_model_against_itself_changed_nothing(model, images, labels):
    report = cl.compression.report(model, model, images, labels)
    assert all(row.weight_sqnr == row.output_sqnr == math.inf for row in report.layers)
    assert all(row.cost == 0 and row.cka == pytest.approx(1) for row in report.layers)
    assert report.overall.agreement == 1
    assert report.flips == ()
    assert report.flips_by_class().empty


def test_pruning_is_told_apart_in_weights_filters_and_outputs(model, images):
    pruned = cl.compression.prune(model, 0.5, "layer", structured=True)
    row = cl.compression.report(pruned, model, images)["conv1"]
    assert (row.zero_outputs, row.reference_zero_outputs) == (4, 0)
    assert row.zero_filters == row.exact_zeros == 0.5
    fine = cl.compression.report(cl.compression.prune(model, 0.5), model, images)["conv2"]
    assert fine.zero_outputs == 0
    assert fine.exact_zeros is not None
    assert 0 < fine.exact_zeros < 1
    assert fine.zero_filters is not None
    assert fine.zero_filters < fine.exact_zeros


def test_sizes(model, images):
    small = cl.compression.quantize(model, bits=4)
    overall = cl.compression.report(small, model, images, isolated=0).overall
    numbers = sum(p.numel() for p in model.parameters())
    weights = sum(m.weight.numel() for m in (model.conv1, model.conv2, model.head))
    rest = sum(p.numel() * p.element_size() for p in (*model.parameters(), *model.buffers()))
    assert overall.reference_packed == rest
    assert overall.packed == rest - weights * 4 + weights / 2 + (8 + 6 + 4) * 4
    assert overall.reference_size is not None
    assert numbers * 4 < overall.reference_size < numbers * 4 + 10_000
    pruned = cl.compression.prune(model, 0.9)
    masked = cl.compression.report(pruned, model, images, isolated=0).overall
    kept = sum(int(layer.weight().count_nonzero()) for layer in cl.find_layers(pruned))
    assert masked.packed == pytest.approx(rest - weights * 4 + weights / 8 + kept * 4, abs=1)


def test_layers_called_twice_and_in_place_operations(images):
    torch.manual_seed(0)
    model = Reused()
    small = cl.compression.quantize(model, images, bits=4)
    report = cl.compression.report(small, model, images)
    assert [row.key for row in report.layers][:3] == ["stem", "twice:0", "twice:1"]
    assert report["twice:0"].cost != report["twice:1"].cost
    assert "unused" in [row.key for row in report.layers]
    assert report["unused"].reasons["cka"] == "the layer gave no output of its own on these inputs"


def test_every_kind_of_layer():
    torch.manual_seed(0)
    model, x = Shapes(), torch.randn(8, 4, 8, 8)
    small = cl.compression.quantize(model, x, bits=6)
    report = cl.compression.report(small, model, x)
    assert all(20 < row.weight_sqnr < 60 for row in report.layers)
    assert all(row.cost > 0 for row in report.layers)
    assert not any(row.reasons for row in report.layers)


def test_renamed_layers_are_matched_and_others_listed(model, images):
    class Renamed(nn.Module):
        def __init__(self, inner: Any):
            super().__init__()
            self.stem, self.norm = inner.conv1, inner.bn1
            self.body = nn.ModuleDict({"second": inner.conv2})
            self.out = inner.head
            self.extra = nn.Conv2d(4, 9, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu_(self.norm(self.stem(x)))
            return self.out(self.body["second"](x).mean((2, 3)))

    pruned = Renamed(cl.compression.prune(model, 0.5)).eval()
    report = cl.compression.report(pruned, model, images)
    matched = {row.key: (row.reference_key, row.how) for row in report.layers}
    assert matched == {
        "stem": ("conv1", "order"),
        "body.second": ("conv2", "order"),
        "out": ("head", "order"),
    }
    assert report.only_model == ("extra",)
    assert report.only_reference == ()
    assert report["stem"].cost > 0


def test_another_architecture_gives_what_makes_sense(model, images, labels):
    wide = Net(width=12).eval()
    report = cl.compression.report(wide, model, images, labels)
    row = report["conv1"]
    assert math.isnan(row.weight_sqnr)
    assert row.reasons["weight_sqnr"] == (
        "12 x 3 x 3 x 3 weights here, 8 x 3 x 3 x 3 in the reference"
    )
    assert row.reasons["output_sqnr"] == "its output is 12 x 8 x 8, in the reference 8 x 8 x 8"
    assert row.reasons["cost"] == "its weight has another shape in the reference"
    assert -0.2 < row.cka < 1  # representations of any width can be compared
    assert report.overall.agreement is not None
    none = nn.Sequential(nn.Flatten(), nn.LazyLinear(7))
    none(images)
    other = cl.compression.report(none.eval(), model, images)
    assert other.overall.agreement is None
    assert "not scores of the same classes" in " ".join(other.notes)


def test_labels_of_a_loader_are_taken_from_it(model, images, labels):
    data = torch.utils.data.TensorDataset(images, labels)
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    small = cl.compression.quantize(model, loader, bits=3)
    report = cl.compression.report(small, model, loader)
    plain = cl.compression.report(small, model, images, labels, batch_size=16)
    assert report.overall == plain.overall
    np.testing.assert_array_equal(
        report.to_frame().select_dtypes("number"), plain.to_frame().select_dtypes("number")
    )


def test_it_can_be_driven_in_steps_and_stopped(model, images, labels):
    small = cl.compression.quantize(model, images, bits=3)
    whole = cl.compression.report(small, model, images, labels)
    assessment = Assessment(small, model, images, labels)
    with pytest.raises(ArgumentError, match="Nothing was measured"):
        assessment.result()
    seen = []
    while True:
        with left_untouched(model), left_untouched(small):
            if not assessment.step():
                break
        seen.append((assessment.done, assessment.total, assessment.label))
        assert assessment.result().finished is assessment.finished
    assert [label for *_, label in seen] == [
        *("weights", "batch 1", "batch 2", "reference", "conv1", "conv2", "head")
    ]
    assert seen[-1][:2] == (7, 7)
    assert assessment.result().overall == whole.overall
    assert [row.cost for row in assessment.result().layers] == [row.cost for row in whole.layers]
    with left_untouched(model), pytest.raises(Cancelled, match="after 3 steps"):
        cl.compression.report(small, model, images, progress=lambda done, *_: done < 3)


def test_memory_is_bounded_by_running_layers_in_groups(model, images, monkeypatch):
    small = cl.compression.quantize(model, images, bits=3)
    whole = cl.compression.report(small, model, images, batch_size=10)
    monkeypatch.setattr("convlens.compression.outputs._BUDGET", 1)
    parts = cl.compression.report(small, model, images, batch_size=10)
    assert [r.output_sqnr for r in parts.layers] == [r.output_sqnr for r in whole.layers]
    assert parts.overall == whole.overall


def test_repr_frame_and_plot(model, images, labels):
    pruned = cl.compression.prune(model, 0.5)
    report = cl.compression.report(pruned, model, images, labels, titles=("pruned", "dense"))
    assert "pruned from dense: accuracy 0." in repr(report)
    assert "costs most" in repr(report)
    frame = report.to_frame()
    assert list(frame.index) == ["conv1", "conv2", "head"]
    assert {"weight_sqnr", "cost", "cka", "exact_zeros"} <= set(frame.columns)
    assert "<table" in report._repr_html_()
    bars = report.plot().axes[0]
    assert [text.get_text() for text in bars.get_yticklabels()] == [
        row.key for row in report.ranking()
    ]
    with pytest.raises(ArgumentError, match="Did you mean 'cost'"):
        report.ranking("costs")
    with pytest.raises(UnknownLayerError, match=r"'conv'\. Did you mean"):
        report["conv"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"inputs": []}, "inputs is empty"),
        ({"labels": [1, 2]}, "labels holds 2 and inputs 40"),
        ({"labels": torch.rand(40)}, "one whole number per input, not float32"),
        ({"labels": torch.full((40,), 4)}, "labels run from 4 to 4"),
        ({"labels": "cat"}, "one whole number per input"),
        ({"isolated": -1}, "isolated must be a number of samples"),
        ({"eps": 2}, "eps must lie"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"forward": 3}, "forward must be a callable"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(changes, said, model, images):
    given: dict[str, Any] = {"inputs": images, **changes}
    with left_untouched(model), pytest.raises(ArgumentError, match=said):
        cl.compression.report(model, model, **given)


def test_inputs_that_do_not_fit(model):
    x = torch.randn(4, 5, 9, 9)
    with left_untouched(model), pytest.raises(ForwardError):
        cl.compression.report(model, model, x)


def test_models_that_are_none(model, images):
    with pytest.raises(cl.ModelError, match="the class CifarResNet"):
        cl.compression.report(CifarResNet, model, images)  # type: ignore[arg-type]
