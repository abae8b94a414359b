"""The passes that numba compiles: the figures of torch's, and never in anybody's way."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convlens import compiled, measures, orthogonality, quality
from convlens.errors import Cancelled
from convlens.filters import read_filters
from convlens.quality import LayerQuality, measure_layer, measure_quality, remeasure

pytest.importorskip("numba")


@pytest.fixture(scope="module", autouse=True)
def loaded() -> Iterator[None]:
    before = compiled.WEIGHTS.passes
    assert compiled.load() is None
    yield
    compiled.WEIGHTS.passes = before


def by_torch(call, *args, **kwargs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled.WEIGHTS, "passes", None)
        return call(*args, **kwargs)


def assert_same(found: LayerQuality, expected: LayerQuality) -> None:
    for name, value in vars(expected).items():
        if isinstance(value, float) or name == "explained_variance":
            wanted = pytest.approx(value, rel=1e-5, abs=1e-7)
            assert getattr(found, name) == wanted, name
        elif name != "moments":
            assert getattr(found, name) == value, name


def weight_like(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    size = torch.exp(1.5 * torch.randn(shape[:2], generator=generator))
    return weight * size.view(*shape[:2], *(1 for _ in shape[2:]))


SHAPES = [
    (1, 1, 3, 3),
    (7, 5, 3, 3),  # less than a block
    (32, 16, 3, 3),  # one block to the last filter
    (43, 3, 3, 3),
    (27, 19, 3, 3),  # a block and one more
    (64, 64, 3, 3),
    (300, 200, 3, 3),  # multiplied in bfloat16, in blocks of which the last is short
    (20, 30, 2),
    (12, 9, 5, 5),
    (6, 4, 3, 3, 3),
    (5, 4, 8, 8),
    (5, 4, 11, 11),  # too many taps: by torch
    (50, 40),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("eps", [0.01, 0.3])
def test_figures_are_those_of_torch(shape: tuple[int, ...], eps: float) -> None:
    weight = weight_like(shape)
    assert_same(measure_layer(weight, eps), by_torch(measure_layer, weight, eps))


def zeros(weight: Tensor) -> None:
    weight[::3] = 0


def all_zero(weight: Tensor) -> None:
    weight.zero_()


def equal_filters(weight: Tensor) -> None:
    weight[:] = weight[0, 0].clone()


def far_from_zero(weight: Tensor) -> None:
    weight += 1000


def tiny(weight: Tensor) -> None:
    weight *= 1e-30


def huge(weight: Tensor) -> None:
    weight *= 1e30


def nan_in_it(weight: Tensor) -> None:
    weight[3, 2, 1, 1] = torch.nan


def infinite(weight: Tensor) -> None:
    weight[-1, -1] = torch.inf


@pytest.mark.parametrize(
    "change",
    [zeros, all_zero, equal_filters, far_from_zero, tiny, huge, nan_in_it, infinite],
)
def test_edges_are_those_of_torch(change) -> None:
    weight = weight_like((24, 10, 3, 3))
    change(weight)
    for eps in (0.01, 0.6):
        assert_same(measure_layer(weight, eps), by_torch(measure_layer, weight, eps))
    known = measure_layer(weight, orthogonality=False)
    again = remeasure(known, weight, 0.4, orthogonality=True)
    assert again == measure_layer(weight, 0.4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_measured_as_ever(dtype: torch.dtype) -> None:
    weight = weight_like((24, 10, 3, 3)).to(dtype)
    assert_same(measure_layer(weight), by_torch(measure_layer, weight))


def test_a_look_finds_what_numpy_finds() -> None:
    rows = weight_like((300, 1, 3, 3)).view(-1, 9)
    rows[7] = 0
    look = measures.look_at(rows)
    assert look.moments is not None
    values = rows.double().numpy()
    np.testing.assert_array_equal(look.peaks.numpy(), np.abs(rows.numpy()).max(1))
    error = 1e-6 * np.square(values).sum()
    np.testing.assert_allclose(look.moments.gram, values.T @ values, rtol=0, atol=error)
    np.testing.assert_allclose(look.moments.total, values.sum(0), rtol=1e-4, atol=1e-4)
    assert look.l1 == pytest.approx(np.abs(values).sum(), rel=1e-6)
    assert (look.high, look.has_zeros) == (np.abs(rows.numpy()).max(), True)
    for limit in (1e-9, 0.2, 5.0):
        mask, part = measures.sparse_in(rows, look, limit)
        assert part is not None
        few = values[mask]
        np.testing.assert_array_equal(mask, look.peaks.numpy() < np.float32(limit))
        error = 1e-6 * np.square(few).sum()
        np.testing.assert_allclose(part.gram, few.T @ few, rtol=0, atol=error)
        assert part.count == mask.sum()


def test_copied_outputs_are_multiplied_in_full_precision() -> None:
    # rounding errors of copies do not cancel: bfloat16 is noticed to be off
    weight = weight_like((4, 256, 3, 3)).repeat(80, 1, 1, 1)
    assert_same(measure_layer(weight), by_torch(measure_layer, weight))


@pytest.mark.parametrize(("count", "taps"), [(5, 9), (16, 9), (1041, 9), (1500, 4), (300, 25)])
@pytest.mark.parametrize("limit", [0.0, 0.4, 1.2, 9.0])
def test_sparse_filters_are_found_wherever_they_are(count: int, taps: int, limit: float) -> None:
    rows = weight_like((count, 1, taps)).view(-1, taps)
    look = measures.look_at(rows)
    mask, part = measures.sparse_in(rows, look, limit)
    assert part is not None
    np.testing.assert_array_equal(mask, look.peaks.numpy() < np.float32(limit))
    few = rows.double().numpy()[mask]
    error = 1e-6 * (1 + np.square(few).sum())
    np.testing.assert_allclose(part.gram, few.T @ few, rtol=0, atol=error)
    np.testing.assert_allclose(part.total, few.sum(0), rtol=0, atol=error)
    assert part.count == mask.sum()


def share_in_common(weight: Tensor) -> float:
    units = torch.nn.functional.normalize(weight.double().flatten(1))
    sizes = (units @ units.T).abs()
    return float((sizes.sum() - sizes.trace()) / (len(weight) * (len(weight) - 1)))


@pytest.mark.parametrize("outputs", [2, 63, 64, 65, 130, 200])
def test_orthogonality_in_float32_is_that_of_all_pairs(outputs: int) -> None:
    weight = weight_like((outputs, 12, 3, 3))
    found = measure_layer(weight).orthogonality
    assert found == pytest.approx(1 - share_in_common(weight), abs=1e-6)


@pytest.mark.parametrize("outputs", [256, 257, 600])
def test_products_of_rounded_outputs_are_those_of_all_pairs(outputs: int) -> None:
    weight = weight_like((outputs, 1100)).bfloat16()
    inverse = 1 / weight.float().norm(dim=1)
    whole = orthogonality._triangle(weight, inverse, orthogonality._product_of_bfloat16)
    pairs = outputs * (outputs - 1)
    # each product is rounded, and the errors cancel
    assert whole / pairs == pytest.approx(share_in_common(weight), rel=1e-4)


def test_rounded_outputs_begin_where_a_line_of_the_cache_does() -> None:
    places = [measures._bits_for(3, width) for width in (1, 100, 4608, 70_000)]
    for place, width in zip(places, (1, 100, 4608, 70_000), strict=True):
        assert place.ctypes.data % 64 == 0
        assert place.shape == (3, width)
        assert place.flags.c_contiguous


def test_filters_of_a_layer_are_those_of_torch() -> None:
    model = nn.Conv2d(20, 30, 3)
    found, expected = read_filters(model, 0), by_torch(read_filters, model, 0)
    np.testing.assert_array_equal(found.peaks, expected.peaks)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6)
    np.testing.assert_allclose(found.explained_variance, expected.explained_variance, rtol=1e-4)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    convs = [nn.Conv2d(inputs, 16, 3) for inputs in (3, 16, 16, 16)]
    shared = nn.Conv2d(16, 16, 3)
    return nn.Sequential(*convs, shared, nn.ReLU(), nn.Linear(4000, 1010), shared)


def test_small_layers_in_a_row_are_one_call_and_large_ones_stand_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quality, "_TOGETHER", 10)
    monkeypatch.setattr(quality, "_MOST_TOGETHER", 3)
    monkeypatch.setattr(quality, "_ALONE", 30)
    # the caller's thread makes those of amount 0: too large for one, or not on the CPU
    sizes = [4, 6, 1, 1, 1, 1, 12, 31, 2, 0, 0, 3]
    calls: Any = [(partial(int, place), size) for place, size in enumerate(sizes)]
    found = [(call(), amount) for call, amount in quality._bundled(calls)]
    rows = [[0, 1], [2, 3, 4], [5], [6], [7], [8], [9], [10], [11]]
    assert found == list(zip(rows, [10, 3, 1, 12, 0, 2, 0, 0, 3], strict=True))


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("together", [1, 8])
def test_layers_come_in_order_from_several_threads(
    model: nn.Module, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "_MOST_TOGETHER", together)
    seen: list[str] = []
    found = measure_quality(model, progress=lambda done, total, key: seen.append(key))
    expected = by_torch(measure_quality, model)
    assert seen == list(found) == list(expected)
    for layer, other in zip(found.layers, expected.layers, strict=True):
        assert_same(layer, other)
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_measuring_on_several_threads_is_stopped(model: nn.Module) -> None:
    with pytest.raises(Cancelled, match="after 2 of"):
        measure_quality(model, progress=lambda done, total, key: done < 2)
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_a_layer_that_cannot_be_read_is_one_among_the_others(model: nn.Sequential) -> None:
    class Broken(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            if torch.get_num_threads() != 3:  # the model's own code runs on the caller's thread
                raise RuntimeError("on another thread")
            raise ValueError("no luck")

    nn.utils.parametrize.register_parametrization(model[1], "weight", Broken(), unsafe=True)
    with torch.no_grad():
        model.get_parameter("2.weight")[0, 0, 0, 0] = torch.nan
    found = measure_quality(model)
    assert "no luck" in (found["1"].reason or "")
    assert found["2"].reason == "1 NaN among its 2,304 weights"
    assert found["0"].reason is None
    assert found["3"].reason is None


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_without_numba_it_is_said_once_and_torch_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.WEIGHTS, "passes", None)
    monkeypatch.setattr(compiled.WEIGHTS, "missing", None)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "convlens.fused", raising=False)
    assert "numba" in (compiled.load() or "")
    assert compiled.passes() is None
    assert measure_layer(weight_like((8, 4, 3, 3))).reason is None


def test_who_measures_once_does_not_load_numba() -> None:
    code = """
        import sys, threading
        import torch
        from convlens import Lens, compiled, measure_quality

        model = torch.nn.Conv2d(512, 256, 3)
        small = torch.nn.Conv2d(3, 8, 3)
        measure_quality(model)
        Lens(model)
        for _ in range(3):
            measure_quality(small)
        assert "numba" not in sys.modules
        measure_quality(model)
        [loading] = [t for t in threading.enumerate() if t.name == "convlens-compile"]
        loading.join()
        assert compiled.passes() is not None
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=250)


@pytest.mark.parametrize("shape", [(7, 5, 3, 3), (43, 3, 5, 2), (300, 200, 3, 3)])
def test_outputs_are_rounded_as_torch_does(shape: tuple[int, ...]) -> None:
    weight = weight_like(shape)
    ties = torch.tensor([0x3F808000, 0x3F818000, -0x407E8000], dtype=torch.int32)
    weight.view(-1)[:3] = ties.view(torch.float32)  # half-way between two of bfloat16
    found = measures.look_at(measures.as_rows(weight), len(weight)).rounded
    assert found is not None
    expected = weight.view(len(weight), -1)
    assert torch.equal(found.rows, expected.bfloat16())
    torch.testing.assert_close(found.lengths, expected.bfloat16().float().norm(dim=1))
    torch.testing.assert_close(found.exact, expected.norm(dim=1))
