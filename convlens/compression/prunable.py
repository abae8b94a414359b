"""The weights of a model that can be pruned, and their masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from convlens.choices import choose_layers
from convlens.errors import ArgumentError
from convlens.forms import Form, form_of
from convlens.layers import find_layers
from convlens.tree import kind_of

__all__ = ["LayerNames", "Prunable", "counts", "find_prunable", "per_output", "set_mask"]

LayerNames = str | int | Sequence[str | int]


@dataclass(frozen=True, eq=False)
class Prunable:
    """One weight, whichever modules share it.

    Attributes
    ----------
    key : str
        Of the first layer that uses it.
    modules : tuple of torch.nn.Module
        All that use it.
    form : Form
        How it is read as filters.
    """

    key: str
    modules: tuple[nn.Module, ...]
    form: Form

    @property
    def trained(self) -> Tensor:
        """The parameter itself, before any mask."""
        module = self.modules[0]
        name = "weight_orig" if hasattr(module, "weight_mask") else "weight"
        return cast("Tensor", getattr(module, name)).detach()

    @property
    def mask(self) -> Tensor:
        """Which weights are alive, bool, in the layout of the parameter."""
        mask = getattr(self.modules[0], "weight_mask", None)
        if isinstance(mask, Tensor):
            return mask != 0
        return torch.ones_like(self.trained, dtype=torch.bool)

    def filters(self, values: Tensor) -> Tensor:
        """Arrange `values` in the parameter's layout as (out, rest)."""
        return self.form.arrange(values).flatten(1)

    def spread(self, outputs: Tensor) -> Tensor:
        """Give one value per output channel, (out,), the layout of the parameter."""
        return per_output(self.form, outputs, self.trained).expand_as(self.trained)


def per_output(form: Form, outputs: Tensor, like: Tensor) -> Tensor:
    """Shape one value per output channel, (out,), so that it broadcasts over a stored weight."""
    if not form.transposed:
        return outputs.reshape(-1, *[1] * (like.dim() - 1))
    apart = outputs.reshape(form.groups, 1, -1)
    apart = apart.expand(-1, like.shape[0] // form.groups, -1).flatten(0, 1)
    return apart.reshape(*apart.shape, *[1] * (like.dim() - 2))


def find_prunable(
    model: nn.Module, layers: LayerNames | None, *, structured: bool = False
) -> list[Prunable]:
    """List the weights to prune, in order; each once, whichever layers share it.

    Raises
    ------
    ArgumentError
        If a layer that was asked for by name cannot be pruned, or there is none that can.
    UnknownLayerError
        If `layers` names one that is not there.
    """
    found = find_layers(model)
    everything = layers is None or layers == "all"
    only_convs = layers == "convs" or (everything and structured)
    chosen = choose_layers(found, None if everything or only_convs else layers)
    asked = not (everything or only_convs)
    users: dict[int, list[nn.Module]] = {}
    keys: dict[int, str] = {}
    refused: list[str] = []
    for layer in chosen:
        form = form_of(layer.module)
        if only_convs and (form is None or form.dims == 0):
            continue
        why = layer.reason or _why_not(layer.module)
        if why is not None:
            refused.append(f"{layer.key}: {why}")
            continue
        parameter = getattr(
            layer.module, "weight_orig" if hasattr(layer.module, "weight_mask") else "weight"
        )
        keys.setdefault(id(parameter), layer.key)
        known = users.setdefault(id(parameter), [])
        if all(module is not layer.module for module in known):
            known.append(layer.module)
    if asked and refused:
        raise ArgumentError(f"Not to be pruned: {'; '.join(refused)}.")
    if not users:
        why = f" ({'; '.join(refused[:3])})" if refused else ""
        raise ArgumentError(f"No layer of this {kind_of(model)} can be pruned{why}.")
    weights: list[Prunable] = []
    for number, modules in users.items():
        form = form_of(modules[0])
        weights.append(Prunable(keys[number], tuple(modules), form or Form()))
    for weight in weights:
        if not weight.trained.isfinite().all():
            raise ArgumentError(f"{weight.key} has weights that are NaN or infinite: none to rank.")
    return weights


def set_mask(weight: Prunable, mask: Tensor) -> None:
    """Keep only the weights in `mask`, a bool tensor in the parameter's layout."""
    for module in weight.modules:
        known = getattr(module, "weight_mask", None)
        if not isinstance(known, Tensor):
            prune.custom_from_mask(module, "weight", mask)
            continue
        trained = cast("Tensor", module.weight_orig)
        known.copy_(mask)
        module.weight = trained * known  # as the pruning hook computes it before each call


def counts(weights: Iterable[Prunable]) -> tuple[int, int]:
    """Return how many weights are alive, and how many there are."""
    masks = [weight.mask for weight in weights]
    return sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)


def _why_not(module: nn.Module) -> str | None:
    masked = isinstance(getattr(module, "weight_mask", None), Tensor)
    name = "weight_orig" if masked else "weight"
    own = dict(module.named_parameters(recurse=False))
    if name in own:
        if not own[name].is_floating_point() or type(own[name].data) is not Tensor:
            return f"its weight is a {type(own[name].data).__name__} of {own[name].dtype}"
        return None
    if isinstance(getattr(module, "parametrizations", None), nn.ModuleDict):
        return "its weight is parametrised: call remove_parametrizations first"
    return f"{kind_of(module)} has no weight of its own that is trained"
