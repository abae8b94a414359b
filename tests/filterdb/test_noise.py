"""The floor below drift is what permutations give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convlens.filterdb.drift import drift_between
from convlens.filterdb.noise import floor_between, floor_of_shares, shares_of

SPAN = (-2.5, 2.5)
WEIGHTS = np.array([0.5, 0.3, 0.2])


def sample(n: int, rng: Any) -> Any:
    """Coefficients of n filters along three components, one of them in two clumps."""
    found = rng.standard_normal((n, 3)) * [0.8, 0.6, 0.3]
    found[:, 2] += rng.choice([-0.7, 0.7], n)
    return found


def counted(values: Any) -> Any:
    return np.stack([np.histogram(column, 70, SPAN)[0] for column in values.T])


@pytest.mark.parametrize(("n", "m"), [(1, 300), (48, 48), (48, 2000), (256, 256), (900, 3000)])
def test_mean_and_spread_are_those_of_permutations(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    both = np.clip(sample(n + m, rng), -2.49, 2.49)
    drawn = []
    one = other = np.zeros((3, 70), np.int64)
    for _ in range(400):
        order = rng.permutation(n + m)
        one, other = counted(both[order[:n]]), counted(both[order[n:]])
        drawn.append(drift_between(one[None], other[None], SPAN, WEIGHTS)[0, 0])
    floor = floor_between(one, other, SPAN, WEIGHTS)
    error = np.std(drawn) / 20
    assert floor.mean == pytest.approx(np.mean(drawn), abs=5 * error)
    beyond = np.mean(np.array(drawn) > floor.high)
    assert beyond <= (0.04 if n > 1 else 0.08)  # once in a hundred times, or so
    assert floor.high < 1.6 * np.quantile(drawn, 0.99)


def test_noise_is_called_noise_and_difference_difference() -> None:
    rng = np.random.default_rng(0)
    p = []
    one = other = np.zeros((3, 70), np.int64)
    for _ in range(60):
        one, other = (counted(np.clip(sample(300, rng), -2.49, 2.49)) for _ in range(2))
        drift = float(drift_between(one[None], other[None], SPAN, WEIGHTS)[0, 0])
        p.append(floor_between(one, other, SPAN, WEIGHTS).p(drift))
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    moved = counted(np.clip(sample(300, rng) + np.array([1.2, 0, 0]), -2.49, 2.49))
    drift = float(drift_between(one[None], moved[None], SPAN, WEIGHTS)[0, 0])
    assert floor_between(one, moved, SPAN, WEIGHTS).p(drift) < 1e-4


@pytest.mark.parametrize(("n", "m"), [(48, 48), (256, 5000), (20_000, 3000)])
def test_a_known_distribution_gives_the_floor_of_its_samples(n: int, m: int) -> None:
    rng = np.random.default_rng(1)
    pooled = counted(np.clip(sample(400_000, rng), -2.49, 2.49))
    shares = pooled / pooled.sum(1, keepdims=True)
    drawn = []
    for _ in range(200):
        one = np.stack([rng.multinomial(n, share) for share in shares])
        other = np.stack([rng.multinomial(m, share) for share in shares])
        drawn.append(drift_between(one[None], other[None], SPAN, WEIGHTS)[0, 0])
    floor = floor_of_shares(shares_of(n, pooled, SPAN), shares_of(m, pooled, SPAN), WEIGHTS)
    assert floor.mean == pytest.approx(np.mean(drawn), abs=5 * np.std(drawn) / np.sqrt(200))


counts = st.lists(st.integers(0, 500), min_size=6, max_size=6).filter(any)


@settings(deadline=None)
@given(counts, counts)
def test_drift_is_symmetric_positive_and_zero_with_itself(one: Any, other: Any) -> None:
    p, q = np.array([[one]]), np.array([[other]])
    weight = np.ones(1)
    there = drift_between(p, q, (0.0, 1.0), weight)[0, 0]
    assert there == pytest.approx(drift_between(q, p, (0.0, 1.0), weight)[0, 0])
    assert there >= -1e-12
    assert drift_between(p, p, (0.0, 1.0), weight)[0, 0] == pytest.approx(0, abs=1e-12)
    floor = floor_between(p[0], q[0], (0.0, 1.0), weight)
    assert 0 <= floor.mean <= floor.high
    assert floor.mean == pytest.approx(floor_between(q[0], p[0], (0.0, 1.0), weight).mean)
