"""Magnitude pruning: how many, which ones, and where the masks stand."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, prune

import convlens as cl
from convlens.compression.prunable import counts, find_prunable
from convlens.compression.prune import share
from convlens.errors import ArgumentError, UnknownLayerError
from tests.models import CifarResNet, Shapes, trained
from tests.untouched import left_untouched

magnitudes = st.lists(st.integers(-3, 3), min_size=2, max_size=30)  # many ties, many zeros
amounts = st.sampled_from([0.01, 0.1, 0.2, 0.29, 0.3, 0.5, 0.7, 0.9, 0.99])


def dense(*rows: list[int]) -> nn.Sequential:
    """Linear layers of one output with these weights."""
    layers = [nn.Linear(len(row), 1, bias=False) for row in rows]
    for layer, row in zip(layers, rows, strict=True):
        layer.weight.data = torch.tensor([row]).float()
    return nn.Sequential(*layers)


def masks(model: nn.Module) -> list[int]:
    return [int(v) for m in model.children() for v in m.get_buffer("weight_mask").flatten()]


@given(magnitudes, magnitudes, amounts)
def test_just_as_many_as_asked_for_and_no_larger_than_what_stays(one, other, amount):
    model = dense(one, other)
    expected = math.floor(Fraction(str(amount)) * (len(one) + len(other)))
    if not expected:
        with pytest.raises(ArgumentError, match="Nothing is left to prune"):
            cl.compression.prune(model, amount)
        return
    keep = masks(cl.compression.prune(model, amount))
    sizes = [abs(v) for v in (*one, *other)]
    assert keep.count(0) == expected
    gone = [(v, i) for i, v in enumerate(sizes) if not keep[i]]
    stay = [(v, i) for i, v in enumerate(sizes) if keep[i]]
    assert not stay or max(gone) < min(stay)  # of equal ones the first in order go


@given(magnitudes, st.lists(amounts, min_size=2, max_size=4))
def test_what_is_gone_stays_gone(row, steps):
    model = dense(row)
    alive = len(row)
    before = [1] * alive
    for amount in steps:
        if not share(amount, alive):
            with pytest.raises(ArgumentError, match=f"{alive} weights alive"):
                cl.compression.prune(model, amount)
            return
        model = cl.compression.prune(model, amount)
        alive -= share(amount, alive)
        after = masks(model)
        assert sum(after) == alive
        assert all(was or not now for was, now in zip(before, after, strict=True))
        before = after


@given(st.integers(1, 10**9), st.integers(1, 99))
def test_a_share_is_of_the_number_that_was_written(alive, percent):
    assert share(percent / 100, alive) == percent * alive // 100


@settings(max_examples=20)
@given(st.integers(2, 40), st.integers(2, 40), amounts)
def test_each_layer_on_its_own(one, other, amount):
    model = dense([1] * one, [100] * other)
    wanted = [share(amount, one), share(amount, other)]
    if not any(wanted):
        with pytest.raises(ArgumentError, match="in any layer"):
            cl.compression.prune(model, amount, "layer")
        return
    pruned = cl.compression.prune(model, amount, "layer")
    gone = [int((m.get_buffer("weight_mask") == 0).sum()) for m in pruned.children()]
    assert gone == wanted


def test_as_torch_does_it_where_there_are_no_ties():
    torch.manual_seed(0)
    model = CifarResNet()
    ours = cl.compression.prune(model, 0.3, layers="convs")
    convs = [(m, "weight") for m in model.modules() if isinstance(m, nn.Conv2d)]
    prune.global_unstructured(convs, prune.L1Unstructured, amount=0.3)
    for (theirs, _), mine in zip(
        convs, (m for m in ours.modules() if isinstance(m, nn.Conv2d)), strict=True
    ):
        assert int((theirs.weight != mine.weight).sum()) <= 1  # it rounds, and floor is asked for


def test_five_rounds_on_resnet_20():
    model = trained("resnet20")
    kept = []
    for _ in range(5):
        model = cl.compression.prune(model, 0.2, layers="convs")
        kept.append(counts(find_prunable(model, "convs")))
    assert [k for k, _ in kept] == [214157, 171326, 137061, 109649, 87720]
    assert kept[0][1] == 267696


def test_masks_are_the_standard_ones():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3))
    pruned = cl.compression.prune(model, 0.5)
    assert prune.is_pruned(pruned)
    x = torch.randn(2, 3, 9, 9)
    before = pruned(x)
    for layer in pruned.children():
        prune.remove(layer, "weight")
    assert torch.equal(pruned(x), before)
    share_of_zeros = cl.measure_quality(pruned)["0"].exact_zeros
    assert share_of_zeros is not None
    assert share_of_zeros > 0.2


def test_the_model_is_left_as_it_is_unless_asked():
    model = CifarResNet()
    with left_untouched(model):
        cl.compression.prune(model, 0.5)
    assert cl.compression.prune(model, 0.5, inplace=True) is model
    assert prune.is_pruned(model)


def test_a_shared_weight_counts_once_and_has_one_mask():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False)
            self.two.weight = self.one.weight

    pruned = cl.compression.prune(Tied(), 0.5)
    one, two = pruned.get_submodule("one"), pruned.get_submodule("two")
    assert int(one.get_buffer("weight_mask").sum()) == 50
    assert torch.equal(one.get_buffer("weight_mask"), two.get_buffer("weight_mask"))
    assert one.get_parameter("weight_orig") is two.get_parameter("weight_orig")


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_whole_filters(scope):
    torch.manual_seed(0)
    model = Shapes()
    pruned = cl.compression.prune(model, 0.4, scope, structured=True)
    outputs = alive = 0
    for layer in cl.find_layers(pruned):
        dead = (layer.weight() == 0).flatten(1).all(1)
        some = (layer.weight() == 0).flatten(1).any(1)
        assert torch.equal(dead, some)  # whole filters, or nothing of them
        assert not dead.all()
        outputs += 0 if layer.key == "head" else len(dead)
        alive += 0 if layer.key == "head" else int((~dead).sum())
        norms = layer.weight().flatten(1).norm(dim=1)
        full = cl.find_layers(model)[layer.key].weight().flatten(1).norm(dim=1)
        assert not dead.any() or full[dead].max() <= norms[~dead].min()
    if scope == "global":
        assert outputs - alive == share(0.4, outputs)


def test_the_last_filter_of_a_layer_stays():
    model: Any = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 6, 3))
    model[0].weight.data *= 1e-3
    pruned = cl.compression.prune(model, 0.9, structured=True)
    for layer in cl.find_layers(pruned):
        assert int((layer.weight() != 0).flatten(1).any(1).sum()) == 1
    with pytest.raises(ArgumentError, match="2 filters alive"):
        cl.compression.prune(pruned, 0.9, structured=True)


def test_only_the_layers_that_were_asked_for():
    pruned = cl.compression.prune(CifarResNet(), 0.5, layers=["layer1.*", "linear"])
    masked = {name.rsplit(".", 1)[0] for name, _ in pruned.named_buffers() if "mask" in name}
    assert masked == {"linear", *(f"layer1.{i}.conv{j}" for i in range(3) for j in (1, 2))}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amount": 0}, "between 0 and 1, not 0"),
        ({"amount": 1.0}, "between 0 and 1"),
        ({"amount": -0.5}, "between 0 and 1"),
        ({"amount": float("nan")}, "between 0 and 1"),
        ({"amount": 30}, "pass 0.3 for 30 %"),
        ({"amount": "0.3"}, "a share between 0 and 1"),
        ({"amount": True}, "a share between 0 and 1"),
        ({"amount": 0.001}, "Nothing is left to prune"),
        ({"scope": "globl"}, "Did you mean 'global'"),
        ({"structured": "yes"}, "True or False"),
        ({"layers": []}, "layers is empty"),
        ({"layers": "spectral"}, "its weight is parametrised"),
        ({"layers": "embedding"}, "Not to be pruned: embedding"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(changes, said):
    model = nn.ModuleDict(
        {
            "conv": nn.Conv2d(1, 2, 3),
            "spectral": parametrizations.spectral_norm(nn.Linear(3, 3)),
            "embedding": nn.Embedding(4, 4),
        }
    )
    given: dict[str, Any] = {"amount": 0.5, **changes}
    with left_untouched(model), pytest.raises(ArgumentError, match=said):
        cl.compression.prune(model, **given)


def test_an_unknown_layer_is_refused_with_the_nearest():
    with pytest.raises(UnknownLayerError, match=r"layer1\.0\.conv1"):
        cl.compression.prune(CifarResNet(), 0.5, layers="layer1.0.convv1")


def test_weights_that_are_not_numbers_are_refused():
    model = nn.Conv2d(1, 2, 3)
    model.weight.data[0, 0, 0, 0] = math.nan
    with pytest.raises(ArgumentError, match="NaN"):
        cl.compression.prune(model, 0.5)
