"""Where filters come from: live models, checkpoints, state dicts, safetensors, ONNX files."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convlens.activations import Forward
from convlens.errors import ArgumentError, ConvlensError, ModelError
from convlens.filterdb.depth import depths_by_graph, depths_by_run, ranked
from convlens.filterdb.errors import FilterDBError
from convlens.layers import Layer, find_layers
from convlens.tensors import dense, why_unreadable
from convlens.tree import check_model

__all__ = ["CheckpointOf", "Convolution", "Extracted", "extract"]

Weights = npt.NDArray[np.float32]

_KINDS = ("Conv1d", "Conv2d", "Conv3d")
_SUFFIXES = {
    ".onnx": "ONNX",
    ".safetensors": "safetensors",
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".ckpt": "PyTorch",
    ".bin": "PyTorch",
}


@dataclass(frozen=True, eq=False)
class Convolution:
    """The filters of one layer.

    Attributes
    ----------
    name : str
    depth : int
        Its rank among the depths that hold a convolution, from 0.
    weight : ndarray of float32
        (outputs, inputs / groups, height, width).
    groups : int or None
        None where a file does not say.
    """

    name: str
    depth: int
    weight: Weights
    groups: int | None = None


@dataclass(frozen=True, eq=False)
class Extracted:
    """All convolutions of one model.

    Attributes
    ----------
    layers : tuple of Convolution
        Of any kernel size.
    metadata : dict
        What the source says of itself: `producer`, `op_set`, `parameters`, operator counts, ...
    notes : tuple of str
        What was left out, and how depths were found.
    """

    layers: tuple[Convolution, ...]
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckpointOf:
    """A checkpoint file, and how to build the model that it belongs to.

    Attributes
    ----------
    path : str or pathlib.Path
        Read with ``torch.load(..., weights_only=True)``, or as safetensors.
    factory : callable
        Takes nothing and returns the model, into which the state dict is loaded.
    """

    path: str | Path
    factory: Callable[[], nn.Module]


def extract(source: object, inputs: Any = None, forward: Forward | None = None) -> Extracted:
    """Take the convolutions out of a model, wherever it is.

    Raises
    ------
    ArgumentError
        If this is no source of filters.
    FilterDBError
        If a file cannot be read.
    """
    if isinstance(source, nn.Module):
        return _from_module(source, inputs, forward)
    if isinstance(source, CheckpointOf):
        return _from_module(_built(source), inputs, forward)
    if isinstance(source, Mapping):
        return from_tensors(cast("Mapping[str, Any]", source), "a state dict")
    if isinstance(source, str | Path):
        return _from_file(Path(source).expanduser())
    check_model(source)  # says what it is, and what to pass
    raise AssertionError


def _from_file(path: Path) -> Extracted:
    if not path.exists():
        raise FilterDBError(f"There is no file {str(path)!r}.")
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise ArgumentError(
            f"{path.name!r} ends in none of {', '.join(_SUFFIXES)}, so what it holds is not known: "
            "load the model and pass that."
        )
    if kind == "ONNX":
        from convlens.filterdb.onnx_file import from_onnx

        return from_onnx(path)
    return from_tensors(_read_tensors(path), path.name)


def _built(source: CheckpointOf) -> nn.Module:
    path = Path(source.path).expanduser()
    if not path.exists():
        raise FilterDBError(f"There is no file {str(path)!r}.")
    with torch.random.fork_rng(devices=[]):  # a factory initialises weights
        model = check_model(source.factory())
    try:
        model.load_state_dict(dict(_read_tensors(path)))
    except RuntimeError as error:
        said = " ".join(str(error).split())[:300]
        raise FilterDBError(f"{path.name} does not fit the model of its factory: {said}") from error
    return model.eval()


def _read_tensors(path: Path) -> Mapping[str, Tensor]:
    """Read a state dict, or the one inside a training checkpoint."""
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FilterDBError(
            f"{path.name} holds more than tensors, and what it asks for may run code: save the "
            "model's state_dict() alone, or load the model yourself and pass that."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        said = str(error).strip().split("\n")[0]
        raise FilterDBError(f"{path.name} is no whole PyTorch checkpoint ({said}).") from error
    for key in ("state_dict", "model_state_dict", "model", "model_state"):
        inner: Any = cast(Any, found).get(key) if isinstance(found, Mapping) else None
        if isinstance(inner, Mapping):
            found = cast("Mapping[str, Any]", inner)
    if not isinstance(found, Mapping):
        raise FilterDBError(
            f"{path.name} holds a {type(found).__name__} and no state dict of named tensors."
        )
    return cast("Mapping[str, Tensor]", found)


def _read_safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        import safetensors
        from safetensors import torch as for_torch
    except ImportError:
        raise FilterDBError(
            f"{path.name} needs safetensors to be read: pip install safetensors."
        ) from None
    try:
        return cast(Any, for_torch).load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise FilterDBError(f"{path.name} is no whole safetensors file ({error}).") from error


def from_tensors(tensors: Mapping[str, Any], called: str) -> Extracted:
    """Take every tensor of four dimensions, in the order of the file."""
    kept: list[tuple[str, Tensor]] = []
    notes: list[str] = ["depth is the order of the tensors: a state dict has no graph"]
    seen: set[Any] = set()
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.dim() != 4:
            continue
        reason = why_unreadable(tensor)
        if reason is not None:
            notes.append(f"{name} left out: {reason}")
            continue
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape))
        if tensor.numel() and place in seen:
            notes.append(f"{name} left out: the same memory as another")
            continue
        seen.add(place)
        kept.append((str(name), tensor))
    if not any(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ArgumentError(f"{called} holds no tensors by name: pass a model's state_dict().")
    layers = tuple(
        Convolution(name.removesuffix(".weight"), depth, _array(tensor))
        for depth, (name, tensor) in enumerate(kept)
    )
    return Extracted(layers, {}, tuple(notes))


def _from_module(model: nn.Module, inputs: Any, forward: Forward | None) -> Extracted:
    found = find_layers(model)
    notes: list[str] = []
    layers: list[tuple[Layer, Weights]] = []
    for layer in found:
        if layer.transposed or len(layer.shape) != 4:
            if layer.transposed:
                notes.append(f"{layer.key} left out: a transposed convolution")
            continue
        try:
            layers.append((layer, _array(layer.weight())))
        except ConvlensError as error:
            notes.append(f"{layer.key} left out: {error}")
    notes += [
        f"{layer.key} left out: {layer.reason}"
        for layer in found
        if layer.reason is not None and any(kind in layer.kind for kind in _KINDS)
    ]
    depths, how = _depths(found.model, [layer for layer, _ in layers], inputs, forward)
    notes.append(how)
    convolutions = tuple(
        Convolution(layer.key, depths[layer.key], weight, layer.groups) for layer, weight in layers
    )
    parameters = sum(p.numel() for p in found.model.parameters() if hasattr(p, "numel"))
    metadata = {"producer": f"torch {torch.__version__}", "parameters": parameters}
    return Extracted(convolutions, metadata, tuple(dict.fromkeys(notes)))


def _depths(
    model: nn.Module, layers: list[Layer], inputs: Any, forward: Forward | None
) -> tuple[dict[str, int], str]:
    modules = {layer.name: layer.module for layer in layers}
    if inputs is not None or forward is not None:
        by_name = depths_by_run(model, modules, inputs, forward)
        deepest = max(by_name.values(), default=0) + 1
        depths = {layer.key: by_name.get(layer.name, deepest) for layer in layers}
        return ranked(depths), "depth by a forward pass"
    traced = depths_by_graph(model, modules)
    if traced is not None:
        return ranked({layer.key: traced[layer.name] for layer in layers}), "depth by the graph"
    why = "the model cannot be traced; inputs= would help"
    return {layer.key: place for place, layer in enumerate(layers)}, f"depth by order ({why})"


def _array(tensor: Tensor) -> Weights:
    if math.prod(tensor.shape) == 0:
        raise ModelError("a weight without elements")
    return cast(Any, dense(tensor)).float().cpu().contiguous().numpy()
