"""Compiled loops: the figures of torch, of any numbers that a file may hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from convlens import filterdb
from convlens.filterdb import arithmetic, compiled
from convlens.filterdb.compiled import COMPILED
from tests.filterdb import files

needs_numba = pytest.mark.skipif(not compiled.serves(9), reason="numba is not installed")


def basis(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return np.linalg.qr(rng.standard_normal((9, 9)))[0], rng.uniform(-0.3, 0.3, 9)


def numbers(dtype: Any) -> Any:
    """Filters of ordinary and of extreme weights, some of them NaN or infinite, many of them 0."""
    width = 32 if dtype is np.float32 else 64
    weights = st.one_of(
        st.just(0.0), st.floats(-1, 1, width=width), st.floats(width=width, allow_subnormal=True)
    )
    return hnp.arrays(dtype, st.tuples(st.integers(1, 40), st.just(9)), elements=weights)


def spread(dtype: Any) -> dict[str, Any]:
    """Filters as they come, and as they should not."""
    rng = np.random.default_rng(3)
    usual = rng.standard_normal((3000, 9)).astype(dtype)
    holes = usual.copy()
    holes[rng.random(usual.shape) < 0.01] = np.nan
    holes[[5, 511, 512, 2999], 2] = np.inf
    tiny = usual * np.finfo(dtype).tiny
    tiny[:1000] *= dtype(1e-3)  # of fewer bits
    return {
        "usual": usual,
        "one": usual[:1],
        "a block": usual[:512],
        "one beyond a block": usual[:513],
        "holes": holes,
        "nothing finite": np.full((600, 9), np.nan, dtype),
        "zeros": np.where(rng.random((3000, 1)) < 0.5, 0, usual).astype(dtype),
        "all zero": np.zeros((600, 9), dtype),
        "alike": np.full((1000, 9), 0.3, dtype),
        "tiny": tiny,
        "huge": usual * dtype(np.finfo(dtype).max / 1e6),
    }


CASES = [
    pytest.param(rows, id=f"{np.dtype(dtype).name} {name}")
    for dtype in (np.float32, np.float64)
    for name, rows in spread(dtype).items()
]


def same_sums(rows: Any, scale: bool) -> None:
    (one, left), (other, other_left) = (
        arithmetic.sums_of(rows, device, scale=scale) for device in (COMPILED, "cpu")
    )
    assert (one.n, left) == (other.n, other_left)
    assert one.n + left == len(rows)
    size = 1.0 if scale else max(float(np.abs(rows[np.isfinite(rows).all(1)]).max(initial=0)), 1e-9)
    assert np.abs(one.mean - other.mean).max() <= 1e-12 * size
    assert np.abs(one.scatter - other.scatter).max() <= 1e-12 * size**2 * max(one.n, 1)


def same_coefficients(rows: Any) -> None:
    components, mean = basis()
    low, high = arithmetic.extremes_of(rows, components, mean, COMPILED)
    expected = arithmetic.extremes_of(rows, components, mean, "cpu")
    assert (low, high) == pytest.approx(expected, rel=1e-13, abs=1e-13)
    for span in ((-3.0, 3.0), (-0.2, 0.1)):
        counts, slow = (
            arithmetic.count_bins(rows, components, mean, span, 70, device)
            for device in (COMPILED, "cpu")
        )
        assert (counts == slow).all()


@needs_numba
@pytest.mark.parametrize("rows", CASES)
def test_figures_are_those_of_torch(rows: Any) -> None:
    same_sums(rows, scale=True)
    if (
        float(np.abs(rows[np.isfinite(rows).all(1)]).max(initial=0)) < 1e100
    ):  # whose squares are finite
        same_sums(rows, scale=False)
    same_coefficients(rows)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_figures_of_any_numbers(dtype: Any, data: st.DataObject) -> None:
    rows = data.draw(numbers(dtype))
    same_sums(rows, scale=True)
    components, mean = basis()
    ends = arithmetic.extremes_of(rows, components, mean, COMPILED)
    calm = rows.astype(np.float64)
    calm[np.abs(calm).max(1) > 1e300] *= 2.0**-64  # torch multiplies before it divides
    expected = arithmetic.extremes_of(calm, components, mean, "cpu")
    assert ends == pytest.approx(expected, rel=1e-13, abs=1e-13)
    counts = arithmetic.count_bins(rows, components, mean, (-2, 2), 70, COMPILED)
    assert (counts.sum(1) == np.isfinite(rows).all(1).sum()).all()


@needs_numba
def test_the_largest_numbers_are_divided_before_they_are_added_up() -> None:
    signs = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], (20_000, 9))
    components, mean = basis()
    largest = signs * np.finfo(np.float64).max
    counts = arithmetic.count_bins(largest, components, mean, (-2, 2), 70, COMPILED)
    assert (counts == arithmetic.count_bins(signs, components, mean, (-2, 2), 70, "cpu")).all()


@needs_numba
def test_places_at_an_edge_are_told_in_double_precision() -> None:
    rng = np.random.default_rng(0)
    rows = np.zeros((20_000, 9))
    rows[:, 0] = 1
    edges = rng.integers(-34, 35, len(rows)) / 35
    rows[:, 1] = edges + rng.choice([-1e-9, 1e-9], len(rows))  # single precision has 6e-8
    counts = arithmetic.count_bins(rows, np.eye(9), np.zeros(9), (-1.0, 1.0), 70, COMPILED)
    assert (counts[1] == np.histogram(rows[:, 1], 70, (-1, 1))[0]).all()


@needs_numba
def test_an_extreme_is_found_in_double_precision() -> None:
    rows = np.full((5000, 9), 0.5)
    rows[:, 0] = 1
    rows[:, 1] += np.random.default_rng(0).permutation(5000) * 1e-12
    low, high = arithmetic.extremes_of(rows, np.eye(9)[[1] * 9], np.zeros(9), COMPILED)
    assert (low, high) == (rows[:, 1].min(), rows[:, 1].max())


@needs_numba
def test_bins_too_narrow_for_single_precision() -> None:
    rows = np.random.default_rng(0).standard_normal((2000, 9)).astype(np.float32)
    components, mean = basis()
    for span in ((0.1, 0.1 + 1e-6), (0.1, 0.1 + 1e-300)):
        counts, slow = (
            arithmetic.count_bins(rows, components, mean, span, 70, device)
            for device in (COMPILED, "cpu")
        )
        assert (counts == slow).all()


def test_filters_alike_have_no_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convlens.filterdb.scan.ENOUGH", 0)
    data = np.tile(np.random.default_rng(0).standard_normal(9).astype(np.float32), (824, 1))
    db = filterdb.open(files.write(tmp_path / "a.h5", data.reshape(-1, 3, 3)))
    assert db.pca().explained_variance.max() < 1e-28
    assert db.quality().frame["variance_entropy"].tolist() == [0.0] * 5


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_numba_is_there", lambda: False)


def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_loops", lambda: None)


@pytest.mark.parametrize("absent", [without, broken])
def test_without_numba(
    absent: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.write(tmp_path / "a.h5")
    expected = filterdb.open(path).drift(by="layer").matrix
    monkeypatch.setattr("convlens.filterdb.scan.ENOUGH", 0)
    absent(monkeypatch)
    assert (filterdb.open(path).drift(by="layer").matrix == expected).all()
    rows = files.filters().reshape(-1, 9)
    # As on a worker that has no numba, of a cluster whose client has.
    assert arithmetic.sums_of(rows, COMPILED)[0].n == len(rows)


@needs_numba
def test_large_databases_are_measured_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    moments = compiled.sums_of

    def noted(*arguments: Any, **options: Any) -> Any:
        taken.append("compiled")
        return moments(*arguments, **options)

    monkeypatch.setattr(compiled, "sums_of", noted)
    path = files.write(tmp_path / "a.h5")
    filterdb.open(path).pca()
    assert not taken
    monkeypatch.setattr("convlens.filterdb.scan.ENOUGH", 824)
    filterdb.open(path).pca()
    assert taken
