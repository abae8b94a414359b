"""Measure how well the filters of a network are used: sparsity, diversity, orthogonality."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convlens import compiled, measures
from convlens.choices import check_eps, check_weight, choose_layers
from convlens.errors import ArgumentError, Cancelled, ConvlensError
from convlens.figures import figures_of, finite, renewed
from convlens.layers import Layer, find_layers
from convlens.scores import LayerQuality, Quality
from convlens.threads import in_order
from convlens.verdict import METRICS, Verdict

__all__ = [
    "METRICS",
    "LayerQuality",
    "Quality",
    "Verdict",
    "measure_layer",
    "measure_quality",
    "remeasure",
    "sparsity_curve",
]

_OFTEN = 1_000_000  # weights from which measuring them again is worth compiled passes
_ALONE = 4_000_000  # weights of a layer that one thread gets through soon enough
_TOGETHER = 750_000  # weights of layers that a thread measures in a row
_MOST_TOGETHER = 8  # such layers, as progress is told after each


def measure_quality(
    model: nn.Module,
    eps: float = 0.01,
    *,
    inputs: Any = None,
    forward: Callable[..., Any] | None = None,
    layers: str | int | Sequence[str | int] | None = None,
    orthogonality: bool = True,
    progress: Callable[[int, int, str], bool | None] | None = None,
) -> Quality:
    """Measure the filters of every layer of a model.

    Needs no data, runs where the weights are, and leaves the model as it is. A layer that cannot
    be scored is in the result with the reason.

    Parameters
    ----------
    model : torch.nn.Module
        Any model with layers that hold weights.
    eps : float, default 0.01
        A filter is sparse when all its weights are below this share of the layer's largest;
        between 0 and 1.
    inputs : optional
        What the model is called with, to list the layers in the order of their calls.
    forward : callable, optional
        How to call the model on `inputs`, where ``model(inputs)`` is not the way.
    layers : str, int or sequence of them, optional
        Only these: keys, names, indices (negative ones from the end), or patterns such as
        ``"layer1.*"``. All by default.
    orthogonality : bool, default True
        Also measure orthogonality, which takes most of the time in wide layers.
    progress : callable, optional
        Called as ``progress(done, total, label)`` after each layer; False as its answer stops.

    Returns
    -------
    Quality
        A mapping from layer keys to `LayerQuality`.

    Raises
    ------
    ModelError
        If `model` is no module, or has no layers with weights.
    ArgumentError
        If an argument has a value that cannot be used.
    UnknownLayerError
        If `layers` names one that is not there; the message has the nearest.
    Cancelled
        If `progress` returned False.

    Notes
    -----
    Formulas, ranges and sources of all figures are in `convlens.quality.METRICS`; most are of
    Gavrikov and Keuper, CNN Filter DB, CVPR 2022.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.Conv2d(16, 8, 5))
    >>> quality = measure_quality(model)
    >>> quality["0"].n
    48
    >>> quality["0"].verdict.title
    'Like random filters'
    """
    eps = check_eps(eps)
    if not isinstance(orthogonality, bool):
        raise ArgumentError(f"orthogonality must be True or False, not {orthogonality!r}.")
    found = find_layers(model, inputs, forward)
    chosen = choose_layers(found, layers)
    measured: dict[str, LayerQuality] = {}
    rows: list[LayerQuality] = []
    # Calls of one module share its weights.
    unique = {layer.name: layer for layer in reversed(chosen)}
    names = {layer.name: unique[layer.name].key for layer in chosen}
    with closing(_measured([unique[name] for name in names], eps, orthogonality)) as found_in_turn:
        for done, layer in enumerate(chosen, 1):
            if layer.name not in measured:
                measured[layer.name] = next(found_in_turn)
            row = measured[layer.name]
            rows.append(row if row.key == layer.key else replace(row, key=layer.key))
            if progress is not None and progress(done, len(chosen), layer.key) is False:
                raise Cancelled(f"Measuring was stopped after {done} of {len(chosen)} layers.")
    return Quality(tuple(rows), eps, type(found.model).__name__, found.notes, names)


def measure_layer(
    layer: Layer | Tensor,
    eps: float = 0.01,
    *,
    groups: int = 1,
    orthogonality: bool = True,
) -> LayerQuality:
    """Measure the filters of one layer, or of a weight tensor.

    Parameters
    ----------
    layer : Layer or Tensor
        A layer of `find_layers`, or a weight of shape (out, inputs / groups, *kernel), any float
        dtype, on any device.
    eps : float, default 0.01
        A filter is sparse when all its weights are below this share of the largest.
    groups : int, default 1
        Groups of the convolution that a weight tensor belongs to; a layer knows its own.
    orthogonality : bool, default True
        Also measure orthogonality.

    Returns
    -------
    LayerQuality

    Raises
    ------
    ArgumentError
        If `eps`, `groups` or the shape of a weight cannot be used.

    Examples
    --------
    >>> import torch
    >>> measure_layer(torch.zeros(8, 4, 3, 3)).sparsity
    1.0
    """
    eps = check_eps(eps)
    if isinstance(layer, Tensor):
        check_weight(layer, groups)
        return figures_of(layer.detach(), "", groups, eps, orthogonality)
    return _call_for(layer, eps, orthogonality)()


def remeasure(
    known: LayerQuality, layer: Layer | Tensor, eps: float, *, orthogonality: bool = False
) -> LayerQuality:
    """Measure what is not known of a layer yet: what depends on another `eps`, and orthogonality.

    Parameters
    ----------
    known : LayerQuality
        What was measured of the same weights.
    layer : Layer or Tensor
        The layer, or its weight.
    eps : float
        Between 0 and 1.
    orthogonality : bool, default False
        Also measure orthogonality where that is still to be done.

    Returns
    -------
    LayerQuality
        Equal to a fresh measurement; weights that are found changed get one.

    Raises
    ------
    ArgumentError
        If `eps` cannot be used.
    """
    eps = check_eps(eps)
    if known.moments is None:  # there is nothing to measure
        return replace(known, eps=eps)
    weight = layer.detach() if isinstance(layer, Tensor) else layer.weight()
    return renewed(known, weight, eps, orthogonality)


def sparsity_curve(weight: Tensor, grid: Sequence[float]) -> npt.NDArray[np.int64]:
    """Count the sparse filters at each eps of a grid.

    Parameters
    ----------
    weight : Tensor
        Shape (out, inputs / groups, *kernel).
    grid : sequence of float
        Values of eps between 0 and 1, in any order.

    Returns
    -------
    ndarray of int64
        As long as the grid: the same counts as measuring with each eps. Empty where weights are
        not finite.
    """
    with measures.undisturbed(weight):
        rows = measures.as_rows(weight.detach())
        if not rows.numel():
            return np.zeros(len(grid), np.int64)
        look = measures.look_at(rows)
        if not finite(look, rows):
            return np.zeros(0, np.int64)
        if look.high == 0:
            return np.full(len(grid), len(rows), np.int64)
        rows, factor = measures.scaled(rows, look.high)
        peaks = look.peaks if factor == 1 else measures.look_at(rows).peaks
        high = look.high / factor
        limits = torch.tensor([high * eps for eps in grid], dtype=torch.float64, device="cpu")
        ordered, order = limits.to(peaks.dtype).sort()
        # A filter is sparse at every limit above its peak.
        first = torch.bucketize(peaks, ordered.to(peaks.device), right=True)
        counts = torch.bincount(first, minlength=len(grid) + 1)[:-1].cpu().cumsum(0)
    curve = np.empty(len(grid), np.int64)
    curve[order.numpy()] = counts.numpy()
    return curve


def _measured(layers: Sequence[Layer], eps: float, orthogonality: bool) -> Generator[LayerQuality]:
    """Measure layers, one after the other or several at once."""
    # On other devices torch does it all.
    sizes = [math.prod(layer.shape) if layer.device == "cpu" else 0 for layer in layers]
    if sum(sizes) >= _OFTEN:
        compiled.load_soon()
    calls = (_call_for(layer, eps, orthogonality) for layer in layers)
    # Operations of torch alone are too short: threads would wait for the interpreter between them.
    if compiled.passes() is None or torch.get_num_threads() == 1:
        yield from (call() for call in calls)
        return
    for found in in_order(_bundled(zip(calls, sizes, strict=True))):
        yield from found


def _bundled(
    calls: Iterable[tuple[Callable[[], LayerQuality], int]],
) -> Generator[tuple[Callable[[], list[LayerQuality]], int]]:
    """Make one call of several small ones in a row, with how much work it is.

    Those are mostly Python: on several threads they would wait for each other.
    """
    row: list[Callable[[], LayerQuality]] = []
    held = 0
    for call, size in calls:
        amount = size if size <= _ALONE else 0
        full = held + amount > _TOGETHER or len(row) == _MOST_TOGETHER
        if row and (full or not amount or not held):
            yield partial(_all_of, row), held
            row, held = [], 0
        row.append(call)
        held += amount
    if row:
        yield partial(_all_of, row), held


def _all_of(calls: Iterable[Callable[[], LayerQuality]]) -> list[LayerQuality]:
    return [call() for call in calls]


def _call_for(layer: Layer, eps: float, orthogonality: bool) -> Callable[[], LayerQuality]:
    """Read the weight of a layer; the call measures it, on whatever thread."""
    if layer.reason is not None:
        return partial(_unscored, layer, eps, layer.reason)
    try:
        weight = layer.weight()
    except ConvlensError as error:
        return partial(_unscored, layer, eps, str(error))

    def measure() -> LayerQuality:
        try:
            return figures_of(weight, layer.key, layer.groups, eps, orthogonality)
        except ConvlensError as error:
            return _unscored(layer, eps, str(error))

    return measure


def _unscored(layer: Layer, eps: float, reason: str) -> LayerQuality:
    if len(layer.shape) < 2:
        return LayerQuality(layer.key, eps=eps, groups=layer.groups, reason=reason)
    out, inputs, *kernel = layer.shape
    return LayerQuality(
        layer.key,
        out * inputs,
        tuple(kernel),
        eps,
        out=out,
        inputs=inputs,
        groups=layer.groups,
        reason=reason,
    )
