"""Visualisations of the small networks, and what the layer makes of their pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import convlens as cl
from tests.features.nets import KINDS, make

# the objective and nothing else
ALONE: Any = {"prior": 0, "tv": 0, "jitter": 0, "scale": 0, "rotate": 0}
QUICK: Any = {"steps": 12, "precision": "float32"}


def see(kind: str, channels=None, **options):
    _, colours, size, layer, _ = KINDS[kind]
    layer = None if options.get("objective") == "logit" else options.pop("layer", layer)
    options = {"size": size, "mean": 0.5, "std": 0.25} | QUICK | options
    found = cl.visualize_features(make(kind), layer, channels, **options)
    assert found.images.shape[1] == colours
    return found


def values(kind: str, found: cl.Features) -> Tensor:
    """What the layer emits for the pictures, by a hook and a forward pass of our own."""
    model, seen = make(kind), []
    name, _, call = found.layer.partition(":")
    module = model.get_submodule("" if name == "(output)" else name)
    module.register_forward_hook(lambda *a: seen.append(a[2].detach().clone()))
    with torch.no_grad():
        model(torch.as_tensor(found.images))
    return seen[int(call or 0)]
