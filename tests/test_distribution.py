import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from convlens.distribution import measure_distribution
from convlens.errors import ArgumentError, UnknownLayerError


def conv(weight):
    module = nn.Conv2d(weight.shape[1], weight.shape[0], 3, bias=False)
    module.weight = nn.Parameter(weight)
    return nn.Sequential(module)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1.0, 1e30]))
def test_counts_are_those_of_numpy(seed, scale):
    weight = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(seed)) * scale
    found = measure_distribution(conv(weight), 0)
    values = weight.double().numpy()
    limit = abs(values).max()
    # an edge may fall to either side in float32: compare counts below each edge within it
    for counts, edges, data in (
        (found.weights, found.weight_edges, values.ravel()),
        (
            found.peaks,
            found.peak_edges,
            np.log10(abs(values).reshape(20, 9).max(axis=1) / limit).clip(-4),
        ),
    ):
        assert counts.sum() == data.size
        width = edges[1] - edges[0]
        below = np.concatenate([[0], counts.cumsum()])
        for count, edge in zip(below[1:-1], edges[1:-1], strict=True):
            low = (data < edge - 1e-5 * width).sum()
            high = (data <= edge + 1e-5 * width).sum()
            assert low <= count <= high


def test_sparse_filters_are_those_below_eps():
    weight = torch.ones(4, 1, 3, 3)
    weight[0] *= 1e-3
    weight[1] *= 0
    found = measure_distribution(conv(weight), 0)
    assert found.peaks[found.peak_edges[1:] <= np.log10(0.01)].sum() == 2
    assert found.peaks[0] == 1


def test_all_zero_layer():
    found = measure_distribution(conv(torch.zeros(2, 3, 3, 3)), 0)
    assert found.limit == 0
    assert found.weights[30] == found.weights.sum() == 54
    assert found.peaks[0] == found.peaks.sum() == 6


def test_filters_with_nan_are_left_out_and_counted():
    weight = torch.ones(4, 2, 3, 3)
    weight[0, 0, 1, 1] = float("nan")
    weight[1, 1, 0, 0] = float("inf")
    found = measure_distribution(conv(weight), 0)
    assert (found.n, found.not_finite) == (6, 2)
    assert found.weights.sum() == 54


def test_linear_half_and_empty_layers():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2).bfloat16(), nn.Linear(0, 2))
    assert measure_distribution(net, 0).n == 12
    assert measure_distribution(net, 1).weights.sum() == 8
    assert measure_distribution(net, 2).weights.sum() == 0


def test_layer_without_values_is_refused():
    with pytest.raises(ArgumentError, match="0 has no distribution"):
        measure_distribution(nn.Sequential(nn.Conv2d(1, 2, 3, device="meta")), 0)


def test_unknown_layer_is_refused():
    with pytest.raises(UnknownLayerError):
        measure_distribution(nn.Sequential(nn.Conv2d(1, 2, 3)), "conv")


def test_frame_and_plot():
    found = measure_distribution(conv(torch.randn(4, 2, 3, 3)), 0)
    frame = found.to_frame()
    assert frame.groupby("of")["count"].sum().to_dict() == {"weights": 72, "peaks": 8}
    assert found.plot().get_axes()[0].get_xlabel() == "weights of 0"


def test_filters_of_one_tap_beyond_one_part_are_all_counted():
    weight = torch.logspace(-3, 0, 300_000).view(500, 600, 1, 1)
    module = nn.Conv2d(600, 500, 1)
    module.weight = nn.Parameter(weight)
    found = measure_distribution(nn.Sequential(module), 0)
    assert found.n == found.peaks.sum() == found.weights.sum() == 300_000
    # as many in each bin of the three decades
    assert abs(found.peaks[-47:-1] - 300_000 / 48).max() < 20


def test_finite_weights_whose_sum_is_not_are_all_counted():
    found = measure_distribution(conv(torch.full((4, 2, 3, 3), 3e38)), 0)
    assert (found.n, found.not_finite) == (8, 0)
    assert found.weights[-1] == 72
