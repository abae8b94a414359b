"""The quick basis against the slow one."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convlens.similarity.linalg import eigenvalues, orthonormal, singular_values, svd


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
