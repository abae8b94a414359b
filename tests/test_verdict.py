"""What is said about a layer, in real cases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convlens import demo
from convlens.quality import measure_layer, measure_quality
from convlens.verdict import Verdict, percent
from tests.models import trained


def said(weight: Tensor, eps: float = 0.01, groups: int = 1) -> Verdict:
    return measure_layer(weight, eps, groups=groups).verdict


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def patterns(*shape: int, strength: float, seed: int = 0) -> Tensor:
    """Filters that are mostly multiples of one pattern; the more, the larger `strength`."""
    out, inputs, height, width = shape
    one = normal(1, 1, height, width, seed=9)
    return strength * normal(out, inputs, 1, 1, seed=seed) * one + normal(*shape, seed=seed + 1)


def test_the_layer_of_the_picture() -> None:
    verdict = measure_quality(trained("resnet20"), layers="layer1.1.conv1").layers[0].verdict
    assert verdict == Verdict(
        "Diverse, one filter in eight nearly dead",
        "Its patterns vary almost as much as random ones would (0.90): well used. 12.5 % of the "
        "256 filters stay below 1 % of the largest weight and could be pruned. 2 of 16 inputs are "
        "ignored by every output. p(random) < 0.001.",
        "warn",
    )


def test_a_redundant_layer_of_a_trained_network() -> None:
    verdict = measure_quality(trained("resnet20"), layers="layer3.2.conv2").layers[0].verdict
    assert verdict.title == "Redundant, 1.5 % of the filters nearly dead"
    assert verdict.text.startswith(
        "Its patterns vary far less than random ones would (0.44): 75.3 % of their variance is one "
        "pattern. 1.5 % of the 4,096 filters stay below"
    )
    assert verdict.tone == "warn"


def test_the_demo_networks_differ_as_they_should() -> None:
    tones = {
        variant: [layer.verdict.tone for layer in measure_quality(demo.load(variant).model).layers]
        for variant in ("good", "redundant")
    }
    assert tones["good"].count("good") > len(tones["good"]) / 2
    assert tones["redundant"].count("bad") > tones["good"].count("bad")


def test_diverse() -> None:
    verdict = said(patterns(32, 16, 3, 3, strength=0.5))
    assert (verdict.title, verdict.tone) == ("Diverse", "good")
    assert verdict.text.endswith(": well used. p(random) < 0.001.")


@pytest.mark.parametrize(
    ("strength", "title", "tone"),
    [(1.2, "Fairly diverse", "good"), (2, "Redundant", "warn"), (5, "Very redundant", "bad")],
)
def test_ever_more_alike(strength: float, title: str, tone: str) -> None:
    verdict = said(patterns(32, 16, 3, 3, strength=strength))
    assert (verdict.title, verdict.tone) == (title, tone)


def test_like_random() -> None:
    verdict = said(normal(64, 32, 3, 3))
    assert (verdict.title, verdict.tone) == ("Like random filters", "warn")
    assert "vary as random ones do (1.00): training left no trace in them." in verdict.text
    assert "p(random) = 0." in verdict.text


@pytest.mark.parametrize("shape", [(64, 16, 5, 5), (64, 3, 7, 7), (32, 16, 3), (8, 8, 3, 3, 3)])
def test_like_random_of_any_kernel(shape: tuple[int, ...]) -> None:
    assert said(normal(*shape)).title == "Like random filters"


def test_where_the_two_thresholds_disagree_both_are_told() -> None:
    # T_H lies many standard deviations below the mean of so many random filters.
    verdict = said(patterns(64, 64, 3, 3, strength=0.2))
    both = "p(random) < 0.001. (torchconvquality's uncalibrated threshold would call it random: 1.0"
    assert both in verdict.text
    assert "Diverse" in verdict.title
    assert "torchconvquality" not in said(normal(64, 64, 3, 3)).text


def test_all_zero() -> None:
    assert said(torch.zeros(4, 3, 3, 3)) == Verdict(
        "All weights are zero",
        "Every weight of the 12 filters is zero: nothing of the input gets through.",
        "bad",
    )


def test_all_the_same() -> None:
    verdict = said(torch.ones(8, 4, 3, 3))
    assert (verdict.title, verdict.tone) == ("All filters are the same", "bad")
    assert verdict.text == "All 32 filters are one pattern."


@pytest.mark.parametrize("shape", [(6, 1, 5, 5), (1, 1, 3, 3), (9, 1, 3, 3)])
def test_too_few_filters(shape: tuple[int, ...]) -> None:
    verdict = said(normal(*shape))
    assert (verdict.title, verdict.tone) == ("Too few filters to judge", "none")
    assert "p(random)" not in verdict.text


def test_few_filters_that_are_dead_all_the_same() -> None:
    weight = normal(6, 1, 5, 5)
    weight[2] = 0
    verdict = said(weight)
    assert verdict.title == "Too few filters to judge, one filter in six nearly dead"
    assert "1 of 6 outputs sees next to nothing." in verdict.text


def test_one_tap() -> None:
    verdict = said(normal(8, 4, 1, 1))
    assert (verdict.title, verdict.tone) == ("No patterns to judge", "none")
    assert verdict.text.startswith("These are 1 × 1 filters, so entropy does not apply.")


def test_linear() -> None:
    weight = normal(10, 20).sign()
    weight[:, ::4] = 0
    verdict = said(weight)
    assert verdict.title == "No patterns to judge, one weight in four nearly dead"
    assert verdict.text == (
        "These are single weights, so entropy does not apply. 25 % of the 200 weights stay below "
        "1 % of the largest weight and could be pruned. 5 of 20 inputs are ignored by every output."
    )
    assert verdict.tone == "none"


@pytest.mark.parametrize(
    ("dead", "phrase", "tone"),
    [
        (2, "3.1 % of the filters nearly dead", "good"),
        (8, "one filter in eight nearly dead", "warn"),
        (21, "one filter in three nearly dead", "warn"),
        (32, "half of the filters nearly dead", "warn"),
        (40, "most filters nearly dead", "bad"),
        (62, "nearly all filters dead", "bad"),
    ],
)
def test_sparseness_in_words(dead: int, phrase: str, tone: str) -> None:
    weight = normal(64, 32, 3, 3) * torch.linspace(1, 2, 9).view(3, 3)
    weight[:dead] = 0
    verdict = said(weight)
    assert verdict.title == f"Diverse, {phrase}"
    assert verdict.tone == tone
    whole = "1 of 64 outputs sees" if dead == 1 else f"{dead} of 64 outputs see"
    assert f"{whole} next to nothing" in verdict.text


def test_dead_inputs_and_outputs_together() -> None:
    weight = normal(8, 6, 3, 3)
    weight[0], weight[:, 1] = 0, 0
    assert (
        "1 of 6 inputs is ignored by every output and 1 of 8 outputs sees next to nothing."
        in said(weight).text.replace("I", "i")
    )


def test_dead_inputs_of_groups_are_of_all_inputs() -> None:
    weight = normal(16, 4, 3, 3)
    weight[:4, 0] = 0
    assert "1 of 16 inputs is ignored" in said(weight, groups=4).text


def test_unscored() -> None:
    quality = measure_quality(nn.Sequential(nn.Conv2d(3, 8, 3), nn.LazyConv2d(3, 3)))
    verdict = quality["1"].verdict
    assert (verdict.title, verdict.tone) == ("Not scored", "none")
    assert verdict.text.endswith(".")
    weight = torch.ones(2, 2, 3, 3)
    weight[0, 0, 0, 0] = torch.nan
    assert said(weight).text == "1 NaN among its 36 weights."


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.125, "12.5 %"),
        (0.5, "50 %"),
        (0.01, "1 %"),
        (0.0015, "0.15 %"),
        (0.0005, "0.05 %"),
        (0.9996, "100 %"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
