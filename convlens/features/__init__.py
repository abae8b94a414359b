"""Features: what a channel of a network wants to see, and which inputs show it."""

from __future__ import annotations

from convlens.features.maps import ActivationMaps, activation_maps
from convlens.features.presets import PRESETS, Preset
from convlens.features.result import Features
from convlens.features.search import Search, top_inputs
from convlens.features.top import TopInputs
from convlens.features.visualization import Visualization
from convlens.features.visualize import visualize_features

__all__ = [
    "PRESETS",
    "ActivationMaps",
    "Features",
    "Preset",
    "Search",
    "TopInputs",
    "Visualization",
    "activation_maps",
    "top_inputs",
    "visualize_features",
]
