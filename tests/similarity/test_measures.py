"""The measures: published and recomputed values, what they are invariant to, when they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from torch import Tensor

from convlens.errors import ArgumentError
from convlens.similarity.evaluate import evaluate
from convlens.similarity.gram import (
    _centred_afterwards,
    centred_gram,
    correlation_gram,
    u_centred,
)
from convlens.similarity.measures import MEASURES, Measure, find_measure
from convlens.similarity.profiles import Sample

ALL = list(MEASURES.values())
RSA_EUCLIDEAN = {"distance": "euclidean"}


def one(x: Tensor, y: Tensor, measure: str | Measure, **given: Any) -> tuple[float, float]:
    """Return the value of two layers, and of the other direction where there is one."""
    found = find_measure(measure)
    values = found.values(given)
    samples = [Sample(len(layer), layer.shape[1], layer) for layer in (x, y)]
    matrix, reverse, rows, columns = evaluate(found, samples[:1], samples[1:], values)
    assert not rows, rows
    assert not columns, columns
    return matrix.item(), math.nan if reverse is None else reverse.item()


def golden() -> tuple[Tensor, Tensor]:
    """Two related layers, drawn in this order from one generator."""
    rs = np.random.RandomState(10)
    x = rs.standard_normal((500, 20))
    y = x[:, :8] @ rs.standard_normal((8, 15)) + 0.5 * rs.standard_normal((500, 15))
    return torch.from_numpy(x), torch.from_numpy(y)


@pytest.mark.parametrize(
    ("measure", "rows", "value"),
    [
        ("mean_cca", 500, 0.574020),
        ("r2_cca", 500, 0.521031),
        ("svcca", 500, 0.738866),
        ("cka_biased", 500, 0.506335),
        ("cka_debiased", 500, 0.498198),
        ("cka", 500, 0.498198),
        ("nbs", 500, 0.589507),
        ("cka_biased", 100, 0.518615),
        ("cka_debiased", 100, 0.474037),
        ("cka_rbf", 100, 0.555637),
        ("nbs", 100, 0.634014),
        ("procrustes", 100, 0.855554),
        ("rsa", 100, 0.416807),
    ],
)
def test_golden_values(measure: str, rows: int, value: float) -> None:
    x, y = golden()
    assert one(x[:rows], y[:rows], measure)[0] == pytest.approx(value, abs=1e-6)


def test_golden_pwcca_in_both_directions() -> None:
    assert one(*golden(), "pwcca") == pytest.approx((0.552968, 0.879767), abs=1e-6)


@pytest.mark.parametrize("measure", ALL, ids=lambda m: m.name)
def test_a_gram_matrix_gives_what_the_features_give(measure: Measure) -> None:
    """Where features are too many to keep, the n x n matrix stands for them."""
    if measure.kernel == "features" or measure.name in ("mean_cca", "r2_cca"):
        pytest.skip("defined by the features")
    x, y = golden()
    x, y = x[:60], y[:60]
    values = measure.values({})
    make = correlation_gram if measure.kernel_of(values) == "correlation" else centred_gram
    grams = [Sample(60, layer.shape[1], gram=make(layer)) for layer in (x, y)]
    matrix, _, reasons, _ = evaluate(measure, grams[:1], grams[1:], values)
    assert not reasons
    assert matrix.item() == pytest.approx(one(x, y, measure)[0], abs=1e-7)


def test_unbiased_cka_of_unrelated_layers_is_about_zero_where_the_biased_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    values = {"cka_biased": [], "cka_debiased": []}
    for _ in range(20):
        x, y = (torch.randn(24, p, generator=generator) for p in (300, 200))
        for name, found in values.items():
            found.append(one(x, y, name)[0])
    assert np.mean(values["cka_biased"]) > 0.85
    assert abs(np.mean(values["cka_debiased"])) < 0.05
    assert min(values["cka_debiased"]) < 0  # unbiased values are not clipped


def transformed(x: Tensor, change: str, rs: np.random.RandomState) -> Tensor:
    p = x.shape[1]
    if change == "units":
        return x[:, torch.from_numpy(rs.permutation(p))]
    if change == "scale":
        return x * float(rs.uniform(0.01, 50))
    if change == "translation":
        return x + torch.from_numpy(rs.uniform(-20, 20, p))
    if change == "rotation":
        return x @ torch.from_numpy(ortho_group.rvs(p, random_state=rs))
    assert change == "linear"
    bases = [ortho_group.rvs(p, random_state=rs) for _ in range(2)]
    return x @ torch.from_numpy(bases[0] * rs.uniform(0.3, 3, p) @ bases[1])


CHANGES = ("units", "scale", "translation", "rotation", "linear")


@pytest.mark.parametrize("measure", ALL, ids=lambda m: m.name)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_declared_invariances_hold_and_no_others(measure: Measure, seed: int) -> None:
    rs = np.random.RandomState(seed)
    x = torch.from_numpy(rs.standard_normal((60, 7)) * rs.uniform(0.5, 2, 7))
    y = x[:, :4] @ torch.from_numpy(rs.standard_normal((4, 5)))
    y = y + torch.from_numpy(rs.standard_normal((60, 5)))
    before = one(x, y, measure)
    for change in CHANGES:
        after = one(transformed(x, change, rs), y, measure)
        same = after[0] == pytest.approx(before[0], abs=1e-8)
        if change in measure.invariant:
            assert same, (change, before, after)
        elif measure.name == "svcca" and change == "linear":
            pass  # the same while no direction is dropped
        else:
            assert not same, f"{measure.name} is invariant to {change}: declare it"
    order = torch.from_numpy(rs.permutation(60))
    assert one(x[order], y[order], measure) == pytest.approx(before, abs=1e-8, nan_ok=True)
    assert one(x, x, measure)[0] == pytest.approx(measure.identical, abs=3e-7)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_euclidean_rsa_is_also_invariant_to_rotation_and_translation(seed: int) -> None:
    rs = np.random.RandomState(seed)
    x, y = (torch.from_numpy(rs.standard_normal((40, p))) for p in (6, 9))
    for change in ("rotation", "translation"):
        moved = transformed(x, change, rs)
        for how in ("pearson", "spearman"):
            before = one(x, y, "rsa", correlation=how, **RSA_EUCLIDEAN)[0]
            after = one(moved, y, "rsa", correlation=how, **RSA_EUCLIDEAN)[0]
            assert after == pytest.approx(before, abs=1e-8)


@pytest.mark.parametrize("offset", [0.0, 10.0, 100.0, 1000.0])
def test_an_offset_does_not_cost_precision_in_float32(offset: float) -> None:
    x, y = (layer[:100] for layer in golden())
    exact = one(x, y, "cka_debiased")[0]
    assert one((x + offset).float(), y.float(), "cka_debiased")[0] == pytest.approx(exact, abs=2e-4)


def test_u_centring_is_equation_3_of_nguyen_et_al() -> None:
    n = 12
    rs = np.random.RandomState(1)
    grams = [torch.from_numpy((lambda a: a @ a.T)(rs.standard_normal((n, 5)))) for _ in range(2)]
    k, m = (gram.clone().fill_diagonal_(0) for gram in grams)
    ones = torch.ones(n, dtype=torch.float64)
    hsic = torch.trace(k @ m) + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    hsic = (hsic - 2 / (n - 2) * (ones @ k @ m @ ones)) / (n * (n - 3))
    ours = (u_centred(grams[0]) * u_centred(grams[1])).sum() / (n * (n - 3))
    assert ours.item() == pytest.approx(hsic.item(), rel=1e-12)


@pytest.mark.parametrize("p", [300, 1024, 5000])
@pytest.mark.parametrize("offset", [0.0, 1.0, 3.0, 100.0])
def test_float32_gram_matrices_are_right_whichever_way_they_were_centred(
    p: int, offset: float
) -> None:
    """Small means are taken off the products, large ones off the features: float64 agrees."""
    x = torch.randn(24, p, generator=torch.Generator().manual_seed(p)) + offset
    exact = x.double() - x.double().mean(0)
    found = centred_gram(x)
    scale = exact.square().sum() / 24
    torch.testing.assert_close(
        found.values.double() / scale, exact @ exact.T / scale, atol=2e-6, rtol=0
    )
    assert (_centred_afterwards(x) is None) == (offset > 1.8)
    assert not found.constant


def test_blocks_of_columns_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(10, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    whole = centred_gram(x).values
    monkeypatch.setattr("convlens.similarity.gram._BLOCK_CPU", 640)
    torch.testing.assert_close(centred_gram(x).values, whole)


@pytest.mark.parametrize("measure", ["mean_cca", "r2_cca", "pwcca", "svcca"])
@pytest.mark.parametrize("p", [29, 30, 80])
def test_cca_refuses_as_many_features_as_samples(measure: str, p: int) -> None:
    x = torch.randn(30, p, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = find_measure(measure)
    values = found.values({"variance": 1.0} if measure == "svcca" else {})
    sample = Sample(30, p, x)
    matrix, _, reasons, _ = evaluate(found, [sample], [sample], values)
    assert matrix.isnan().all()
    assert "p >= n" in reasons[0]
    assert "reduce='mean'" in reasons[0]


@pytest.mark.parametrize("measure", ALL, ids=lambda m: m.name)
@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (torch.full((20, 3), 7.3), "constant|correlation"),
        (torch.zeros(20, 3), "constant|correlation"),
        (torch.full((20, 3), math.nan), "NaN"),
        (torch.tensor([[0.3, 7.1, -2.2]]).expand(20, 3), "constant"),
        (torch.randn(3, 3), "3 samples"),
    ],
    ids=["constant", "zero", "nan", "same", "three"],
)
def test_a_bad_layer_has_a_reason_and_spoils_no_other(
    measure: Measure, layer: Tensor, why: str
) -> None:
    good = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    rows = [Sample(len(x), 3, x) for x in (good, layer)]
    columns = list(rows)
    matrix, _, reasons, others = evaluate(measure, rows, columns, measure.values({}))
    assert matrix[0, 0].item() == pytest.approx(measure.identical, abs=1e-3)
    assert matrix.isnan().tolist() == [[False, True], [True, True]]
    assert list(reasons) == list(others) == [1]
    assert any(word in reasons[1] for word in why.split("|"))


def test_parameters_are_checked_by_their_declaration() -> None:
    rbf = find_measure("cka_rbf")
    assert rbf.values({}) == {"t": 1.0, "debiased": False}
    with pytest.raises(ArgumentError, match=r"t is -1; it must be a number above 0"):
        rbf.values({"t": -1})
    with pytest.raises(ArgumentError, match=r"no parameter 'debiase'.*Did you mean 'debiased'"):
        rbf.values({"debiase": True})
    with pytest.raises(ArgumentError, match=r"'correlation' or 'euclidean'.*'euclidean'"):
        find_measure("rsa").values({"distance": "euclid"})
    with pytest.raises(ArgumentError, match="Did you mean 'cka_rbf'"):
        find_measure("cka_rbff")


@pytest.mark.parametrize("measure", ALL, ids=lambda m: m.name)
def test_every_measure_says_all_that_a_form_needs(measure: Measure) -> None:
    told = measure.to_json()
    assert told["name"] == measure.name
    assert all(told[key] for key in ("title", "equation", "source", "needs", "invariant"))
    for parameter in told["parameters"]:
        assert parameter["help"]
        assert measure.values({parameter["name"]: parameter["default"]})
