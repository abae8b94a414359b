"""The entropy of random filters: against formulas, against draws, and against what was checked."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import gammaincc, gammainccinv

from convlens.randomness import compat_threshold, random_entropy


def entropies(n: int, taps: int, draws: int, seed: int) -> np.ndarray:
    """The variance entropy of normal filters, the long way round."""
    filters = np.random.default_rng(seed).standard_normal((draws, n, taps))
    filters -= filters.mean(axis=1, keepdims=True)
    values = np.clip(np.linalg.eigvalsh(filters.swapaxes(1, 2) @ filters), 0, None)
    shares = values / values.sum(axis=1, keepdims=True)
    return -(shares * np.log10(np.where(shares > 0, shares, 1))).sum(axis=1)


@pytest.mark.parametrize("taps", [2, 9, 25, 64])
def test_p_of_what_is_far_from_random_is_zero_only_where_floats_end(taps: int) -> None:
    n = 4096
    null = random_entropy(n, taps)
    assert null is not None
    freedom = (taps - 1) * (taps + 2) / 2
    seen = []
    for statistic in np.geomspace(freedom, 40 * (freedom + 800), 60):
        entropy = (math.log(taps) - statistic / ((n - 1) * taps)) / math.log(10)
        if entropy < 0:
            break
        exact = gammaincc(freedom / 2, statistic / 2)
        found = null.p_value(entropy)
        assert found == pytest.approx(exact, rel=1e-5, abs=1e-320)
        seen.append(found)
    assert seen[0] > 0.1
    assert seen[-1] == 0


@pytest.mark.parametrize(("n", "expected"), [(48, 0.8862), (256, 0.94331), (4096, 0.95107)])
def test_compat_threshold_is_the_published_curve(n: int, expected: float) -> None:
    found = compat_threshold(n)
    assert found == pytest.approx(expected, abs=5e-5 if n == 48 else 5e-6)


def test_compat_threshold_is_refused_where_the_curve_is_not_positive() -> None:
    assert [compat_threshold(n) for n in (0, 1, 2)] == [None, None, None]
    assert compat_threshold(3) == pytest.approx(0.1256, abs=1e-3)


@pytest.mark.parametrize(
    ("taps", "n", "quantile"), [(9, 256, 0.94124), (25, 256, 1.37163), (49, 1024, 1.67858)]
)
def test_one_percent_quantiles(taps: int, n: int, quantile: float) -> None:
    null = random_entropy(n, taps)
    assert null is not None
    assert null.threshold == pytest.approx(quantile, rel=1e-5)


@pytest.mark.parametrize(("n", "taps"), [(36, 9), (256, 9), (12, 3), (4096, 25), (262_144, 9)])
def test_many_filters_follow_chi_squared(n: int, taps: int) -> None:
    null = random_entropy(n, taps)
    assert null is not None
    freedom = (taps - 1) * (taps + 2) / 2
    for alpha in (0.5, 0.05, 0.01, 1e-4):
        chi = 2 * gammainccinv(freedom / 2, alpha)
        quantile = (math.log(taps) - chi / ((n - 1) * taps)) / math.log(10)
        assert null.quantile(alpha) == pytest.approx(quantile, rel=1e-9)
        statistic = (n - 1) * taps * (math.log(taps) - quantile * math.log(10))
        assert null.p_value(quantile) == pytest.approx(gammaincc(freedom / 2, statistic / 2), 1e-6)


@pytest.mark.parametrize(
    ("n", "taps"), [(3, 9), (5, 9), (9, 9), (12, 9), (35, 9), (6, 25), (60, 25)]
)
def test_few_filters_are_drawn_as_they_should(n: int, taps: int) -> None:
    null = random_entropy(n, taps)
    assert null is not None
    drawn = entropies(n, taps, draws=4000, seed=1)
    assert null.expected == pytest.approx(drawn.mean(), abs=5 * drawn.std() / math.sqrt(4000))
    for alpha in (0.01, 0.05, 0.25):
        share = (drawn <= null.quantile(alpha)).mean()
        # Both sides are drawn, 4,000 times each.
        error = 4 * math.sqrt(2 * alpha * (1 - alpha) / 4000)
        assert share == pytest.approx(alpha, abs=error + 0.1 * alpha)
        assert null.p_value(null.quantile(alpha)) == pytest.approx(alpha, rel=0.05)


@pytest.mark.parametrize(("n", "taps"), [(20, 9), (64, 9), (256, 9), (60, 25)])
def test_p_values_of_random_filters_are_uniform(n: int, taps: int) -> None:
    null = random_entropy(n, taps)
    assert null is not None
    p = np.sort([null.p_value(h) for h in entropies(n, taps, draws=1000, seed=2)])
    distance = np.abs(p - (np.arange(1000) + 0.5) / 1000).max()
    assert distance < 0.07  # Kolmogorov's 0.1 % point is 0.062; chi-squared is asymptotic


def test_p_value_is_never_zero_from_draws_and_falls_with_entropy() -> None:
    null = random_entropy(6, 9)
    assert null is not None
    found = [null.p_value(h) for h in (0.0, 0.3, 0.5, 0.6, math.log10(9))]
    assert found == sorted(found)
    assert 0 < found[0] < 0.001
    assert found[-1] == 1


def test_two_filters_are_always_on_a_line() -> None:
    null = random_entropy(2, 9)
    assert null is not None
    assert null.expected == 0
    assert null.p_value(1e-15) == 1


def test_no_spread_no_test() -> None:
    assert random_entropy(1, 9) is None
    assert random_entropy(0, 9) is None
    assert random_entropy(100, 1) is None


def test_nobodys_random_state_is_touched() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the state that could be touched
    before = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    random_entropy.cache_clear()
    first = random_entropy(17, 9)
    random_entropy.cache_clear()
    again = random_entropy(17, 9)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert repr(np.random.get_state()) == before[1]  # noqa: NPY002
    assert first is not again
    assert first == again
    assert random_entropy(17, 9) is again
