"""The filters of a layer: values, basis, orders, clusters."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convlens.errors import ArgumentError, UnknownLayerError
from convlens.filters import SORTS, Filters, Sort, read_filters
from convlens.quality import measure_layer
from tests.models import trained


def conv(weight: Tensor) -> nn.Conv2d:
    module = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], dtype=weight.dtype)  # pyright: ignore[reportArgumentType]
    module.weight = nn.Parameter(weight)
    return module


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def read(weight: Tensor) -> Filters:
    return read_filters(conv(weight), 0)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(3, 8, 3), (8, 3, 3, 3)),
        (nn.Conv2d(4, 8, 5, groups=2), (8, 2, 5, 5)),
        (nn.Conv1d(3, 4, 7), (4, 3, 7)),
        (nn.Conv3d(2, 3, (1, 2, 3)), (3, 2, 1, 2, 3)),
        (nn.ConvTranspose2d(5, 4, 3), (4, 5, 3, 3)),
        (nn.Linear(6, 5), (5, 6)),
        (nn.Conv2d(3, 8, 1), (8, 3, 1, 1)),
    ],
)
def test_any_layer(module: nn.Module, shape: tuple[int, ...]) -> None:
    found = read_filters(module, 0)
    taps = math.prod(shape[2:])
    assert found.weights.shape == shape
    assert found.weights.dtype == np.float32
    assert found.kernel == shape[2:]
    assert found.rows.shape == (shape[0] * shape[1], taps)
    assert found.mean.shape == shape[2:]
    assert found.eigenimages.shape == ((0 if taps == 1 else taps), *shape[2:])
    assert found.max_abs == np.abs(found.weights).max()
    assert np.allclose(found.mean, found.weights.mean(axis=(0, 1)), atol=1e-6)
    assert np.allclose(found.peaks, np.abs(found.rows).max(axis=1))
    assert np.allclose(found.norms, np.linalg.norm(found.rows, axis=1), rtol=1e-5)
    for sort in SORTS:
        assert sorted(found.order(sort)) == list(range(len(found.rows)))


def test_eigenimages_are_the_principal_components() -> None:
    weight = normal(16, 8, 3, 3) * torch.linspace(1, 3, 9).view(3, 3) + 5
    found = read(weight)
    images = found.eigenimages.reshape(9, 9)
    assert np.allclose(images @ images.T, np.eye(9), atol=1e-5)
    rows = found.rows.astype(np.float64)
    spread = ((rows - rows.mean(axis=0)) @ images.T).var(axis=0)
    assert np.allclose(spread / spread.sum(), found.explained_variance, rtol=1e-4)
    assert list(found.explained_variance) == sorted(found.explained_variance, reverse=True)
    assert found.explained_variance == pytest.approx(measure_layer(weight).explained_variance)
    largest = np.abs(images).argmax(axis=1)
    assert (images[np.arange(9), largest] > 0).all()


def test_what_was_read_stays_when_training_goes_on() -> None:
    module = conv(normal(4, 3, 3, 3))
    found = read_filters(module, 0)
    before = found.weights.copy()
    with torch.no_grad():
        module.weight.zero_()
    assert (found.weights == before).all()
    with pytest.raises(ValueError, match="read-only"):
        found.weights[0] = 0


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), exponent=st.integers(-120, 120))
def test_entropy_is_of_the_energy_and_not_of_the_size(seed: int, exponent: int) -> None:
    weight = normal(3, 2, 3, 3, seed=seed)
    energy = (weight.double().flatten(2).flatten(0, 1) ** 2).numpy()
    share = energy / energy.sum(axis=1, keepdims=True)
    expected = -(share * np.log(share)).sum(axis=1) / math.log(9)
    assert np.allclose(read(weight * 2.0**exponent).entropies, expected, atol=1e-5)


def test_entropy_of_simple_filters() -> None:
    weight = torch.zeros(4, 1, 3, 3)
    weight[0, 0, 1, 1] = -2  # one tap
    weight[1] = 0.5  # flat
    weight[2, 0, 0, :] = 1  # three taps alike
    found = read(weight)
    assert found.entropies == pytest.approx([0, 1, 0.5, 0], abs=1e-6)
    assert np.isnan(read_filters(nn.Linear(3, 2), 0).entropies).all()


def test_sparse_filters_are_those_that_are_counted() -> None:
    weight = normal(16, 8, 3, 3)
    weight[torch.rand(16, 8, generator=torch.Generator().manual_seed(1)) < 0.2] *= 1e-3
    for eps in (0.01, 0.3, 0.7):
        assert read(weight).sparse(eps).mean() == measure_layer(weight, eps).sparsity
    assert read(torch.zeros(2, 2, 3, 3)).sparse().all()
    with pytest.raises(ArgumentError, match="eps"):
        read(weight).sparse(1)


def test_orders() -> None:
    found = read(normal(16, 8, 3, 3))
    assert (found.order() == np.arange(128)).all()
    assert (np.diff(found.norms[found.order("norm")]) <= 0).all()
    assert (np.diff(found.entropies[found.order("entropy")]) >= 0).all()
    order = found.order("cluster")
    labels = found.clusters()[order]
    assert (np.diff(labels.astype(int)) >= 0).all()
    for label in np.unique(labels):
        assert (np.diff(order[labels == label]) > 0).all()


def test_filters_of_one_norm_keep_their_order() -> None:
    assert (read(torch.ones(8, 8, 3, 3)).order("norm") == np.arange(64)).all()


def test_clusters_find_the_shapes_whatever_their_size() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = torch.randn(5, 9, generator=generator)
    odds = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05])
    which = torch.multinomial(odds, 400, replacement=True, generator=generator)
    rows = shapes[which] * torch.exp(torch.randn(400, 1, generator=generator))
    found = read(rows.view(40, 10, 3, 3)).clusters()
    # The labels descend in the size of their clusters, as the shapes were made to.
    sizes = np.bincount(which.numpy())
    assert found.dtype == np.uint8
    assert (np.bincount(found) == sorted(sizes, reverse=True)).all()
    assert (found == np.argsort(np.argsort(-sizes, kind="stable"))[which.numpy()]).all()


def test_clusters_keep_the_sign() -> None:
    pattern = normal(1, 1, 3, 3)
    found = read(torch.cat((pattern, -pattern, 2 * pattern)))
    assert found.clusters().tolist() == [0, 1, 0]


def test_zero_filters_are_a_cluster_of_their_own_and_the_last() -> None:
    weight = normal(20, 10, 3, 3)
    weight[::2] = 0
    found = read(weight)
    labels = found.clusters().reshape(20, 10)
    assert (labels[::2] == labels.max()).all()
    assert (labels[1::2] < labels.max()).all()
    assert set(read(torch.zeros(2, 2, 3, 3)).clusters()) == {0}


def test_clusters_are_the_same_each_time_and_touch_no_random_state() -> None:
    module = conv(normal(40, 30, 3, 3))
    state, numpys = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    first, again = read_filters(module, 0), read_filters(module, 0)
    assert (first.clusters() == again.clusters()).all()
    assert first.clusters() is first.clusters()
    assert first.clusters().max() == 11
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(np.random.get_state()) == numpys  # noqa: NPY002


def test_more_filters_than_the_centres_are_fitted_to() -> None:
    found = read(normal(160, 160, 3, 3))
    assert len(found.clusters()) == 25_600
    assert np.bincount(found.clusters()).min() > 0


def test_clusters_of_single_weights_are_their_signs() -> None:
    module = nn.Linear(4, 1)
    module.weight = nn.Parameter(torch.tensor([[1.0, -2, 0, 3]]))
    assert read_filters(module, 0).clusters().tolist() == [0, 1, 2, 0]


def test_extreme_sizes() -> None:
    small, usual = read(normal(8, 4, 3, 3) * 1e-30), read(normal(8, 4, 3, 3))
    assert np.allclose(small.norms * 1e30, usual.norms, rtol=1e-5)
    assert (small.clusters() == usual.clusters()).all()
    assert np.allclose(small.eigenimages, usual.eigenimages, atol=1e-4)
    assert np.allclose(small.mean * 1e30, usual.mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    weight = normal(4, 3, 3, 3).to(dtype)
    assert (read(weight).weights == weight.detach().float().numpy()).all()


def test_frame() -> None:
    found = read(normal(4, 3, 3, 3))
    frame = found.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["output", "input_in_group", "norm", "peak", "entropy", "cluster"]
    assert frame["output"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert frame["input_in_group"].tolist() == [0, 1, 2] * 4
    assert frame["norm"].to_numpy() == pytest.approx(found.norms)


def test_a_trained_layer_by_name() -> None:
    model = trained("resnet20")
    found = read_filters(model, "layer1.1.conv1")
    assert (found.weights == model.get_parameter("layer1.1.conv1.weight").detach().numpy()).all()
    assert found.sparse().reshape(16, 16).all(axis=0).nonzero()[0].tolist() == [5, 14]
    assert repr(found) == "Filters('layer1.1.conv1': 256 of 3 × 3, largest weight 0.859)"


@pytest.mark.parametrize(
    ("layer", "error", "said"),
    [
        ("convl", UnknownLayerError, "'conv1'"),
        (20, UnknownLayerError, r"^There is no layer 20: the model has 20 layers\.$"),
        (True, ArgumentError, r"^layer must be a key or an index, not bool\.$"),
        (None, ArgumentError, r"^layer must be a key or an index, not NoneType\.$"),
    ],
)
def test_unknown_layers(layer: object, error: type[Exception], said: str) -> None:
    from tests.models import CifarResNet

    with pytest.raises(error, match=said):
        read_filters(CifarResNet(), layer)  # pyright: ignore[reportArgumentType]


def test_layers_without_filters_to_read() -> None:
    with pytest.raises(ArgumentError, match=r"^1 has no filters to show: lazy"):
        read_filters(nn.Sequential(nn.Conv2d(3, 3, 3), nn.LazyConv2d(3, 3)), "1")
    with pytest.raises(ArgumentError, match=r"it is of size 0\.$"):
        read_filters(nn.Linear(3, 0), 0)


def test_filters_that_are_not_finite_leave_the_others_as_they_were() -> None:
    weight = normal(6, 3, 3, 3)
    weight[0, 1] = 0
    alone = read(weight[1:])
    weight[0, 0, 0, 0], weight[0, 2, 1, 1] = math.inf, math.nan
    found = read(weight)
    assert np.isnan(found.peaks).tolist() == [True, False, True] + [False] * 15
    assert found.max_abs == alone.max_abs
    assert np.allclose(found.norms[3:], alone.norms)
    assert np.allclose(found.entropies[3:], alone.entropies)
    # The zero filter is finite, and so takes part.
    rows = np.vstack((np.zeros((1, 9)), alone.rows)).astype(np.float64)
    spread = ((rows - rows.mean(axis=0)) @ found.eigenimages.reshape(9, 9).T).var(axis=0)
    assert np.allclose(spread / spread.sum(), found.explained_variance, rtol=1e-4)
    labels = found.clusters()
    assert labels[0] == labels[2] == labels.max()
    assert labels[1] == labels.max() - 1
    assert found.sparse().tolist() == [False, True] + [False] * 16
    wanted: list[Sort] = ["norm", "entropy", "cluster"]
    for sort in wanted:
        assert set(found.order(sort)[-2:].tolist()) == {0, 2}
    assert found.plot().get_axes()


def test_a_layer_without_a_finite_filter() -> None:
    found = read(torch.full((2, 2, 3, 3), math.nan))
    assert found.max_abs == 0
    assert not found.sparse(0.5).any()
    assert set(found.clusters().tolist()) == {0}
    assert not any(found.explained_variance)


def test_orders_that_are_none() -> None:
    found = read(normal(4, 3, 3, 3))
    wrong: list[Sort] = ["norms"]  # pyright: ignore[reportAssignmentType]
    with pytest.raises(ArgumentError, match=r"^sort must be one of 'position', .*'norm'\?$"):
        found.order(wrong[0])
