"""The figures of layers that are out of the ordinary, and arguments that cannot be used."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor, nn

from convlens import measures, orthogonality
from convlens.errors import ArgumentError
from convlens.orthogonality import orthogonality_of
from convlens.quality import (
    LayerQuality,
    measure_layer,
    measure_quality,
    remeasure,
    sparsity_curve,
)
from tests import reference
from tests.test_quality import ENTROPIES, EXACT, layer, same


def test_remeasuring_what_was_never_measured() -> None:
    unscored = measure_layer(torch.full((2, 2, 3, 3), math.nan))
    assert remeasure(unscored, torch.full((2, 2, 3, 3), math.nan), 0.5) == replace(
        unscored, eps=0.5
    )


@pytest.mark.parametrize("change", [2.0, math.nan])
def test_remeasuring_weights_that_changed_measures_afresh(change: float) -> None:
    weight = layer(8, 4, 3, 3)
    known = measure_layer(weight)
    weight[0, 0, 0, 0] = change
    assert remeasure(known, weight, 0.2) == measure_layer(weight, 0.2)


def test_weights_that_turn_nan_meanwhile_give_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Conv2d(3, 8, 3)
    look_at = measures.look_at

    def look_and_train(rows: Tensor, outputs: int) -> measures.Look:
        found = look_at(rows, outputs)
        nn.init.constant_(module.weight, math.nan)
        return found

    monkeypatch.setattr(measures, "look_at", look_and_train)
    [found] = measure_quality(module).layers
    assert found.reason == "Weights turned NaN or infinite while they were measured."
    assert found.sparsity is None


def test_all_zero() -> None:
    found = measure_layer(torch.zeros(4, 3, 3, 3))
    assert (found.sparsity, found.variance_entropy, found.exact_zeros) == (1, 0, 1)
    assert (found.dead_outputs, found.dead_inputs) == (4, 3)
    assert found.variance_entropy_clean is None
    assert found.omitted["variance_entropy_clean"] == "every filter is sparse"
    assert (found.orthogonality, found.orthogonality_excluded) == (None, 4)
    assert found.p_random is None
    assert (found.l1, found.l2, found.max_abs) == (0, 0, 0)
    assert sparsity_curve(torch.zeros(4, 3, 3, 3), [0.1, 0.01]).tolist() == [12, 12]


def test_a_tap_that_is_always_zero() -> None:
    weight = layer(16, 8, 3, 3)
    weight[:, :, 1, 2] = 0
    found = measure_layer(weight)
    assert found.variance_entropy == pytest.approx(reference.entropy(weight), rel=EXACT)
    assert found.explained_variance[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("value", [0.1, -3e20, 1e-30])
def test_constant_filters_have_no_entropy(value: float) -> None:
    pattern = torch.randn(3, 3, generator=torch.Generator().manual_seed(1)) * value
    found = measure_layer(pattern.expand(200, 30, 3, 3))
    assert found.variance_entropy == 0
    assert set(found.explained_variance) == {0.0}
    assert found.orthogonality == pytest.approx(0, abs=1e-6)
    assert found.omitted["p_random"].startswith("all filters are the same")


def test_one_filter() -> None:
    found = measure_layer(torch.ones(1, 1, 3, 3))
    assert (found.n, found.variance_entropy, found.sparsity) == (1, 0, 0)
    for name in ("variance_entropy_normalized", "p_random", "orthogonality", "entropy_of_random"):
        assert getattr(found, name) is None
        assert found.omitted[name]


@pytest.mark.parametrize("shape", [(0, 3, 3, 3), (4, 0, 3, 3), (4, 3, 0, 3)])
def test_no_filters(shape: tuple[int, ...]) -> None:
    found = measure_layer(torch.zeros(shape))
    assert found.reason == f"no filters: its weight has shape {shape}"
    assert found.sparsity is None
    assert sparsity_curve(torch.zeros(shape), [0.1]).tolist() == [0]


@pytest.mark.parametrize("shape", [(8, 4, 1, 1), (8, 4), (8, 4, 1)])
def test_one_tap_has_no_entropy(shape: tuple[int, ...]) -> None:
    weight = layer(*shape[:2], 3)[:, :, 0].reshape(shape)
    found = measure_layer(weight)
    assert found.sparsity == reference.sparsity(weight.reshape(8, 4, 1), 0.01)
    assert found.orthogonality == pytest.approx(reference.orthogonality(weight), abs=1e-6)
    assert found.l2 == pytest.approx(float(weight.norm()), rel=1e-6)
    assert found.explained_variance == ()
    for name in (*ENTROPIES, "variance_entropy_normalized", "entropy_of_random", "p_random"):
        assert getattr(found, name) is None
        assert "one weight per filter" in found.omitted[name]


@pytest.mark.parametrize(
    ("bad", "said"), [(math.nan, "1 NaN among its 72 weights"), (-math.inf, "1 infinite among its")]
)
def test_what_is_not_finite_is_reported_and_not_computed(bad: float, said: str) -> None:
    weight = torch.ones(4, 2, 3, 3)
    weight[2, 1, 0, 0] = bad
    found = measure_layer(weight)
    assert found.reason is not None
    assert found.reason.startswith(said)
    assert found.sparsity is None
    assert sparsity_curve(weight, [0.1]).tolist() == []


def test_both_kinds_of_not_finite_are_named() -> None:
    weight = torch.ones(4, 2, 3, 3)
    weight[0, 0, 0, 0], weight[1, 0, 0, :2] = math.nan, math.inf
    assert measure_layer(weight).reason == "1 NaN and 2 infinite among its 72 weights"


@pytest.mark.parametrize("size", [1e-40, 1e-30, 1e30, 3e37])
def test_extreme_sizes(size: float) -> None:
    weight = layer(64, 64, 3, 3)
    weight /= weight.abs().max()
    found, usual = measure_layer(weight * size), measure_layer(weight)
    loose = 1e-3 if size < 1e-38 else EXACT  # denormal numbers have few digits
    for name in (*ENTROPIES, "orthogonality"):
        assert getattr(found, name) == pytest.approx(getattr(usual, name), rel=loose)
    assert found.sparsity == pytest.approx(usual.sparsity, abs=1e-3)
    assert found.max_abs == pytest.approx(size)
    assert found.l2 == pytest.approx((usual.l2 or 0) * size, rel=loose)
    assert found.l1 == pytest.approx((usual.l1 or 0) * size, rel=loose)


def test_outputs_of_very_different_sizes_count_alike_in_orthogonality() -> None:
    weight = layer(6, 4, 3, 3).double()
    factors = torch.tensor([1, 1e-25, 1e-12, 1e-6, 0, 1]).view(-1, 1, 1, 1)
    found = measure_layer((weight * factors).float())
    expected = reference.orthogonality(weight[[0, 1, 2, 3, 5]])
    assert found.orthogonality == pytest.approx(expected, abs=1e-6)
    assert found.orthogonality_excluded == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    weight = layer(24, 16, 3, 3).to(dtype)
    found = measure_layer(weight)
    assert found.variance_entropy == pytest.approx(reference.entropy(weight), rel=EXACT)
    assert found.orthogonality == pytest.approx(reference.orthogonality(weight), abs=1e-6)


def test_memory_layout_does_not_matter() -> None:
    weight = layer(24, 16, 3, 3)
    same(weight, weight.contiguous(memory_format=torch.channels_last))
    wide = torch.zeros(24, 32, 3, 6)
    wide[:, ::2, :, ::2] = weight
    assert measure_layer(wide[:, ::2, :, ::2]) == measure_layer(weight)


def test_what_the_caller_allows_elsewhere_does_not_matter() -> None:
    weight = layer(400, 60, 3, 3)
    expected = measure_layer(weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert measure_layer(weight) == expected
    with torch.inference_mode():
        assert measure_layer(weight) == expected
    assert measure_layer(nn.Parameter(weight)) == expected
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        same(weight, weight)
        rough = measure_layer(weight)
    finally:
        torch.set_float32_matmul_precision(before)
    for name in ("variance_entropy", "variance_entropy_clean", "orthogonality"):
        assert getattr(rough, name) == pytest.approx(getattr(expected, name), rel=1e-6)


def test_groups_are_compared_within() -> None:
    weight = layer(12, 4, 3, 3)
    found = measure_layer(weight, groups=3)
    assert found.orthogonality == pytest.approx(reference.orthogonality(weight, 3), abs=1e-6)
    assert found.orthogonality != pytest.approx(reference.orthogonality(weight), abs=1e-4)


def test_groups_without_pairs() -> None:
    assert (
        measure_layer(layer(12, 1, 3, 3), groups=12)
        .omitted["orthogonality"]
        .startswith("depthwise")
    )
    assert measure_layer(layer(24, 1, 3, 3), groups=12).orthogonality is None
    few = measure_layer(layer(3, 2, 3, 3), groups=3)
    assert few.omitted["orthogonality"] == "no group has 2 outputs that are not zero"


def test_zero_outputs_are_left_out_and_counted() -> None:
    weight = layer(12, 4, 3, 3)
    weight[[2, 5]] = 0
    for groups in (1, 3):
        found = measure_layer(weight, groups=groups)
        expected = reference.orthogonality(weight, groups)
        assert found.orthogonality == pytest.approx(expected, abs=1e-6)
        assert found.orthogonality_excluded == 2


def copies(count: int, outputs: int, taps: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(count, taps, generator=generator)
    return patterns[torch.randint(count, (outputs,), generator=generator)]


@pytest.mark.parametrize("count", [2, 20, 512])
@pytest.mark.parametrize("taps", [9, 600])
def test_wide_layers_are_as_precise_where_filters_are_copies(count: int, taps: int) -> None:
    weight = copies(count, 512, taps)
    unit = nn.functional.normalize(weight.double(), dim=1)
    cosine = (unit @ unit.T).abs()
    expected = 1 - float((cosine.sum() - cosine.trace()) / (512 * 511))
    value, excluded = orthogonality_of(weight, 1)
    assert value == pytest.approx(expected, rel=EXACT)
    assert excluded == 0


@pytest.mark.parametrize("outputs", [256, 512, 700, 1024])
@pytest.mark.parametrize("last", [True, False])
def test_copies_among_other_filters_are_noticed_wherever_they_are(outputs: int, last: bool) -> None:
    # their rounding errors do not cancel, and a sample has to have some of them
    weight = torch.randn(outputs, 1200, generator=torch.Generator().manual_seed(1))
    alike = weight[:1] + 0.7 * weight[1:3]
    some = slice(outputs // 2, None) if last else slice(None, outputs // 2)
    weight[some] = alike.repeat(outputs, 1)[: outputs // 2]
    unit = nn.functional.normalize(weight.double(), dim=1)
    cosine = (unit @ unit.T).abs()
    expected = 1 - float((cosine.sum() - cosine.trace()) / (outputs * (outputs - 1)))
    assert orthogonality_of(weight, 1)[0] == pytest.approx(expected, abs=EXACT)


def test_no_output_is_sampled_with_itself() -> None:
    for outputs in range(256, 9000, 37):
        few, many = orthogonality._sampled(outputs)
        places = range(outputs)
        assert not {*places[few]} & {*places[many]}
        assert len(places[many]) >= 64
        assert len(places[few]) >= 16
        # each block of columns has some, and they are those of all in turn
        starts = range(0, outputs, orthogonality._STEP)
        blocks = [places[s : s + orthogonality._STEP][few] for s in starts]
        assert [place for block in blocks for place in block] == [*places[few]]


def test_dead_channels() -> None:
    weight = layer(6, 5, 3, 3).sign() + 0.5
    weight[1] *= 1e-3
    weight[:, [0, 4]] *= 1e-3
    found = measure_layer(weight)
    assert (found.dead_outputs, found.dead_inputs) == (1, 2)
    assert (found.out, found.inputs) == (6, 5)
    none = measure_layer(layer(6, 5, 3, 3).sign() + 0.5)
    assert (none.dead_outputs, none.dead_inputs) == (0, 0)


def test_dead_inputs_of_groups_are_those_of_their_group() -> None:
    weight = torch.ones(6, 2, 3, 3)
    weight[2:4, 1] = 0  # the second input of the second of three groups
    weight[0, 0] = 0  # half of the outputs of its group only
    assert measure_layer(weight, groups=3).dead_inputs == 1


def test_exact_zeros_are_apart_from_sparse() -> None:
    weight = torch.ones(2, 2, 3, 3)
    weight[0, 0, 0] = 0
    weight[1, 1] = -0.0
    found = measure_layer(weight)
    assert found.exact_zeros == pytest.approx(12 / 36)
    assert found.sparsity == 0.25


def test_what_was_not_asked_for_is_pending() -> None:
    weight = layer(4, 4, 3, 3)
    found = measure_layer(weight, orthogonality=False)
    assert "orthogonality" in found.pending
    assert found.orthogonality is None
    again = remeasure(found, weight, 0.2)
    assert "orthogonality" in again.pending
    assert measure_layer(weight).pending == ()


def test_json_holds_plain_values_and_reasons() -> None:
    row = measure_layer(layer(4, 4, 3, 3)).to_json()
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    names = {field.name for field in fields(LayerQuality)}
    assert set(row) == names - {"moments", "groups"}
    for shape in ((1, 1, 3, 3), (4, 4, 1, 1), (4, 4, 5, 5), (0, 1, 3, 3)):
        row = measure_layer(torch.ones(shape)).to_json()
        json.dumps(row, allow_nan=False)
        empty = {name for name, value in row.items() if value is None} - {"reason"}
        assert row["reason"] or empty == set(row["omitted"]), "a figure is missing without a reason"


@pytest.mark.parametrize("eps", [0, 1, -0.1, 2, math.nan, math.inf])
def test_eps_out_of_range(eps: float) -> None:
    with pytest.raises(ArgumentError, match=r"^eps must lie between 0 and 1 \(0.01 is usual\)"):
        measure_layer(torch.ones(2, 2, 3, 3), eps)


@pytest.mark.parametrize("eps", [True, "0.1", None, [0.1]])
def test_eps_of_another_type(eps: object) -> None:
    with pytest.raises(ArgumentError, match=r"^eps must be a number between 0 and 1, not "):
        measure_layer(torch.ones(2, 2, 3, 3), eps)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("weight", [torch.ones(3), torch.ones(2, 2, 3, 3, dtype=torch.int64)])
def test_a_weight_that_is_none(weight: Tensor) -> None:
    with pytest.raises(ArgumentError, match=r"^A weight must be a float tensor of shape"):
        measure_layer(weight)


@pytest.mark.parametrize("groups", [0, 3, True, 1.0])
def test_groups_that_cannot_be(groups: int) -> None:
    with pytest.raises(ArgumentError, match=r"^groups must be a whole number that divides the 4"):
        measure_layer(torch.ones(4, 2, 3, 3), groups=groups)
