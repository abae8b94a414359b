"""The quick basis against the slow one."""

from __future__ import annotations

import threading
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convlens.similarity import linalg
from convlens.similarity.evaluate import evaluate
from convlens.similarity.linalg import eigenvalues, on_threads, orthonormal, singular_values, svd
from convlens.similarity.measures import find_measure
from convlens.similarity.profiles import Sample


@settings(deadline=None, max_examples=40)
@given(columns=st.integers(1, 20), spread=st.floats(0, 4), seed=st.integers(0, 1000))
def test_a_quick_basis_spans_what_an_svd_does(columns: int, spread: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, columns, dtype=torch.float64, generator=generator)
    left, strength, right = svd(x)
    x = left @ torch.diag(torch.logspace(0, -spread, columns, dtype=torch.float64)) @ right
    found = orthonormal(x, 1e6)
    assert strength.shape == (columns,)
    assert found is not None
    unit = torch.eye(columns, dtype=torch.float64)
    torch.testing.assert_close(found.T @ found, unit, rtol=0, atol=1e-10)
    torch.testing.assert_close(found @ found.T, left @ left.T, rtol=0, atol=1e-9)


def test_columns_that_depend_on_each_other_have_no_quick_basis() -> None:
    x = torch.randn(30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert orthonormal(torch.cat((x, x[:, :1]), 1), 1e6) is None
    assert orthonormal(torch.cat((x, torch.zeros(30, 1)), 1), 1e6) is None
    assert orthonormal(torch.cat((x, x[:, :1] * (1 + 1e-9)), 1), 1e6) is None
    assert orthonormal(x * torch.nan, 1e6) is None
    assert orthonormal(x, 1.0) is None


def test_correlations_from_eigenvalues_are_singular_values() -> None:
    generator = torch.Generator().manual_seed(1)
    one, other = (
        torch.linalg.qr(torch.randn(40, r, dtype=torch.float64, generator=generator)).Q
        for r in (9, 5)
    )
    product = torch.stack((one.T @ other, one.T @ one[:, :5]))
    found = eigenvalues(product.mT @ product).clamp(0, 1).sqrt().flip(1)
    torch.testing.assert_close(found, singular_values(product).clamp(0, 1), rtol=0, atol=1e-8)


def test_what_is_much_is_decomposed_on_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linalg, "_WORTH", 10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    here = threading.get_ident()

    def told(i: int) -> tuple[int, bool]:
        return i, threading.get_ident() == here

    assert list(on_threads([(partial(told, i), i) for i in range(4)])) == [
        (i, True) for i in range(4)
    ]
    found = list(on_threads([(partial(told, i), 5 * i) for i in range(4)]))
    assert found == [(i, i == 0) for i in range(4)]  # 0 is left to the caller's thread


@pytest.mark.parametrize("measure", ["mean_cca", "nbs"])
def test_threads_change_nothing(measure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    layers = [
        Sample(60, p, torch.randn(60, p, generator=generator)) for p in (5, 9) for _ in range(12)
    ]
    rows, columns = layers[:14], layers[6:]
    found = find_measure(measure)
    values = found.values({})
    plain = [evaluate(found, rows, other, values)[0] for other in (columns, rows)]
    monkeypatch.setattr(linalg, "_WORTH", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    several = [evaluate(found, rows, other, values)[0] for other in (columns, rows)]
    torch.testing.assert_close(several, plain, rtol=0, atol=1e-9)
