"""The compiled Gram matrices: those of torch, which is always there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from convlens import compiled
from convlens.similarity import compare, gram
from convlens.similarity.gram import _centred_afterwards
from tests.similarity.test_compare import Small, noise

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def loaded() -> Iterator[None]:
    before = compiled.SAMPLES.passes
    threads = torch.get_num_threads()
    assert compiled.load(compiled.SAMPLES) is None
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    compiled.SAMPLES.passes = before


def by_torch(x: Tensor) -> Tensor | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled.SAMPLES, "passes", None)
        found = _centred_afterwards(x)
    return None if found is None else found.values


@pytest.mark.parametrize("n", [4, 5, 7, 30, 32, 33, 130])
@pytest.mark.parametrize("p", [1, 10, 1024, 1025, 5000, 70_000])
def test_compiled_products_are_those_of_float64(n: int, p: int) -> None:
    x = noise(n, p, seed=n * p)
    assert gram._passes_for(x) is not None
    found, plain = _centred_afterwards(x), by_torch(x)
    if found is None:  # of few features the means may be large
        assert p < 10
        assert plain is None
        return
    exact = x.double() - x.double().mean(0)
    exact = exact @ exact.T
    scale = exact.diagonal().mean()
    torch.testing.assert_close(found.values.double() / scale, exact / scale, atol=1e-6, rtol=0)
    assert plain is not None
    torch.testing.assert_close(found.values / scale, plain / scale, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.values, found.values.T, atol=0, rtol=0)
    assert found.features == p


@pytest.mark.parametrize("p", [300, 70_000])  # told at the end, and after the first columns
def test_compiled_products_are_refused_where_torch_refuses_them(p: int) -> None:
    for offset in (1.0, 3.0, 100.0, torch.nan, torch.inf):
        x = noise(24, p) + offset
        assert (_centred_afterwards(x) is None) == (by_torch(x) is None) == (offset != 1.0)


def test_what_the_compiled_pass_does_not_take_is_left_to_torch() -> None:
    x = noise(40, 40)
    assert gram._passes_for(x) is not None
    assert gram._passes_for(x.T) is None
    assert gram._passes_for(x[:3]) is None
    torch.set_num_threads(4)
    assert gram._passes_for(x) is None  # four threads of torch's are quicker
    assert gram._passes_for(x[:32]) is not None


def test_a_comparison_is_the_same_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Small().eval(), noise(64, 2, 8, 8)
    quick = compare(model, x, layers="all", batch_size=16)
    monkeypatch.setattr(compiled.SAMPLES, "passes", None)
    plain = compare(model, x, layers="all", batch_size=16)
    assert quick.rows == plain.rows
    np.testing.assert_allclose(quick.matrix, plain.matrix, atol=1e-6)


def test_it_is_loaded_once_enough_was_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(compiled, "load_soon", asked.append)
    monkeypatch.setattr(gram._Work, "done", 0)
    monkeypatch.setattr(gram, "_OFTEN", 3 * 24 * 24 * 100)
    x = noise(24, 100)
    for _ in range(2):
        _centred_afterwards(x)
    assert asked == []  # it is there
    monkeypatch.setattr(compiled.SAMPLES, "passes", None)
    for _ in range(7):
        _centred_afterwards(x)
    assert asked == [compiled.SAMPLES] * 2
