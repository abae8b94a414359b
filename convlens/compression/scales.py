"""The grid that a layer's weight stands on: its integers, scales and zero points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from convlens.compression.fake import input_grid
from convlens.compression.rounding import FakeQuantize
from convlens.errors import ArgumentError
from convlens.forms import form_of
from convlens.graphs import find_in_graph
from convlens.layers import Layer, find_layers
from convlens.nncf_hooks import grid_of
from convlens.weights import is_torch_quantised

__all__ = ["Scales", "read_scales", "scales_of"]

_BITS = {torch.int8: 8, torch.uint8: 8, torch.int16: 16, torch.int32: 32}


@dataclass(frozen=True, eq=False)
class Scales:
    """How the weight of a layer is quantised: ``weight = (integers - zero_points) * scales``.

    Attributes
    ----------
    key : str
        Of the layer.
    bits : int
        Of an integer.
    per_channel : bool
        Whether each output channel has a scale of its own.
    scales, zero_points : ndarray
        float64 (out,), the same number throughout where all channels share one.
    integers : ndarray
        int32 (out, in / groups, *kernel).
    input_grid : tuple or None
        Scale, zero point and bits by which the layer's input is rounded, where the layer itself
        knows.
    """

    key: str
    bits: int
    per_channel: bool
    scales: npt.NDArray[np.float64] = field(repr=False)
    zero_points: npt.NDArray[np.float64] = field(repr=False)
    integers: npt.NDArray[np.int32] = field(repr=False)
    input_grid: tuple[float, int, int] | None = None


@dataclass
class _Grid:
    scales: Tensor
    zero_points: Tensor
    bits: int


def read_scales(model: nn.Module, layer: str) -> Scales:
    """Read the integers, scales and zero points of one quantised layer.

    Parameters
    ----------
    model : torch.nn.Module
        Quantised by convlens, torch.ao, torchao's PT2E or ``quantize_``, NNCF.
    layer : str
        Its key or name.

    Returns
    -------
    Scales

    Raises
    ------
    UnknownLayerError
        If there is no such layer.
    ArgumentError
        If its weight is not quantised, or in a way that convlens does not know.
    ModelError
        If `model` is no module.

    Examples
    --------
    >>> import convlens as cl
    >>> small = cl.compression.quantize(cl.demo.load().model, bits=4)
    >>> scales = cl.compression.read_scales(small, "conv1")
    >>> scales.scales.shape, int(abs(scales.integers).max())
    ((12,), 7)
    """
    layers = find_layers(model)
    found = layers[layer]
    scales = scales_of(found, layers.model)
    if scales is None:
        said = "; ".join(found.notes) or f"{found.dtype} weights"
        raise ArgumentError(
            f"{found.key} has no scales that convlens can read: {found.reason or said}."
        )
    return scales


def scales_of(layer: Layer, model: nn.Module) -> Scales | None:
    """Return how a layer of a model is quantised; None where it is not."""
    if layer.reason is not None or not layer.shape:
        return None
    grid = _from_graph(layer) if isinstance(layer.module, fx.GraphModule) else _of(layer.module)
    if grid is None and (known := grid_of(model, layer.name)) is not None:
        grid = _Grid(known[0], torch.zeros(known[0].numel()), known[1])
    if grid is None:
        return None
    weight = layer.weight().double().cpu()
    out = weight.shape[0]
    scale, zero = (_per_output(t, out) for t in (grid.scales, grid.zero_points))
    if scale is None or zero is None:
        return None
    shape = (-1, *[1] * (weight.dim() - 1))
    integers = (weight / scale.reshape(shape)).round() + zero.reshape(shape)
    return Scales(
        key=layer.key,
        bits=grid.bits,
        per_channel=grid.scales.numel() > 1,
        scales=cast("Any", scale).numpy(),
        zero_points=cast("Any", zero).numpy(),
        integers=cast("Any", integers.int()).numpy(),
        input_grid=input_grid(layer.module),
    )


def _of(module: nn.Module) -> _Grid | None:
    """Of a module: convlens's own rounding, torch.ao's packed weight, torchao's tensor."""
    chains = getattr(module, "parametrizations", None)
    if isinstance(chains, nn.ModuleDict) and "weight" in chains:
        for step in chains["weight"].children():
            if isinstance(step, FakeQuantize):
                scale = step.scale
                if scale.numel() > 1 and (form := form_of(module)) is not None and form.transposed:
                    # stored as (in, out / groups, ...): one row of each group
                    rows = scale.reshape(form.groups, -1, scale.shape[1])[:, 0]
                    scale = rows.flatten()
                return _Grid(scale.flatten(), torch.zeros(scale.numel()), step.bits)
    weight = getattr(module, "weight", None)
    if is_torch_quantised(module) and callable(weight):
        weight = weight()
    if not isinstance(weight, Tensor):
        return None
    if weight.is_quantized:
        if weight.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            scale = torch.tensor([weight.q_scale()], dtype=torch.float64)
            return _Grid(scale, torch.tensor([float(weight.q_zero_point())]), 8)
        return _Grid(weight.q_per_channel_scales(), weight.q_per_channel_zero_points(), 8)
    data, scale = getattr(weight, "qdata", None), getattr(weight, "scale", None)
    if isinstance(data, Tensor) and isinstance(scale, Tensor) and data.dtype in _BITS:
        zero = getattr(weight, "zero_point", None)
        zero = zero if isinstance(zero, Tensor) else torch.zeros_like(scale)
        return _Grid(scale.detach(), zero.detach(), _BITS[data.dtype])
    return None


def _from_graph(layer: Layer) -> _Grid | None:
    """Of a call in a graph: what dequantises its weight."""
    module = cast("fx.GraphModule", layer.module)
    calls = [w for w in find_in_graph(module) if w.name == layer.name]
    if layer.call >= len(calls):
        return None
    weight = calls[layer.call].node.args[1]
    while isinstance(weight, fx.Node) and "dequantize_per_" not in str(weight.target):
        inputs = weight.all_input_nodes
        if len(inputs) != 1:
            return None
        weight = inputs[0]
    if not isinstance(weight, fx.Node):
        return None
    # (integers, scales, zero points, [axis,] least, most, dtype)
    parts = [_value(module, argument) for argument in weight.args]
    kept = next((part for part in parts if isinstance(part, torch.dtype)), torch.int8)
    scale, zero = (torch.as_tensor(part).double().flatten() for part in parts[1:3])
    return _Grid(scale, zero, _BITS.get(kept, 8))


def _value(module: fx.GraphModule, argument: Any) -> Any:
    if not isinstance(argument, fx.Node):
        return argument
    owner, _, name = str(argument.target).rpartition(".")
    return getattr(module.get_submodule(owner), name) if argument.op == "get_attr" else None


def _per_output(values: Tensor, out: int) -> Tensor | None:
    values = values.detach().double().cpu().flatten()
    if values.numel() == 1:
        return values.expand(out).clone()
    return values if values.numel() == out else None
