"""Look inside a CNN in a notebook: quality, saliency, features and similarity, by clicking.

The names below are loaded when they are first used, so that importing the package costs nothing
and a script that only measures never loads the widget.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convlens import compression as compression
    from convlens import demo as demo
    from convlens import features as features
    from convlens import filterdb as filterdb
    from convlens import quality as quality
    from convlens import saliency as saliency
    from convlens import similarity as similarity
    from convlens.distribution import Distribution as Distribution
    from convlens.distribution import measure_distribution as measure_distribution
    from convlens.errors import ArgumentError as ArgumentError
    from convlens.errors import Cancelled as Cancelled
    from convlens.errors import CheckpointError as CheckpointError
    from convlens.errors import ClosedLensError as ClosedLensError
    from convlens.errors import ConvlensError as ConvlensError
    from convlens.errors import ForwardError as ForwardError
    from convlens.errors import MissingPackageError as MissingPackageError
    from convlens.errors import ModelError as ModelError
    from convlens.errors import NoGradientError as NoGradientError
    from convlens.errors import UnknownLayerError as UnknownLayerError
    from convlens.features import ActivationMaps as ActivationMaps
    from convlens.features import Features as Features
    from convlens.features import Search as Search
    from convlens.features import TopInputs as TopInputs
    from convlens.features import Visualization as Visualization
    from convlens.features import activation_maps as activation_maps
    from convlens.features import top_inputs as top_inputs
    from convlens.features import visualize_features as visualize_features
    from convlens.filters import Filters as Filters
    from convlens.filters import read_filters as read_filters
    from convlens.history import History as History
    from convlens.history import Recorder as Recorder
    from convlens.history import Snapshot as Snapshot
    from convlens.layers import Layer as Layer
    from convlens.layers import Layers as Layers
    from convlens.layers import find_layers as find_layers
    from convlens.quality import LayerQuality as LayerQuality
    from convlens.quality import Quality as Quality
    from convlens.quality import measure_layer as measure_layer
    from convlens.quality import measure_quality as measure_quality
    from convlens.saliency import Agreement as Agreement
    from convlens.saliency import Predictions as Predictions
    from convlens.saliency import Saliency as Saliency
    from convlens.saliency import Sanity as Sanity
    from convlens.saliency import agreement as agreement
    from convlens.saliency import attribute as attribute
    from convlens.saliency import predict as predict
    from convlens.saliency import preflight as preflight
    from convlens.saliency import sanity_check as sanity_check
    from convlens.similarity import Similarity as Similarity
    from convlens.similarity import compare as compare
    from convlens.widget.lens import Lens as Lens

__version__ = "0.1.0"

# Where each public name lives; a name that is its own module stands for that module.
_HOMES = {
    "Lens": "convlens.widget.lens",
    "measure_quality": "convlens.quality",
    "measure_layer": "convlens.quality",
    "Quality": "convlens.quality",
    "LayerQuality": "convlens.quality",
    "measure_distribution": "convlens.distribution",
    "Distribution": "convlens.distribution",
    "read_filters": "convlens.filters",
    "Filters": "convlens.filters",
    "compare": "convlens.similarity",
    "Similarity": "convlens.similarity",
    "visualize_features": "convlens.features",
    "Visualization": "convlens.features",
    "Features": "convlens.features",
    "top_inputs": "convlens.features",
    "Search": "convlens.features",
    "TopInputs": "convlens.features",
    "activation_maps": "convlens.features",
    "ActivationMaps": "convlens.features",
    "attribute": "convlens.saliency",
    "preflight": "convlens.saliency",
    "predict": "convlens.saliency",
    "Saliency": "convlens.saliency",
    "Predictions": "convlens.saliency",
    "agreement": "convlens.saliency",
    "Agreement": "convlens.saliency",
    "sanity_check": "convlens.saliency",
    "Sanity": "convlens.saliency",
    "History": "convlens.history",
    "Recorder": "convlens.history",
    "Snapshot": "convlens.history",
    "find_layers": "convlens.layers",
    "Layers": "convlens.layers",
    "Layer": "convlens.layers",
    "compression": "convlens.compression",
    "demo": "convlens.demo",
    "features": "convlens.features",
    "filterdb": "convlens.filterdb",
    "quality": "convlens.quality",
    "saliency": "convlens.saliency",
    "similarity": "convlens.similarity",
    "ConvlensError": "convlens.errors",
    "ForwardError": "convlens.errors",
    "ModelError": "convlens.errors",
    "NoGradientError": "convlens.errors",
    "UnknownLayerError": "convlens.errors",
    "ArgumentError": "convlens.errors",
    "CheckpointError": "convlens.errors",
    "MissingPackageError": "convlens.errors",
    "ClosedLensError": "convlens.errors",
    "Cancelled": "convlens.errors",
}

__all__ = [
    "ActivationMaps",
    "Agreement",
    "ArgumentError",
    "Cancelled",
    "CheckpointError",
    "ClosedLensError",
    "ConvlensError",
    "Distribution",
    "Features",
    "Filters",
    "ForwardError",
    "History",
    "Layer",
    "LayerQuality",
    "Layers",
    "Lens",
    "MissingPackageError",
    "ModelError",
    "NoGradientError",
    "Predictions",
    "Quality",
    "Recorder",
    "Saliency",
    "Sanity",
    "Search",
    "Similarity",
    "Snapshot",
    "TopInputs",
    "UnknownLayerError",
    "Visualization",
    "__version__",
    "activation_maps",
    "agreement",
    "attribute",
    "compare",
    "compression",
    "demo",
    "features",
    "filterdb",
    "find_layers",
    "measure_distribution",
    "measure_layer",
    "measure_quality",
    "predict",
    "preflight",
    "quality",
    "read_filters",
    "saliency",
    "sanity_check",
    "similarity",
    "top_inputs",
    "visualize_features",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        if name.startswith("_"):  # what Python and IPython ask every module for
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from convlens.errors import nearest

        raise AttributeError(f"convlens has no {name!r}.{nearest(name, __all__)}")
    module = importlib.import_module(home)
    found = module if home == f"{__name__}.{name}" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
