"""Fake quantisation: weights and inputs of layers rounded, everything else left in float."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from convlens.activations import hooked, untouched
from convlens.compression.prunable import per_output
from convlens.compression.rounding import (
    FakeQuantize,
    affine_grid,
    fake_quantize,
    symmetric_scale,
)
from convlens.compression.running import Batches, run_batch
from convlens.errors import ArgumentError, ForwardError
from convlens.forms import form_of
from convlens.layers import Layers, find_layers
from convlens.tree import kind_of

__all__ = ["fake_quantized", "input_grid"]


def fake_quantized(
    model: nn.Module,
    calibration: Batches | None,
    *,
    bits: int,
    activation_bits: int,
    scheme: str,
    chosen: set[str],
) -> nn.Module:
    """Round the weights of the layers in `chosen`, and what goes into them.

    Changes `model`, which is the caller's own copy.
    """
    layers = find_layers(model)
    modules = [layer.module for layer in layers if layer.key in chosen and _can_round(layer.module)]
    if not modules:
        raise ArgumentError(_nothing(layers, chosen))
    # On the network as it was: observing comes before rounding.
    seen = {} if calibration is None else _observe(model, modules, calibration)
    for module in dict.fromkeys(modules):
        _round_weight(module, bits, scheme)
        if id(module) in seen:
            _round_input(module, *seen[id(module)], activation_bits)
    return model


def input_grid(module: nn.Module) -> tuple[float, int, int] | None:
    """Return scale, zero point and bits by which a layer rounds its input; None if it does not."""
    bits = getattr(module, "input_bits", None)
    scale = getattr(module, "input_scale", None)
    zero = getattr(module, "input_zero_point", None)
    if not isinstance(bits, int) or not isinstance(scale, Tensor) or not isinstance(zero, Tensor):
        return None
    return float(scale), int(zero), bits


def _can_round(module: nn.Module) -> bool:
    form = form_of(module)
    if form is None or form.bilinear:
        return False
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.is_floating_point() and not weight.is_quantized


def _nothing(layers: Layers, chosen: set[str]) -> str:
    asked = "" if len(chosen) >= len(layers) else " among the layers that were asked for"
    return (
        f"Nothing to quantise in this {kind_of(layers.model)}{asked}: no convolution or linear "
        "layer with weights in floating point."
    )


def _round_weight(module: nn.Module, bits: int, scheme: str) -> None:
    _make_plain(module)
    form = form_of(module)
    weight = cast("Tensor", module.weight).detach()
    if form is None:
        return
    if not weight.isfinite().all():
        raise ArgumentError(f"A {kind_of(module)} has weights that are NaN or infinite: no scale.")
    if scheme == "per_tensor":
        scale, axis = symmetric_scale(weight.abs().max(), bits), None
        scale = scale.reshape([1] * weight.dim())
    else:
        peaks = form.arrange(weight).flatten(1).abs().amax(1)
        scale, axis = per_output(form, symmetric_scale(peaks, bits), weight), int(form.transposed)
        scale = scale.contiguous()
    parametrize.register_parametrization(module, "weight", FakeQuantize(scale, bits, axis))


def _make_plain(module: nn.Module) -> None:
    """Make a parameter of a weight that a hook computes: pruned, or the older norms."""
    if isinstance(getattr(module, "weight_mask", None), Tensor):
        prune.remove(module, "weight")
        return
    hooks = cast("dict[int, Any]", getattr(module, "_forward_pre_hooks", {}))
    for number, hook in list(hooks.items()):
        if getattr(hook, "name", None) == "weight" and hasattr(hook, "remove"):
            hook.remove(module)
            del hooks[number]


def _observe(
    model: nn.Module, modules: list[nn.Module], calibration: Batches
) -> dict[int, tuple[float, float]]:
    """Return the smallest and the largest input of each module that is called."""
    seen: dict[int, tuple[float, float]] = {}

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args[0] if args else next(iter(kwargs.values()), None)
        if not isinstance(given, Tensor) or not given.is_floating_point() or not given.numel():
            return
        low, high = (float(value) for value in given.detach().aminmax())
        least, most = seen.get(id(module), (math.inf, -math.inf))
        seen[id(module)] = (min(low, least), max(high, most))

    count = 0
    for batch in calibration:
        with untouched(model), hooked(modules, before=before):
            try:
                run_batch(model, batch, calibration.forward)
            except ForwardError as error:
                raise ArgumentError(
                    f"Batch {count + 1} of calibration does not fit the model: {error}"
                ) from error
        count += 1
    if not count:
        raise ArgumentError("calibration is empty: it must hold at least one batch.")
    return seen


def _round_input(module: nn.Module, least: float, most: float, bits: int) -> None:
    if not (math.isfinite(least) and math.isfinite(most)):
        raise ArgumentError(
            f"calibration gives a {kind_of(module)} inputs that are NaN or infinite: no scale."
        )
    scale, zero = affine_grid(least, most, bits)
    weight = cast("Tensor", module.weight)
    module.register_buffer("input_scale", torch.tensor(scale, device=weight.device))
    module.register_buffer("input_zero_point", torch.tensor(float(zero), device=weight.device))
    vars(module)["input_bits"] = bits
    module.register_forward_pre_hook(_rounded_input)


def _rounded_input(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Round the first input of a layer, where it is one of floats."""
    bits = getattr(module, "input_bits", None)
    if not args or not isinstance(args[0], Tensor) or not isinstance(bits, int):
        return None
    scale, zero = cast("Tensor", module.input_scale), cast("Tensor", module.input_zero_point)
    return fake_quantize(args[0], scale, zero, 0, 2**bits - 1), *args[1:]
