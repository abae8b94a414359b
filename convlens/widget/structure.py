"""What a front end draws before anything is measured: the header and the list of layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from convlens.layers import Layer, Layers
from convlens.tensors import is_lazy
from convlens.verdict import DIVERSE, REDUNDANT
from convlens.widget.answers import EPS_GRID
from convlens.widget.code import code
from convlens.widget.comparing import describe_measures
from convlens.widget.compressing import describe_compression
from convlens.widget.drifting import describe_drift
from convlens.widget.explaining import describe_saliency
from convlens.widget.maximising import PAGE, SIZES
from convlens.widget.protocol import LAYER_SETS
from convlens.widget.sources import Sources

# the bands of the chart are those of the verdict's words
GUIDES = {"redundant": REDUNDANT, "good": DIVERSE, "random": 1.0}

LAYER_SET_TITLES = {"convs": "convolutions", "all": "all modules"}


def describe(layers: Layers, sources: Sources, names: Mapping[str, str | None]) -> dict[str, Any]:
    """Describe a model, its layers and what can be compared in JSON's types.

    Parameters
    ----------
    layers
        The layers of the model.
    sources
        What the Lens was given.
    names
        What these are called in the notebook, where that is known.
    """
    title, reference_title = sources.titles
    model, reference = layers.model, sources.reference
    return {
        "model": {
            "title": title,
            "parameters": _count(model) or sum(layer.parameters for layer in layers),
            "dtype": _most(layer.dtype for layer in layers),
            "device": _most(layer.device for layer in layers),
            "inputs": _samples(sources.inputs),
            "notes": list(layers.notes),
        },
        "reference": None
        if reference is None
        else {"title": reference_title, "parameters": _count(reference)},
        "layers": [_layer(layer) for layer in layers],
        "eps_grid": list(EPS_GRID),
        "code": code(sources, names),
        "guides": GUIDES,
        "similarity": _similarity(sources),
        "drift": describe_drift(sources),
        "compression": describe_compression(sources),
        "saliency": None if sources.inputs is None else describe_saliency(),
        "features": {
            "sizes": list(SIZES),
            "page": PAGE,
            "searches": sources.inputs is not None,
        },
        "classes": list(sources.classes),
        "labelled": sources.labels is not None,
        "offline": False,
    }


def _similarity(sources: Sources) -> dict[str, Any] | None:
    """Describe the comparisons that can be made."""
    if not sources.comparisons:
        return None
    title, reference_title = sources.titles
    kinds = {
        "self": (title, "with itself"),
        "inputs": (title, "on other inputs"),
        "reference": (reference_title, f"with {reference_title}"),
    }
    return {
        "measures": describe_measures(),
        "layer_sets": [{"name": name, "title": LAYER_SET_TITLES[name]} for name in LAYER_SETS],
        "comparisons": [
            {"name": name, "row": title, "column": kinds[name][0], "title": kinds[name][1]}
            for name in sources.comparisons
        ],
    }


def in_known_order(fresh: Layers, known: Layers) -> Layers:
    """Give layers found without a forward pass the keys and the order that are known of one."""
    by_name = {layer.name: layer for layer in fresh}
    kept = [
        replace(by_name[layer.name], key=layer.key, call=layer.call)
        for layer in known
        if layer.name in by_name
    ]
    names = {layer.name for layer in kept}
    return Layers(fresh.model, [*kept, *(x for x in fresh if x.name not in names)], fresh.notes)


def first_scored(layers: Layers) -> str:
    """Give the key of the first layer that has a score, of the first where none has."""
    return next((layer.key for layer in layers if layer.reason is None), layers[0].key)


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "key": layer.key,
        "name": layer.name,
        "call": layer.call,
        "kind": layer.kind,
        "shape": list(layer.shape),
        "groups": layer.groups,
        "transposed": layer.transposed,
        "parameters": layer.parameters,
        "dtype": layer.dtype,
        "device": layer.device,
        "notes": list(layer.notes),
        "reason": layer.reason,
    }


def _most(words: Iterable[str]) -> str:
    """Join the distinct words, the most frequent first."""
    return " + ".join(word for word, _ in Counter(words).most_common(3))


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if not is_lazy(p))


def _samples(inputs: object) -> int | None:
    """Count the samples of a batch, where it is plain to see."""
    shape = getattr(inputs, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) > 1 else None
