"""The figures of a layer: golden values, an independent reference, invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convlens.quality import (
    measure_layer,
    measure_quality,
    remeasure,
    sparsity_curve,
)
from tests import reference
from tests.models import trained

EXACT = 1e-5
ENTROPIES = ("variance_entropy", "variance_entropy_clean")
FIGURES = (*ENTROPIES, "sparsity", "orthogonality")


def layer(*shape: int, seed: int = 0) -> Tensor:
    """A weight with structure: patterns of uneven strength, filters of uneven size, some dead."""
    generator = torch.Generator().manual_seed(seed)
    out, inputs, *kernel = shape
    taps = math.prod(kernel)
    basis = torch.linalg.qr(torch.randn(taps, taps, generator=generator)).Q
    strength = torch.logspace(0, -1, taps)
    rows = (torch.randn(out * inputs, taps, generator=generator) * strength) @ basis
    rows *= torch.exp(torch.randn(out * inputs, 1, generator=generator))
    rows[torch.rand(out * inputs, generator=generator) < 0.1] *= 1e-4
    return rows.view(shape)


@pytest.mark.parametrize(
    ("name", "n", "sparsity", "entropy", "normalized", "orthogonality"),
    [
        ("conv1", 48, 0.125, 0.625841, 0.706176, 0.777940),
        ("layer1.2.conv1", 256, 0.125, 0.898722, 0.952735, 0.882691),
        ("layer2.0.conv1", 512, 0, 0.783658, 0.826647, 0.900804),
        ("layer3.2.conv2", 4096, 0.0154, 0.413796, 0.435087, 0.836516),
    ],
)
def test_golden_values_of_a_trained_network(
    name: str, n: int, sparsity: float, entropy: float, normalized: float, orthogonality: float
) -> None:
    found = measure_quality(trained("resnet20"), layers=name)[name]
    assert found.n == n
    assert found.sparsity == pytest.approx(sparsity, abs=5e-5)
    assert found.variance_entropy == pytest.approx(entropy, rel=EXACT)
    assert found.variance_entropy_normalized == pytest.approx(normalized, rel=EXACT)
    assert found.orthogonality == pytest.approx(orthogonality, rel=EXACT)


def test_golden_values_of_normal_weights() -> None:
    random = np.random.RandomState(0).standard_normal((64, 32, 3, 3)).astype(np.float32)
    found = measure_layer(torch.from_numpy(random))
    assert (found.n, found.sparsity) == (2048, 0)
    assert found.variance_entropy == pytest.approx(0.952840, rel=EXACT)
    assert found.variance_entropy_normalized == pytest.approx(1.002213, rel=EXACT)
    assert found.orthogonality == pytest.approx(0.951992, rel=EXACT)


@pytest.mark.parametrize(
    "shape",
    [
        (16, 8, 3, 3),
        (96, 48, 3, 3),  # the fast path of the Gram matrix
        (512, 100, 3, 3),  # and of orthogonality
        (10, 5, 5, 5),
        (64, 3, 7, 7),
        (12, 6, 1, 3),
        (20, 7, 4),
        (6, 4, 3, 3, 3),
        (3, 1, 5, 5),
        (2, 2, 2, 2),
    ],
)
@pytest.mark.parametrize("offset", [0, 1000])
def test_agrees_with_the_formulas(shape: tuple[int, ...], offset: float) -> None:
    weight = layer(*shape) + offset
    found = measure_layer(weight)
    assert found.variance_entropy == pytest.approx(reference.entropy(weight), rel=EXACT)
    assert found.sparsity == reference.sparsity(weight, 0.01)
    kept = reference.clean(weight, 0.01)
    assert found.variance_entropy_clean == pytest.approx(reference.entropy(kept), rel=EXACT)
    assert found.orthogonality == pytest.approx(reference.orthogonality(weight), abs=2e-6)
    assert found.l1 == pytest.approx(float(weight.double().abs().sum()), rel=1e-6)
    assert found.l2 == pytest.approx(float(weight.double().norm()), rel=1e-6)
    assert found.max_abs == float(weight.abs().max())
    assert sum(found.explained_variance) == pytest.approx(1)
    assert list(found.explained_variance) == sorted(found.explained_variance, reverse=True)
    assert len(found.explained_variance) == math.prod(shape[2:])


@pytest.mark.parametrize("eps", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_any_eps(eps: float) -> None:
    weight = layer(96, 48, 3, 3)
    found = measure_layer(weight, eps)
    assert found.sparsity == reference.sparsity(weight, eps)
    kept = reference.clean(weight, eps)
    assert found.variance_entropy_clean == pytest.approx(reference.entropy(kept), abs=1e-6)


def test_the_limit_itself_is_not_sparse() -> None:
    weight = torch.zeros(3, 1, 3, 3)
    weight[0, 0, 0, 0] = -1
    weight[1, 0, 1, 1] = 0.25
    assert measure_layer(weight, 0.25).sparsity == pytest.approx(1 / 3)
    assert measure_layer(weight, 0.2500001).sparsity == pytest.approx(2 / 3)


weights = st.builds(
    layer,
    st.integers(2, 12),
    st.integers(1, 6),
    st.sampled_from([1, 3]),
    st.sampled_from([2, 3]),
    seed=st.integers(0, 10_000),
).filter(lambda weight: math.prod(weight.shape[:2]) > 2)


def same(first: Tensor, second: Tensor, names: tuple[str, ...] = FIGURES) -> None:
    one, two = measure_layer(first), measure_layer(second)
    for name in names:
        expected = getattr(two, name)
        assert getattr(one, name) == pytest.approx(expected, rel=EXACT, abs=1e-6), name


@settings(deadline=None, max_examples=30)
@given(weight=weights, exponent=st.integers(-40, 37), sign=st.sampled_from([-1.0, 1.0]))
def test_scale_and_sign_do_not_matter(weight: Tensor, exponent: int, sign: float) -> None:
    same(weight, weight * (sign * 2.0**exponent * 1.37))


@settings(deadline=None, max_examples=30)
@given(weight=weights, seed=st.integers(0, 1000))
def test_the_order_of_channels_does_not_matter(weight: Tensor, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    out = torch.randperm(weight.shape[0], generator=generator)
    inputs = torch.randperm(weight.shape[1], generator=generator)
    same(weight, weight[out][:, inputs])


@settings(deadline=None, max_examples=30)
@given(weight=weights)
def test_mirrors_and_quarter_turns_do_not_matter(weight: Tensor) -> None:
    same(weight, weight.flip(2))
    same(weight, weight.flip(3))
    same(weight, weight.rot90(1, (2, 3)))


@settings(deadline=None, max_examples=30)
@given(weight=weights, seed=st.integers(0, 1000))
def test_adding_a_filter_to_all_leaves_entropy(weight: Tensor, seed: int) -> None:
    shift = torch.randn(weight.shape[2:], generator=torch.Generator().manual_seed(seed))
    wide = weight.double()  # float32 would round the weights when they are shifted
    same(wide, wide + 30 * shift, ENTROPIES[:1])


@settings(deadline=None, max_examples=30)
@given(weight=weights, seed=st.integers(0, 1000))
def test_turning_the_space_of_taps_leaves_entropy_and_orthogonality(
    weight: Tensor, seed: int
) -> None:
    taps = math.prod(weight.shape[2:])
    turn = torch.linalg.qr(
        torch.randn(taps, taps, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    ).Q
    turned = (weight.double().flatten(2) @ turn).view(weight.shape)
    same(weight.double(), turned, ("variance_entropy", "orthogonality"))


@settings(deadline=None, max_examples=30)
@given(weight=weights)
def test_swapping_outputs_and_inputs_leaves_what_is_of_filters(weight: Tensor) -> None:
    same(weight, weight.transpose(0, 1), ("sparsity", *ENTROPIES))


@settings(deadline=None, max_examples=30)
@given(weight=weights, eps=st.floats(0.001, 0.999))
def test_figures_stay_in_their_ranges(weight: Tensor, eps: float) -> None:
    found = measure_layer(weight, eps)
    assert found.sparsity is not None
    assert 0 <= found.sparsity <= 1
    assert found.variance_entropy is not None
    assert 0 <= found.variance_entropy <= math.log10(math.prod(weight.shape[2:])) + 1e-12
    assert found.orthogonality is None or 0 <= found.orthogonality <= 1
    assert found.p_random is None or 0 <= found.p_random <= 1


@settings(deadline=None, max_examples=30)
@given(weight=weights, eps=st.floats(0.001, 0.999), other=st.floats(0.001, 0.999))
def test_remeasuring_equals_measuring(weight: Tensor, eps: float, other: float) -> None:
    assert remeasure(measure_layer(weight, eps), weight, other) == measure_layer(weight, other)


@settings(deadline=None, max_examples=30)
@given(weight=weights, eps=st.floats(0.001, 0.999), other=st.floats(0.001, 0.999))
def test_orthogonality_can_come_later(weight: Tensor, eps: float, other: float) -> None:
    first = measure_layer(weight, eps, orthogonality=False)
    assert remeasure(first, weight, eps, orthogonality=True) == measure_layer(weight, eps)
    assert remeasure(first, weight, other, orthogonality=True) == measure_layer(weight, other)
    assert remeasure(first, weight, other).pending == first.pending
    changed = remeasure(first, weight * 2, other, orthogonality=True)
    assert changed == measure_layer(weight * 2, other)


@settings(deadline=None, max_examples=30)
@given(weight=weights, grid=st.lists(st.floats(0.001, 0.999), max_size=8))
def test_the_curve_is_what_each_eps_measures(weight: Tensor, grid: list[float]) -> None:
    counts = sparsity_curve(weight, grid)
    assert counts.dtype == np.int64
    n = math.prod(weight.shape[:2])
    assert (counts / n).tolist() == [measure_layer(weight, eps).sparsity for eps in grid]
