"""Copied code of a Lens that says what the model takes of a batch, and how it is called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from convlens.widget.code import code
from convlens.widget.sources import Sources

FILLED = {
    "similarity": {"measure": "'cka'", "layer_set": "'convs'", "settings": "", "fit": "False"},
    "compression": {"by": "'cka'", "layer": "'1'"},
    "features": {"layer": "'1'", "channel": 2, "settings": ", steps=2, seed=3"},
    "quality": {"eps": 0.01, "layer": "'1'"},
    "filters": {"layer": "'1'", "sort": "'norm'", "scale": "'filter'", "eps": 0.01},
}


def net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Identity(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def doubled(model: nn.Module, x: torch.Tensor) -> Any:
    return model(2 * x)


@pytest.fixture
def batches():
    images = torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return [{"image": some, "label": torch.zeros(8)} for some in images.split(8)]


@pytest.mark.parametrize("forward", [None, doubled])
@pytest.mark.parametrize("part", ["image", lambda batch: batch["image"]])
def test_copied_code_runs_as_the_lens_does(open_lens, batches, forward, part):
    model, reference = net(0).eval(), net(1).eval()
    lens = open_lens(model, batches, reference, inputs_from=part, forward=forward)
    template = lens._structure["code"]
    lens.comparison = "reference"
    scope: dict[str, Any] = {"model": model, "reference": reference, "inputs": batches}
    scope |= {"forward": forward, "inputs_from": part}
    exec(template["similarity"]["reference"].format(**FILLED["similarity"]), scope)
    lens.view = "similarity"
    np.testing.assert_array_equal(scope["similarity"].matrix, lens.result().matrix)
    exec(template["compression"]["model"].format(**FILLED["compression"]), scope)
    lens.view, lens.compression_after = "compression", "model"
    assert scope["report"].layers == lens.result().layers
    features = template["features"].format(**FILLED["features"])
    exec(features.replace("features.plot()\n", "").replace(".plot(crops=True)", ""), scope)
    lens.view, lens.layer, lens.channel = "features", "1", 2
    lens.feature_steps, lens.feature_seed = 2, 3
    assert lens.input.shape == (1, 3, 8, 8)
    np.testing.assert_allclose(scope["features"].images, lens.result().images, atol=1e-5)


@pytest.mark.parametrize("forward", [None, doubled])
@pytest.mark.parametrize("part", ["image", lambda batch: batch["image"]])
def test_layers_are_found_as_the_lens_finds_them(batches, forward, part):
    model = net(0).eval()
    sources = Sources(model, batches, forward=forward, inputs_from=part)
    template = code(sources, {"inputs": "inputs"})
    scope: dict[str, Any] = {"model": model, "inputs": batches}
    scope |= {"forward": forward, "inputs_from": part}
    for view in ("quality", "filters"):
        exec(template[view].format(**FILLED[view]), scope)
    assert scope["quality"]["1"] == cl.measure_quality(model)["1"]
    assert scope["filters"].weights.shape == (4, 3, 3, 3)
