"""`compare`: what is compared with what, streamed, and what happens when things go wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from convlens import demo
from convlens.errors import ArgumentError, UnknownLayerError
from convlens.similarity import MEASURES, Comparison, ComparisonError, Similarity, compare
from convlens.similarity.sums import Products, Sums
from tests.untouched import left_untouched


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Small(nn.Module):
    """Two convolutions; `relu` is called twice and writes in place, `body` ends in `body.1`."""

    def __init__(self, width: int = 4, inplace: bool = True) -> None:
        super().__init__()
        torch.manual_seed(width)
        self.relu = nn.ReLU(inplace)
        self.second = nn.Conv2d(width, 6, 3)  # registered before what runs first
        self.body = nn.Sequential(nn.Conv2d(2, width, 3), nn.BatchNorm2d(width))
        self.unused = nn.Conv2d(2, 2, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.body(x))
        x = self.relu(self.second(x))
        return self.head(x.mean((2, 3)))


def by_hand(layers: list[Tensor], size: int) -> np.ndarray[Any, Any]:
    """Minibatch CKA as in equation 2 and 3 of Nguyen et al., pair by pair, in float64."""

    def hsic(k: Tensor, m: Tensor) -> Tensor:
        n = len(k)
        k, m = k.clone().fill_diagonal_(0), m.clone().fill_diagonal_(0)
        whole = torch.trace(k @ m) + k.sum() * m.sum() / ((n - 1) * (n - 2))
        return (whole - 2 / (n - 2) * (k.sum(0) @ m.sum(1))) / (n * (n - 3))

    def gram(x: Tensor) -> Tensor:
        x = x.flatten(1).double()
        return x @ x.T

    batches = [[gram(part) for part in layer.split(size)] for layer in layers]
    sums = [
        [sum(hsic(k, m) for k, m in zip(one, other, strict=True)) for other in batches]
        for one in batches
    ]
    table = np.array([[float(value) for value in row] for row in sums])
    return table / np.sqrt(np.outer(table.diagonal(), table.diagonal()))


def test_figures_are_those_of_the_layers_as_they_were_emitted() -> None:
    """In-place ReLU, a reused module, registration in another order: labels and values hold."""
    model, x = Small().eval(), noise(24, 2, 9, 9)
    found = compare(model, x, layers="all", batch_size=8)
    with torch.no_grad():
        conv = model.body[0](x)
        norm = model.body[1](conv)
        first = F.relu(norm)
        second = model.second(first)
        third = F.relu(second)
        head = model.head(third.mean((2, 3)))
    layers = [conv, norm, norm, first, second, third, head]
    keys = ("body.0", "body.1", "body", "relu:0", "second", "relu:1", "head", "unused")
    assert found.rows == found.columns == keys
    np.testing.assert_allclose(found.matrix[:7, :7], by_hand(layers, 8), atol=2e-5)
    assert found.row_layers[2].same_as == "body.1"
    assert found.row_layers[7].reason == "never called on these inputs"
    assert np.isnan(found.matrix[7]).all()
    assert np.isnan(found.matrix[:, 7]).all()
    assert found.reason("unused", "head") == "unused: never called on these inputs"
    assert found.reason("body", "head") is None


def test_added_shortcuts_do_not_change_what_was_measured() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            out = self.conv(x)
            out += 5 * x
            return out

    model, x = Residual().eval(), noise(16, 2, 6, 6)
    with torch.no_grad():
        expected = by_hand([model.conv(x), x], 16)[0, 1]
    identity = nn.Sequential(nn.Identity())
    assert compare(model, x, identity, reference_layers="all", batch_size=16).matrix[
        0, 0
    ] == pytest.approx(expected, abs=1e-5)


def test_a_model_with_itself_is_symmetric_and_one_on_the_diagonal() -> None:
    digits = demo.load()
    found = compare(digits.model, digits.images[:96])
    assert found.rows == found.columns
    np.testing.assert_allclose(found.matrix.diagonal(), 1, atol=1e-12)
    np.testing.assert_allclose(found.matrix, found.matrix.T, atol=1e-12)
    again = compare(digits.model, digits.images[:96], digits.model, reference_layers="convs")
    np.testing.assert_allclose(found.matrix, again.matrix, atol=1e-12)
    assert found.n == 96
    assert found.batches == 3
    assert found.batch_size == 32
    assert "n = 96 in 3 batches of 32" in found.estimator


def test_standard_errors_are_those_of_leaving_batches_out() -> None:
    rs = np.random.default_rng(0)
    batches = [
        Products(*(torch.from_numpy(v) for v in (a, 1 + rs.random(3), 1 + rs.random(2))))
        for a in rs.normal(0.7, 0.2, (40, 3, 2))
    ]

    def summed(chosen: list[Products]) -> Sums:
        sums = Sums(3, 2)
        for products in chosen:
            sums.add(products, 8)
        return sums

    without = np.stack(
        [summed(batches[:i] + batches[i + 1 :]).similarity().numpy() for i in range(40)]
    )
    jackknife = np.sqrt(39 / 40 * ((without - without.mean(0)) ** 2).sum(0))
    np.testing.assert_allclose(summed(batches).standard_error(), jackknife, rtol=0.02)
    assert summed(batches[:1]).standard_error().isnan().all()
    digits = demo.load()
    errors = compare(digits.model, digits.images[:96]).stderr
    assert np.nanmax(errors.diagonal()) < 1e-6
    assert 0 < np.nanmedian(errors) < 0.2


@pytest.mark.parametrize("measure", [m for m in MEASURES if m != "cka"])
def test_full_measures_do_not_depend_on_how_samples_were_batched(measure: str) -> None:
    digits = demo.load()
    x = digits.images[:96]
    reduce: Any = "mean" if MEASURES[measure].reduce == "positions" else None
    one = compare(digits.model, x, measure=measure, batch_size=96, reduce=reduce)
    many = compare(digits.model, x, measure=measure, batch_size=17, reduce=reduce)
    assert one.n == many.n == 96
    np.testing.assert_allclose(one.matrix, many.matrix, atol=2e-5)
    if one.reverse is not None:
        assert many.reverse is not None
        np.testing.assert_allclose(one.reverse, one.matrix.T, atol=1e-9)
        np.testing.assert_allclose(one.reverse, many.reverse, atol=1e-4)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("reduce", ["flatten", "mean", "positions"])
def test_every_measure_with_every_reduction(measure: str, reduce: Any) -> None:
    digits = demo.load()
    x = digits.images[:80]
    if reduce == "flatten" and measure in ("mean_cca", "r2_cca", "pwcca"):
        with pytest.raises(ArgumentError, match="p >= n"):
            compare(digits.model, x, measure=measure, reduce=reduce, layers="conv1")
        return
    found = compare(digits.model, x, measure=measure, reduce=reduce)
    values = found.matrix[np.isfinite(found.matrix)]
    assert values.size
    assert values.max() <= max(1 + 1e-9, math.pi / 2)
    np.testing.assert_allclose(
        found.matrix.diagonal()[np.isfinite(found.matrix.diagonal())],
        MEASURES[measure].identical,
        atol=1e-3,
    )


def test_layers_by_name_key_index_glob_type_and_alias() -> None:
    model, x = Small(), noise(8, 2, 9, 9)

    def rows(layers: Any) -> tuple[str, ...]:
        return compare(model, x, layers=layers).rows

    assert rows("second") == ("second",)
    assert rows("relu:1") == ("relu:1",)
    assert rows(["relu", "head"]) == ("relu:0", "relu:1", "head")
    assert rows("body.*") == ("body.0", "body.1")
    assert rows(nn.Linear) == ("head",)
    assert rows(0) == ("body.0",)
    assert rows([1, "head"]) == ("second", "head")
    assert rows("convs") == ("body.0", "second", "unused")
    with pytest.raises(UnknownLayerError, match=r"'body.2'.*Did you mean 'body"):
        rows("body.2")
    with pytest.raises(UnknownLayerError, match="no layer 9"):
        rows(9)
    with pytest.raises(ArgumentError, match="selects nothing"):
        rows(nn.LSTM)
    with pytest.raises(UnknownLayerError, match="Pass reference_layers="):
        compare(model, x, nn.Sequential(nn.Conv2d(2, 2, 1)), layers="second")


def with_labels(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(part, torch.zeros(len(part))) for part in x.split(8)]


@pytest.mark.parametrize(
    "given",
    [
        lambda x: x,
        lambda x: (x,),
        lambda x: {"x": x},
        lambda x: list(x.split(8)),
        lambda x: (part for part in x.split(8)),
        with_labels,
        lambda x: [{"x": part, "labels": torch.zeros(len(part))} for part in x.split(8)],
        lambda x: DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=8),
        lambda x: TensorDataset(x, torch.zeros(len(x))),
        lambda x: x.double(),
    ],
    ids=[
        "tensor",
        "tuple",
        "dict",
        "list",
        "generator",
        "pairs",
        "dicts",
        "loader",
        "dataset",
        "float64",
    ],
)
def test_inputs_of_every_kind_give_the_same(given: Callable[[Tensor], Any]) -> None:
    model, x = Small().eval(), noise(32, 2, 9, 9)
    expected = compare(model, x, batch_size=8)
    inputs = given(x)
    split = isinstance(inputs, (Tensor, tuple, dict, TensorDataset))
    found = compare(model, inputs, batch_size=8 if split else None)
    np.testing.assert_array_equal(found.matrix, expected.matrix)
    assert found.n == 32


def test_forward_and_inputs_from_say_what_the_default_cannot_know() -> None:
    model, x = Small().eval(), noise(16, 2, 9, 9)
    expected = compare(model, x).matrix
    wrapped = [{"meta": "a", "data": {"image": x}}]
    by_key = compare(model, wrapped, inputs_from=lambda batch: batch["data"]["image"])
    by_forward = compare(model, wrapped, forward=lambda net, b: net(b["data"]["image"]))
    np.testing.assert_array_equal(by_key.matrix, expected)
    np.testing.assert_array_equal(by_forward.matrix, expected)
    with pytest.raises(ArgumentError, match=r"no such part; it has image.*Did you mean 'image'"):
        compare(model, [{"image": x}], inputs_from="imag")


def test_outputs_of_every_kind() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 5, batch_first=True)
            self.dict = Wrap(lambda x: {"last_hidden_state": x})
            self.text = Wrap(lambda x: "words")
            self.ints = Wrap(lambda x: x.argmax(-1))
            self.folded = Wrap(lambda x: x.flatten(0, 1))

        def forward(self, x: Tensor) -> Tensor:
            tokens, _ = self.lstm(x)
            self.text(tokens)
            self.ints(tokens)
            self.folded(tokens)
            return self.dict(tokens)["last_hidden_state"]

    class Wrap(nn.Module):
        def __init__(self, change: Callable[[Tensor], Any]) -> None:
            super().__init__()
            self.change = change

        def forward(self, x: Tensor) -> Any:
            return self.change(x)

    found = compare(Odd(), noise(16, 6, 4), layers="all")
    reasons = {row.key: row.reason for row in found.row_layers}
    assert reasons["lstm"] is reasons["dict"] is None
    assert found.row_layers[found.rows.index("dict")].same_as == "lstm"
    assert reasons["text"] == "returns a str, no tensor"
    assert reasons["ints"] == "returns int64 numbers, not real ones"
    assert "the first dimension is not the batch's 16 samples" in str(reasons["folded"])
    tokens = compare(Odd(), noise(40, 6, 4), layers="lstm", measure="mean_cca", reduce="mean")
    assert tokens.row_layers[0].shape == (6, 5)


def test_two_data_sets() -> None:
    digits = demo.load()
    x = digits.images[:64]
    same = compare(digits.model, x, reference_inputs=x)
    np.testing.assert_allclose(same.matrix, compare(digits.model, x).matrix, atol=1e-12)
    other = compare(digits.model, x, reference_inputs=noise(*x.shape))
    assert np.abs(other.matrix).max() < 0.5
    assert other.reference != other.model


def test_data_sets_that_do_not_pair_are_refused() -> None:
    model, x = Small(), noise(24, 2, 9, 9)
    data = TensorDataset(x)
    with pytest.raises(ArgumentError, match="shuffle=False"):
        compare(model, DataLoader(data, 8), reference_inputs=DataLoader(data, 8, shuffle=True))
    with pytest.raises(ArgumentError, match="3 batches and reference_inputs 2"):
        compare(model, DataLoader(data, 8), reference_inputs=DataLoader(data, 12))
    with pytest.raises(ArgumentError, match=r"Batch 2 of inputs holds 8 samples.*10"):
        compare(model, list(x.split(8)), reference_inputs=[x[:8], x[:10], x[:6]])
    with pytest.raises(ArgumentError, match="inputs ended after 1 batches"):
        compare(model, (p for p in [x[:8]]), reference_inputs=(p for p in x.split(8)))


@pytest.mark.parametrize("measure", ["cka", "cka_debiased", "mean_cca"])
def test_too_few_samples(measure: str) -> None:
    with pytest.raises(ArgumentError, match="at least 4"):
        compare(Small(), noise(3, 2, 9, 9), measure=measure)


def test_a_short_last_batch_is_dropped_with_a_note() -> None:
    model, x = Small(), noise(19, 2, 9, 9)
    found = compare(model, x, batch_size=8)
    assert found.n == 16
    assert any("a batch of 3 was dropped" in note for note in found.notes)
    np.testing.assert_array_equal(found.matrix, compare(model, x[:16], batch_size=8).matrix)


def test_nan_and_constant_layers_have_reasons_and_spoil_nothing() -> None:
    class Bad(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.good, self.dead, self.nan = (nn.Conv2d(2, 3, 3) for _ in range(3))
            nn.init.zeros_(self.dead.weight)
            nn.init.constant_(self.nan.weight, math.nan)

        def forward(self, x: Tensor) -> Tensor:
            return self.good(x) + self.dead(x) + self.nan(x)

    model, x = Bad(), noise(16, 2, 5, 5)
    found = compare(model, x, batch_size=8)
    assert found.matrix[0, 0] == pytest.approx(1)
    assert np.isnan(found.matrix).sum() == 8
    assert "dead: constant features" in str(found.reason("good", "dead"))
    assert found.reason(2, 0) == "nan: NaN or infinite activations in batch 1"
    with pytest.raises(ArgumentError, match=r"No pair of layers has a value.*NaN"):
        compare(model, x, layers="nan")


class Failing(nn.Module):
    """Raises at its seventh batch, in the middle."""

    def __init__(self, error: BaseException, at: int = 7) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3)
        self.error, self.at = error, at
        self.calls = [0]

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        COUNT[0] += 1
        if COUNT[0] == self.at:
            raise self.error
        return self.second(x)


COUNT = [0]


def test_an_exception_in_batch_7_is_told_and_what_was_finished_is_kept() -> None:
    model, x = Failing(RuntimeError("no such kernel")), noise(80, 2, 9, 9)
    COUNT[0] = 0
    with left_untouched(model), pytest.raises(ComparisonError) as raised:
        compare(model, x, batch_size=8)
    said = str(raised.value)
    assert re.search(r"raised RuntimeError after 'first' \(no such kernel\) in batch 7", said)
    assert isinstance(raised.value.__cause__, RuntimeError)
    partial = raised.value.partial
    assert isinstance(partial, Similarity)
    assert (partial.n, partial.batches, partial.finished) == (48, 6, False)
    COUNT[0] = 100
    np.testing.assert_array_equal(partial.matrix, compare(model, x[:48], batch_size=8).matrix)


def test_interrupts_leave_the_model_untouched() -> None:
    model = Failing(KeyboardInterrupt(), at=2)
    COUNT[0] = 0
    with left_untouched(model), pytest.raises(KeyboardInterrupt):
        compare(model, noise(32, 2, 9, 9), batch_size=8)


@pytest.mark.parametrize("training", [True, False])
def test_models_are_left_untouched(training: bool) -> None:
    model, other = Small().train(training), Small(5).train(not training)
    x = noise(16, 2, 9, 9)
    before = x.clone()
    with left_untouched(model), left_untouched(other):
        compare(model, x, other, layers="all")
        for _ in Comparison(model, x, other):
            pass
        compare(model, x, other, measure="svcca", reduce="mean", layers="body.0")
    assert torch.equal(x, before)


class Hungry(nn.Module):
    """Has memory for six samples."""

    def __init__(self, room: int = 6) -> None:
        super().__init__()
        self.conv, self.room = nn.Conv2d(2, 3, 3), room

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return self.conv(x)


def test_batches_are_halved_when_memory_runs_out() -> None:
    x = noise(40, 2, 9, 9)
    found = compare(Hungry(), x, batch_size=20)
    assert found.n == 40
    assert any("batches were halved" in note for note in found.notes)
    pooled = compare(Hungry(), x, measure="mean_cca", reduce="mean", batch_size=20)
    assert pooled.n == 40
    with pytest.raises(ArgumentError, match=r"Out of memory with 40 samples.*measure='cka'"):
        compare(Hungry(), x, measure="cka_debiased")
    with pytest.raises(ArgumentError, match="Out of memory with 5 samples"):
        compare(Hungry(3), x, batch_size=20)


def test_progress_sees_partial_figures_and_can_stop() -> None:
    digits = demo.load()
    x = digits.images[:128]
    seen: list[tuple[int, int | None, np.ndarray[Any, Any]]] = []

    def watch(comparison: Comparison) -> bool:
        seen.append((comparison.done, comparison.total, comparison.matrix))
        return comparison.done < 3

    found = compare(digits.model, x, progress=watch)
    assert [entry[:2] for entry in seen] == [(1, 4), (2, 4), (3, 4)]
    assert not found.finished
    assert "stopped early" in found.estimator
    np.testing.assert_array_equal(found.matrix, seen[-1][2])
    np.testing.assert_array_equal(found.matrix, compare(digits.model, x, max_batches=3).matrix)


def test_a_comparison_stops_and_resumes_without_recomputing() -> None:
    digits = demo.load()
    x = digits.images[:128]
    comparison = Comparison(digits.model, x)
    with pytest.raises(ArgumentError, match="No batch has run"):
        comparison.result()
    for _ in comparison:
        if comparison.done == 2:
            break
    assert not comparison.result().finished
    assert [c.done for c in comparison] == [3, 4]
    assert comparison.result().finished
    assert not comparison.step()
    np.testing.assert_array_equal(comparison.matrix, compare(digits.model, x).matrix)


def test_tol_stops_when_figures_are_certain() -> None:
    digits = demo.load()
    found = compare(digits.model, digits.images, tol=0.5, batch_size=16)
    assert found.batches == 4
    assert any("below 0.5" in note for note in found.notes)
    with pytest.raises(ArgumentError, match="use measure='cka'"):
        compare(digits.model, digits.images, measure="nbs", tol=0.1)


def test_switching_measures_runs_nothing() -> None:
    digits = demo.load()
    x = digits.images[:64]
    calls = [0]

    def forward(model: nn.Module, batch: Tensor) -> Any:
        calls[0] += 1
        return model(batch)

    comparison = Comparison(digits.model, x, measure="cka_biased", forward=forward)
    assert comparison.step()
    before = calls[0]
    for measure in ("cka_debiased", "cka_rbf", "nbs", "angular", "cka"):
        assert comparison.why_not(measure) is None
        comparison.switch(measure)
        fresh = compare(digits.model, x, measure=measure)
        np.testing.assert_allclose(comparison.matrix, fresh.matrix, atol=2e-5)
    assert calls[0] == before
    assert comparison.why_not("rsa") == (
        "rsa needs the correlation matrix of the samples, which was not kept"
    )
    assert comparison.why_not("rsa", distance="euclidean") is None
    streamed = Comparison(digits.model, x)
    with pytest.raises(ArgumentError, match="start another comparison"):
        streamed.switch("nbs")


def test_memory_is_estimated_before_anything_is_kept() -> None:
    digits = demo.load()
    x = digits.images[:256]
    calls: list[int] = []

    def forward(model: nn.Module, batch: Tensor) -> Any:
        calls.append(len(batch))
        return model(batch)

    streamed = Comparison(digits.model, x, forward=forward)
    estimate = streamed.estimate()
    assert calls == [1]
    assert streamed.done == 0
    assert estimate.layers == 15
    assert estimate.kept == 5 * 8 * 15 * 15
    whole = Comparison(digits.model, x, measure="nbs").estimate()
    assert whole.kept is not None
    assert 15 * 64 * 256 * 4 <= whole.kept <= 15 * 256 * 256 * 4
    streamed_again = [c.done for c in streamed]
    assert streamed_again == list(range(1, 9))


def test_what_would_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convlens.similarity.memory.available", lambda device: 1000)
    digits = demo.load()
    with pytest.raises(ArgumentError, match=r"would keep .* has 1 kB free.*measure='cka'"):
        compare(digits.model, digits.images[:64], measure="nbs")


def test_half_precision_and_double_compare_with_single() -> None:
    model, x = Small().eval(), noise(32, 2, 9, 9)
    double = Small().eval().double()
    found = compare(model, x, double)
    scored = found.matrix[:2, :2].diagonal()
    np.testing.assert_allclose(scored, 1, atol=1e-5)
    half = compare(model, x, Small().eval().bfloat16())
    np.testing.assert_allclose(half.matrix[:2, :2].diagonal(), 1, atol=1e-2)


def test_channels_last_changes_nothing() -> None:
    model, x = Small().eval(), noise(32, 2, 9, 9)
    other: Any = Small().eval()
    other = other.to(memory_format=torch.channels_last)
    strided = x.to(memory_format=torch.channels_last)
    np.testing.assert_allclose(
        compare(model, x, layers="all").matrix,
        compare(other, strided, layers="all").matrix,
        atol=1e-5,
    )


@pytest.mark.gpu
@pytest.mark.parametrize("measure", MEASURES)
def test_cuda_figures_are_those_of_the_cpu(measure: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    digits = demo.load()
    x = digits.images[:96]
    reduce: Any = "mean" if MEASURES[measure].reduce == "positions" else None
    expected = compare(digits.model, x, measure=measure, reduce=reduce)
    found = compare(demo.load().model.cuda(), x, measure=measure, reduce=reduce)
    np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-4)
    mixed = compare(demo.load().model.cuda(), x, digits.model, measure=measure, reduce=reduce)
    np.testing.assert_allclose(mixed.matrix, expected.matrix, atol=1e-4)
    assert any("its own device" in note for note in mixed.notes)
