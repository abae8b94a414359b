"""The reference beside the model: which layer is which, and what a front end is told of it."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from convlens.compression import prune, quantize
from convlens.errors import ArgumentError
from convlens.widget.html import record
from tests.untouched import differences, fingerprint
from tests.widget.test_html import array_of
from tests.widget.test_lens import arrays

EPS = 0.01


class Net(nn.Module):
    """Convolutions with batch norms, called in another order than that of their registration."""

    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(8, 8, 3, padding=1)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm: nn.Module = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.norm(self.first(x)).relu()
        return self.head(self.last(x).relu().mean((2, 3)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    found = Net().eval()
    with torch.no_grad():
        found.norm.get_buffer("running_var").uniform_(0.2, 5)
        found.norm.get_parameter("weight").uniform_(0.5, 2)
    return found


@pytest.fixture
def images():
    return torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def folded(net):
    """The same net with the batch norm in the weights of the layer before it."""
    other = Net().eval()
    other.load_state_dict(net.state_dict())
    assert isinstance(other.norm, nn.BatchNorm2d)
    other.first = torch.nn.utils.fuse_conv_bn_eval(other.first, other.norm)
    other.norm = nn.Identity()
    return other


class Wrapped(nn.Module):
    """The same under other names."""

    def __init__(self, net):
        super().__init__()
        self.body = nn.Sequential(net.first, net.norm, nn.ReLU(), net.last, nn.ReLU())
        self.top = net.head

    def forward(self, x):
        return self.top(self.body(x).mean((2, 3)))


def pairs_of(page):
    found = page.ask("reference_pairs")
    assert found["status"] == "ok", found
    return {pair["layer"]: pair for pair in found["header"]["pairs"]}, found["header"]["alone"]


def weights_of(page, layer):
    answer = page.ask("reference_filters", layer=layer, start=0)
    assert answer["status"] == "ok", answer
    return arrays(answer)["weights"]


def test_rows_are_those_of_the_plain_call_under_the_models_keys(open_lens, page, net):
    other = prune(net, 0.6)
    open_lens(net, reference=other)
    header = page.ask("reference", eps=EPS)["header"]
    plain = list(cl.measure_quality(other, eps=EPS).values())
    assert [row["key"] for row in header["rows"]] == [layer.key for layer in plain]
    for row, quality in zip(header["rows"], plain, strict=True):
        assert row["sparsity"] == pytest.approx(quality.sparsity)
        assert row["variance_entropy"] == pytest.approx(quality.variance_entropy)
        assert len(row["curve"]) > 10
        assert "verdict" not in row
    page.wait(lambda p: p.state.get("_paired", {}).get("rows"))
    saved = page.state["_paired"]
    assert all(row["curve"] == [] for row in saved["rows"])
    assert len(json.dumps(saved)) < 600 * len(plain), "a saved notebook stays small"
    assert [pair["layer"] for pair in saved["pairs"]] == [layer.key for layer in plain]


@pytest.mark.parametrize("bits", [8, 3])
def test_a_quantised_reference_gives_the_weights_that_it_uses(open_lens, page, net, images, bits):
    other = quantize(net, images, bits=bits)
    before = fingerprint(net), fingerprint(other)
    lens = open_lens(net, reference=other, layer="first")
    shown = weights_of(page, "first")
    used = cl.find_layers(other)["first"].weight().numpy()
    np.testing.assert_array_equal(shown, used.reshape(shown.shape))
    levels = {len(np.unique(one)) for one in shown.reshape(8, -1)}
    assert max(levels) <= 2**bits
    np.testing.assert_array_equal(lens.reference_filters().weights, used)
    for was, model in zip(before, (net, other), strict=True):
        assert not differences(was, fingerprint(model))


def test_a_batch_norm_that_one_has_folded_in_is_allowed_for_either_way(
    open_lens, page, net, images
):
    fused = folded(net)
    plain, scaled = net.first.weight.detach().numpy(), fused.first.weight.detach().numpy()
    assert np.abs(plain - scaled).max() > 0.1
    for model, reference, expected, words in (
        (fused, net, scaled, "folded in"),
        (net, fused, plain, "taken out"),
    ):
        lens = open_lens(model, images, reference)
        pairs, _ = pairs_of(page)
        assert words in pairs["first"]["folded"]
        assert pairs["last"]["folded"] == pairs["head"]["folded"] == ""
        shown = weights_of(page, "first")
        np.testing.assert_allclose(shown, expected.reshape(shown.shape), rtol=1e-5, atol=1e-7)
        lens.close()


def test_layers_of_other_names_are_matched_by_the_order_of_their_calls(
    open_lens, page, net, images
):
    other = Wrapped(folded(net))
    lens = open_lens(net, images, other, layer="last")
    pairs, alone = pairs_of(page)
    assert {key: pair["reference"] for key, pair in pairs.items()} == {
        "first": "body.0",
        "last": "body.3",
        "head": "top",
    }
    assert {pair["how"] for pair in pairs.values()} == {"order"}
    assert alone == []
    np.testing.assert_array_equal(lens.reference_filters().weights, net.last.weight.detach())


def test_features_of_a_renamed_layer_are_those_of_its_partner(open_lens, page, net, images):
    open_lens(net, images, Wrapped(net), layer="last", mean=0, std=1)
    answer = page.ask("activations", layer="last", channel=2, input=1)
    assert [side["reason"] for side in answer["header"]["sides"]] == [None, None]
    found = arrays(answer)
    np.testing.assert_allclose(found["model_map"], found["reference_map"], rtol=1e-5)


def test_what_has_no_partner_is_said_on_both_sides(open_lens, page, net):
    torch.manual_seed(2)
    other = nn.Sequential()
    other.add_module("first", nn.Conv2d(3, 8, 3))
    other.add_module("extra", nn.Conv2d(8, 40, 5))
    lens = open_lens(net, reference=other, layer="last")
    pairs, alone = pairs_of(page)
    assert list(pairs) == ["first"]
    assert alone == ["extra"]
    answer = page.ask("reference_filters", layer="last", start=0)
    assert answer["status"] == "error"
    assert answer["header"]["message"] == "last has no counterpart in Sequential."
    with pytest.raises(ArgumentError, match="last has no counterpart"):
        lens.reference_filters()


def test_without_a_reference_there_is_none_to_ask_for(open_lens, page, net):
    lens = open_lens(net)
    answer = page.ask("reference", eps=EPS)
    assert answer["status"] == "error"
    assert (
        "has no reference: make it with Lens(model, reference=other)"
        in (answer["header"]["message"])
    )
    with pytest.raises(ArgumentError, match="has no reference"):
        lens.reference_filters()
    assert lens._structure["code"]["reference_filters"] == {}


def test_refresh_reads_both_and_a_changed_reference_is_noticed(open_lens, page, net):
    other = prune(net, 0.5)
    lens = open_lens(net, reference=other, layer="last")
    assert np.abs(weights_of(page, "last")).max() > 0
    with torch.no_grad():
        other.get_parameter("last.weight_orig").zero_()
    page.wait(lambda p: p.state.get("stale"))
    assert np.abs(weights_of(page, "last")).max() > 0, "what was read stays until it is read again"
    lens.refresh()
    assert lens.stale is False
    assert np.abs(weights_of(page, "last")).max() == 0


def test_distribution_is_the_references_own(open_lens, page, net):
    other = prune(net, 0.5)
    open_lens(net, reference=other)
    answer = page.ask("reference_distribution", layer="last")
    plain = cl.measure_distribution(other, "last")
    np.testing.assert_array_equal(arrays(answer)["weights"], plain.weights)
    assert answer["header"]["layer"] == "last"


def test_a_page_holds_both(open_lens, net):
    other = prune(net, 0.5)
    lens = open_lens(net, reference=other, layer="last")
    recording = record(lens, 10**8)
    rows = recording["traits"]["_paired"]["rows"]
    assert [row["key"] for row in rows] == ["last", "first", "head"]
    assert all(row["curve"] for row in rows)
    for key in ("last", "first", "head"):
        name = json.dumps({"layer": key, "start": 0}, sort_keys=True, separators=(",", ":"))
        shown = array_of(recording["replies"][f"reference_filters {name}"], "weights")
        used = cl.find_layers(other)[key].weight().numpy()
        np.testing.assert_array_equal(shown.ravel(), used.ravel())
        assert f'reference_distribution {{"layer":"{key}"}}' in recording["replies"]
    few = record(lens, 8 * net.last.weight.numel())["replies"]
    assert [key for key in few if "filters" in key] == [
        'filters {"layer":"last","start":0}',
        'reference_filters {"layer":"last","start":0}',
    ], "both of a layer fit, or none"


def test_whose_filters_are_shown_is_a_choice_that_is_checked(open_lens, net):
    lens = open_lens(net, reference=prune(net, 0.5), paired="difference")
    assert lens.paired == "difference"
    with pytest.raises(ArgumentError, match="paired must be one of model, reference, side by side"):
        lens.paired = "differences"
