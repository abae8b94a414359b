"""Inputs and layers as users give them, checked before the model is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from convlens.activations import Forward, call_order
from convlens.errors import ArgumentError
from convlens.inputs import device_of, first_batch
from convlens.saliency.methods import Method
from convlens.saliency.probe import Place
from convlens.similarity.selection import is_conv, select
from convlens.tensors import dtype_name
from convlens.tree import walk

__all__ = ["Given", "checked", "checked_inputs", "labels_in", "place_of"]


@dataclass(frozen=True)
class Given:
    """A batch of inputs on the model's device and of its type, and labels where there are any."""

    x: Tensor
    labels: Any


def checked_inputs(
    model: nn.Module, inputs: Any, labels: Any, inputs_from: Any, forward: Forward | None
) -> Given:
    """Return a copy of the first batch as the model takes it, or say what is wrong with it.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : Tensor, DataLoader, Dataset or other iterable
        A tensor (n, ...), or what gives batches, of which the first is taken.
    labels : sequence of int or Tensor, optional
        True classes; of a batch drawn with labels, those.
    inputs_from : callable, str or int, optional
        Takes the tensor out of a batch.
    forward : callable(model, inputs), optional

    Raises
    ------
    ArgumentError
        They cannot be used: not a tensor, integers, no batch, other channels than any
        convolution of the model takes, ...
    """
    batch, drawn = first_batch(inputs)
    batch, found = labels_in(batch, inputs_from, drawn=drawn)
    if labels is None:
        labels = found
    x = checked(model, batch, forward)
    if labels is not None:
        labels = torch.as_tensor(labels).detach().cpu()
        if labels.dim() == 1 and len(labels) > len(x):
            raise ArgumentError(
                f"labels holds {len(labels)} classes, and there are {len(x)} inputs."
            )
    return Given(x, labels)


def labels_in(batch: object, inputs_from: Any, *, drawn: bool) -> tuple[Any, Tensor | None]:
    """Return the inputs in a batch, and the labels where it was drawn with them."""
    whole = cast("Any", batch)
    parts: list[Any] = list(whole) if drawn and isinstance(batch, (tuple, list)) else []
    labels = parts[1] if len(parts) == 2 and _are_labels(parts[1], parts[0]) else None
    if inputs_from is not None:
        try:
            return inputs_from(whole) if callable(inputs_from) else whole[inputs_from], labels
        except (KeyError, IndexError, TypeError) as error:
            kind = type(whole).__name__
            raise ArgumentError(
                f"inputs_from is {inputs_from!r}, and a batch ({kind}) has no such part."
            ) from error
    return (parts[0] if parts else whole), labels


def checked(model: nn.Module, batch: Any, forward: Forward | None, *, move: bool = True) -> Tensor:
    """Return one batch on the model's device and of its type, or say what is wrong with it."""
    if not isinstance(batch, Tensor):
        how = (
            "choose the tensor with inputs_from=, and add the rest in forward=, a "
            "callable(model, inputs)"
            if isinstance(batch, (tuple, list, Mapping))
            else "pass a tensor of (n, channels, height, width)"
        )
        kind = type(cast("object", batch)).__name__
        raise ArgumentError(f"inputs is a {kind}, and attributions are for one tensor: {how}.")
    sizes = " x ".join(str(size) for size in batch.shape) or "a single number"
    if batch.is_complex() or not batch.is_floating_point():
        raise ArgumentError(
            f"inputs are {dtype_name(batch.dtype)} numbers; make them float, scaled as the model "
            "expects it: (inputs / 255 - mean) / std for images."
        )
    if batch.is_meta:
        raise ArgumentError("inputs are on the meta device, which holds no values.")
    if batch.dim() < 2 or batch.numel() == 0:
        raise ArgumentError(f"inputs are {sizes}; a batch of (n, ...) values is needed.")
    if forward is None:
        _check_channels(model, batch, sizes)
    if not move:
        return batch
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), batch.dtype)
    if dtype.itemsize == 1:
        dtype = batch.dtype
    with torch.inference_mode(mode=False):
        return batch.detach().to(device=device_of(model) or batch.device, dtype=dtype, copy=True)


def place_of(
    model: nn.Module,
    method: Method,
    layer: str | int | None,
    channel: int | None,
    x: Tensor,
    forward: Forward | None,
) -> Place | None:
    """Return the call of the module that `layer` names; of a method about a layer the last one.

    Raises
    ------
    UnknownLayerError
        There is no such layer.
    ArgumentError
        It is not one layer, or the method is not for layers.
    """
    if channel is not None and (isinstance(channel, bool) or not isinstance(channel, int)):
        raise ArgumentError(f"channel is {channel!r}; it must be a whole number.")
    if layer is None:
        if channel is not None:
            raise ArgumentError(f"channel={channel} needs layer=, the layer it is of.")
        return _last_map(model, x, forward) if method.takes_layer else None
    inside = method.takes_layer or method.layer_variant or channel is not None
    if not inside:
        raise ArgumentError(
            f"{method.name} attributes to inputs only: leave layer= out, or add channel= for what "
            "that channel of the layer rests on."
        )
    chosen = select(model, layer, x[:1] if isinstance(layer, int) else None, forward)
    if len(chosen.modules) != 1:
        raise ArgumentError(f"layer={layer!r} names {len(chosen.modules)} layers; name one.")
    ((name, module),) = chosen.modules.items()
    calls = chosen.calls.get(name)
    if calls is None:
        return Place(name, module)
    (call,) = calls
    return Place(f"{name}:{call}", module, call)


def _last_map(model: nn.Module, x: Tensor, forward: Forward | None) -> Place:
    """Return the convolution that is called last, whose map is Grad-CAM's usual one."""
    nodes = {id(node.module): node for node in walk(model).nodes if is_conv(node.module)}
    order = call_order(model, [node.module for node in nodes.values()], x[:1], forward)
    if not order:
        raise ArgumentError(
            "This model calls no convolution: choose a layer that emits a map with layer=."
        )
    last = order[-1]
    name, count = nodes[id(last)].name or "(model)", order.count(last)
    return Place(name, last) if count == 1 else Place(f"{name}:{count - 1}", last, count - 1)


def _check_channels(model: nn.Module, x: Tensor, sizes: str) -> None:
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    if not convs:
        return
    first = int(convs[0].in_channels)
    if x.dim() == 3 and not any(isinstance(m, (nn.Conv1d, nn.Unflatten)) for m in model.modules()):
        raise ArgumentError(
            f"inputs are {sizes}; the model takes (n, channels, height, width): add the batch's "
            "dimension with inputs[None]."
        )
    # one channel is often repeated by the model itself
    if x.dim() == 4 and x.shape[1] not in {1, *(int(conv.in_channels) for conv in convs)}:
        raise ArgumentError(
            f"inputs are {sizes}, with {x.shape[1]} channels; no convolution of this model takes "
            f"so many, and its first takes {first}."
        )


def _are_labels(labels: Any, inputs: Any) -> bool:
    return (
        isinstance(labels, Tensor)
        and isinstance(inputs, Tensor)
        and labels.dim() == 1
        and not labels.is_floating_point()
        and len(labels) == len(inputs)
    )
