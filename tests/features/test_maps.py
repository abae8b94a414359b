"""Activation maps, against hooks of our own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import convlens as cl
from convlens.errors import ConvlensError
from tests.features.nets import KINDS, make
from tests.untouched import left_untouched


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_what_the_layer_emits(kind):
    _, colours, size, layer, count = KINDS[kind]
    model, x = make(kind), torch.randn(3, colours, size, size)
    with left_untouched(model):
        maps = cl.activation_maps(model, x, layer)
    name, _, call = layer.partition(":")
    seen = []
    hook = model.get_submodule(name).register_forward_hook(lambda *a: seen.append(a[2].clone()))
    with torch.no_grad():
        model(x.clone())
    hook.remove()
    np.testing.assert_allclose(maps.values, seen[int(call or 0)], atol=1e-5)
    assert maps.channels == tuple(range(count))
    some = cl.activation_maps(model, x, layer, [3, 1])
    assert np.array_equal(some.values, maps.values[:, [3, 1]])


def test_inputs_are_not_changed_and_loaders_give_their_first_batch():
    x = torch.randn(5, 3, 16, 16)
    before = x.clone()
    maps = cl.activation_maps(make("vgg"), x, "1")
    assert torch.equal(x, before)
    loader = DataLoader(TensorDataset(x, torch.zeros(5)), batch_size=2)
    first = cl.activation_maps(make("vgg"), loader, "1")
    np.testing.assert_allclose(first.values, maps.values[:2], atol=1e-5)


def test_the_result_tells_what_it_is():
    x = torch.randn(2, 3, 16, 16)
    maps = cl.activation_maps(make("vgg"), x, "3", [0, 5, 6])
    frame = maps.to_frame()
    assert frame["channel"].tolist() == [0, 5, 6, 0, 5, 6]
    assert frame["max"].tolist() == pytest.approx(maps.values.max((2, 3)).ravel().tolist())
    figure: Any = maps.plot()
    assert len(figure.axes[0].child_axes) == 6
    assert "2 x 3 x 8 x 8" in repr(maps)
    assert "<img" in maps._repr_html_()
    assert "<img" in cl.activation_maps(make("vgg"), x, None)._repr_html_()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inputs": None}, "inputs is missing"),
        ({"channels": 8}, "There is no channel 8: 3 has 8, 0 to 7"),
        ({"layer": "9"}, "No layer is called '9'"),
        ({"inputs": torch.zeros(1, 1, 8, 8)}, "on inputs of 1 x 8 x 8"),
    ],
)
def test_bad_arguments(options, said):
    arguments: Any = {"layer": "3", "inputs": torch.zeros(1, 3, 16, 16)} | options
    with pytest.raises(ConvlensError, match=said):
        cl.activation_maps(make("vgg"), **arguments)
