"""Magnitude pruning with the standard masks of ``torch.nn.utils.prune``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import torch
from torch import Tensor, nn

from convlens.compression.duplicate import duplicate
from convlens.compression.prunable import LayerNames, Prunable, find_prunable, set_mask
from convlens.errors import ArgumentError, nearest

__all__ = ["check_amount", "prune", "prune_weights", "share"]

SCOPES = ("global", "layer")


def prune(
    model: nn.Module,
    amount: float,
    scope: str = "global",
    structured: bool = False,
    layers: LayerNames | None = None,
    *,
    inplace: bool = False,
) -> nn.Module:
    """Prune the smallest weights that are still alive.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is, unless `inplace`.
    amount : float
        Share of the weights alive (of the filters alive, where `structured`) that goes, above 0
        and below 1: ``floor(amount * alive)`` of them.
    scope : {"global", "layer"}, default "global"
        Whether weights of all layers are ranked together, or those of each layer on their own.
    structured : bool, default False
        Prune whole filters (output channels), ranked by the root mean square of their weights,
        so that layers of different sizes can be ranked together. One stays in each layer.
    layers : str, int or sequence of them, optional
        Keys, names, indices or patterns such as ``"layer1.*"``; ``"convs"`` for convolutions.
        Default: every convolution and linear layer; where `structured`, convolutions only, since
        the outputs of the last linear layer are the classes.
    inplace : bool, default False
        Put the masks on `model` itself and return it.

    Returns
    -------
    torch.nn.Module
        A copy with masks: ``weight_orig`` and ``weight_mask`` in each pruned layer, as
        ``torch.nn.utils.prune`` keeps them. Pruning it again prunes what is left, and
        ``torch.nn.utils.prune.remove`` makes a mask permanent.

    Raises
    ------
    ArgumentError
        If `amount` does not lie between 0 and 1, nothing is left to prune, or a layer that was
        asked for holds no weight that can be masked.
    UnknownLayerError
        If `layers` names one that is not there.
    ModelError
        If `model` is no module, or cannot be copied.

    Examples
    --------
    >>> import convlens as cl
    >>> pruned = cl.compression.prune(cl.demo.load().model, 0.5, scope="layer")
    >>> cl.measure_quality(pruned)["conv1"].exact_zeros
    0.5

    Notes
    -----
    Among weights of the same magnitude the first ones in the order of the layers go, so that ties
    never take more than was asked for. A layer so small that its share is less than one weight is
    left alone (scope "layer").

    References
    ----------
    S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural
    Networks", NeurIPS 2015.
    """
    amount = check_amount(amount)
    check_scope(scope)
    if not isinstance(structured, bool):
        raise ArgumentError(f"structured must be True or False, not {structured!r}.")
    target = model if inplace else duplicate(model)
    weights = find_prunable(target, layers, structured=structured)
    prune_weights(weights, amount, scope, structured=structured)
    return target


def prune_weights(
    weights: Sequence[Prunable], amount: float, scope: str, *, structured: bool
) -> None:
    """Take the share `amount` of what is alive off the masks of `weights`.

    Raises
    ------
    ArgumentError
        If that is less than one weight.
    """
    masks = [weight.mask for weight in weights]
    choose = _filters_left if structured else _weights_left
    groups = [range(len(weights))] if scope == "global" else [[i] for i in range(len(weights))]
    gone, alive = 0, 0
    for group in groups:
        some = [weights[i] for i in group]
        before, after, kept = choose(some, [masks[i] for i in group], amount)
        alive += before
        gone += before - after
        for i, mask in zip(group, kept, strict=True):
            masks[i] = mask
    if not gone:
        what = "filters" if structured else "weights"
        where = "" if scope == "global" else " in any layer"
        raise ArgumentError(
            f"Nothing is left to prune: {amount:g} of the {alive:,} {what} alive is less than "
            f"one{where}."
        )
    for weight, mask in zip(weights, masks, strict=True):
        set_mask(weight, mask)


def share(amount: float, alive: int) -> int:
    """Return floor(amount * alive), of the decimal number that was written: 0.29 of 100 is 29."""
    return math.floor(Fraction(repr(amount)) * alive)


def check_amount(amount: object) -> float:
    """Return `amount` as a float strictly between 0 and 1, or raise ArgumentError."""
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise ArgumentError(f"amount must be a share between 0 and 1, not {amount!r}.")
    if not 0 < amount < 1:
        percent = f": pass {amount / 100:g} for {amount:g} %" if 1 < amount < 100 else ""
        raise ArgumentError(f"amount must lie between 0 and 1, not {amount!r}{percent}.")
    return float(amount)


def check_scope(scope: object) -> None:
    """Raise ArgumentError unless `scope` is one of `SCOPES`."""
    if scope not in SCOPES:
        raise ArgumentError(
            f"scope must be 'global' or 'layer', not {scope!r}.{nearest(scope, SCOPES)}"
        )


def _weights_left(
    weights: Sequence[Prunable], masks: Sequence[Tensor], amount: float
) -> tuple[int, int, list[Tensor]]:
    """Return how many were alive, how many are, and the masks."""
    sizes = [w.trained.abs().flatten().double().cpu() for w in weights]
    flat = [mask.flatten().cpu() for mask in masks]
    magnitudes, alive = torch.cat(sizes), torch.cat(flat)
    places = alive.nonzero().flatten()
    go = share(amount, len(places))
    # A stable order: of equal magnitudes the first go, and no more than were asked for.
    order = magnitudes[places].argsort(stable=True)
    alive[places[order[:go]]] = False
    parts = torch.split(alive, [len(part) for part in flat])
    kept = [
        part.reshape(mask.shape).to(mask.device) for part, mask in zip(parts, masks, strict=True)
    ]
    return len(places), len(places) - go, kept


def _filters_left(
    weights: Sequence[Prunable], masks: Sequence[Tensor], amount: float
) -> tuple[int, int, list[Tensor]]:
    norms: list[Tensor] = []
    alive: list[Tensor] = []
    for weight, mask in zip(weights, masks, strict=True):
        rows = weight.filters(weight.trained.double() * mask)
        norms.append(rows.square().mean(1).sqrt().cpu())
        alive.append(weight.filters(mask).any(1).cpu())
    magnitudes, left = torch.cat(norms), torch.cat(alive)
    layer = torch.cat([torch.full((len(a),), i) for i, a in enumerate(alive)])
    places = left.nonzero().flatten()
    go = share(amount, len(places))
    remaining = [int(a.sum()) for a in alive]
    gone = 0
    order = places[magnitudes[places].argsort(stable=True)]
    for place in cast("list[int]", order.tolist()):
        if gone == go:
            break
        if remaining[layer[place]] > 1:  # without any filter a layer lets nothing through
            remaining[layer[place]] -= 1
            left[place] = False
            gone += 1
    parts = torch.split(left, [len(a) for a in alive])
    kept = [
        mask & weight.spread(part.to(mask.device))
        for weight, mask, part in zip(weights, masks, parts, strict=True)
    ]
    return len(places), len(places) - gone, kept
