"""Measure how well the filters of a network are used: sparsity, diversity, orthogonality."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convlens import measures
from convlens.choices import check_eps, check_weight, choose_layers
from convlens.errors import ArgumentError, Cancelled, ConvlensError
from convlens.layers import Layer, find_layers
from convlens.orthogonality import orthogonality_of
from convlens.randomness import compat_threshold, random_entropy
from convlens.scores import NOT_YET, LayerQuality, Quality
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

Mask = npt.NDArray[np.bool_]

_OF_RANDOM = ("entropy_of_random", "random_threshold", "p_random")
_CLEAN = ("variance_entropy_clean", "variance_entropy_clean_normalized")
_ONE_TAP = "one weight per filter: there is no pattern to measure"
_NINE_TAPS = "defined for 9 taps (3 × 3) only: compare with entropy_of_random"
_FEW = "needs at least 3 filters"
_NONE_LEFT = "every filter is sparse"
_NO_SPREAD = "all filters are the same: there is no spread to test"
_ONE_FILTER = "needs at least 2 filters"
_DEPTHWISE = "depthwise: each output has an input of its own"
_FEW_OUTPUTS = "needs at least 2 outputs that are not zero"
_FEW_IN_GROUP = "no group has 2 outputs that are not zero"


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
    for done, layer in enumerate(chosen, 1):
        # Calls of one module share its weights.
        if layer.name not in measured:
            measured[layer.name] = measure_layer(layer, eps, orthogonality=orthogonality)
        rows.append(replace(measured[layer.name], key=layer.key))
        if progress is not None and progress(done, len(chosen), layer.key) is False:
            raise Cancelled(f"Measuring was stopped after {done} of {len(chosen)} layers.")
    names: dict[str, str] = {}
    for layer in chosen:
        names.setdefault(layer.name, layer.key)
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
        return _measure(layer.detach(), "", groups, eps, orthogonality)
    unscored = _unscored(layer, eps)
    if layer.reason is not None:
        return replace(unscored, reason=layer.reason)
    try:
        return _measure(layer.weight(), layer.key, layer.groups, eps, orthogonality)
    except ConvlensError as error:
        return replace(unscored, reason=str(error))


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
    if (moments := known.moments) is None or (high := known.max_abs) is None:
        return replace(known, eps=eps)
    weight = layer.detach() if isinstance(layer, Tensor) else layer.weight()
    with measures.undisturbed(weight):
        rows, factor = measures.scaled(measures.as_rows(weight), high)
        look = measures.look_at(rows)
        if (look.high * factor, look.l1 * factor) != (high, known.l1):
            wanted = orthogonality or not known.pending
            return _measure(weight, known.key, known.groups, eps, wanted)
        found = _Found(vars(known), eps=eps)
        renewed = (*(known.pending if orthogonality else ()), *(_CLEAN if eps != known.eps else ()))
        found["omitted"] = {k: why for k, why in known.omitted.items() if k not in renewed}
        if eps != known.eps:
            _add_sparsity(found, rows, look, moments)
        if orthogonality and known.pending:
            _add_orthogonality(found, rows, asked=True)
        return found.frozen()


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
        if not _finite(look, rows):
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


def _measure(
    weight: Tensor, key: str, groups: int, eps: float, orthogonality: bool
) -> LayerQuality:
    out, inputs, *kernel = weight.shape
    found = _Found(key=key, n=out * inputs, kernel=tuple(kernel), eps=eps)
    found.update(out=out, inputs=inputs, groups=groups)
    if weight.numel() == 0:
        found["reason"] = f"no filters: its weight has shape {tuple(weight.shape)}"
        return found.frozen()
    with measures.undisturbed(weight):
        rows = measures.as_rows(weight)
        look = measures.look_at(rows)
        if not _finite(look, rows):
            found["reason"] = _not_finite(rows)
            return found.frozen()
        zeros = measures.zeros_in(rows) if look.has_zeros else 0
        found.update(max_abs=look.high, exact_zeros=zeros / rows.numel())
        rows, factor = measures.scaled(rows, look.high)
        if factor != 1:
            look = measures.look_at(rows)
        moments = measures.moments_of(rows)
        found.update(l1=look.l1 * factor, l2=moments.length * factor, moments=moments)
        _add_entropy(found, moments)
        _add_sparsity(found, rows, look, moments)
        _add_orthogonality(found, rows, orthogonality)
        return found.frozen()


class _Found(dict[str, Any]):
    """Figures of a layer as they come in, and why some do not."""

    def omit(self, names: Iterable[str], why: str) -> None:
        self.setdefault("omitted", {}).update(dict.fromkeys(names, why))

    def frozen(self) -> LayerQuality:
        return LayerQuality(**dict[str, Any](self))


def _add_entropy(found: _Found, moments: measures.Moments) -> None:
    """Add what the eigenvalues of all filters tell."""
    n, taps = moments.count, len(moments.total)
    if taps == 1:
        found.omit(("variance_entropy", "variance_entropy_normalized", *_OF_RANDOM), _ONE_TAP)
        return
    entropy, shares = measures.variance_entropy(moments)
    found.update(variance_entropy=entropy, explained_variance=shares)
    _add_normalized(found, "variance_entropy_normalized", entropy, n, taps)
    null = random_entropy(n, taps)
    if null is None:
        found.omit(_OF_RANDOM, _ONE_FILTER)
        return
    found.update(entropy_of_random=null.expected, random_threshold=null.threshold)
    if any(shares):
        found["p_random"] = null.p_value(entropy)
    else:
        found.omit(("p_random",), _NO_SPREAD)


def _add_sparsity(
    found: _Found, rows: Tensor, look: measures.Look, moments: measures.Moments
) -> None:
    """Add what depends on eps."""
    found.update(dict.fromkeys(_CLEAN))
    n, taps = rows.shape
    # Nothing is below eps times nothing, and yet every filter of an all-zero layer is dead.
    limit = look.high * found["eps"] if look.high else 1.0
    mask = cast(Mask, (look.peaks < limit).cpu().numpy())
    channels = cast(Mask, mask.reshape(found["groups"], -1, found["inputs"]))
    count = int(np.count_nonzero(mask))
    found.update(
        sparsity=count / n,
        dead_outputs=int(np.count_nonzero(channels.all(axis=2))),
        dead_inputs=int(np.count_nonzero(channels.all(axis=1))),
    )
    if taps == 1 or count == n:
        found.omit(_CLEAN, _ONE_TAP if taps == 1 else _NONE_LEFT)
        return
    sparse = torch.from_numpy(np.flatnonzero(mask)).to(rows.device)
    clean = measures.clean_moments(rows, moments, sparse)
    same = clean is moments
    entropy = found["variance_entropy"] if same else measures.variance_entropy(clean)[0]
    found["variance_entropy_clean"] = entropy
    _add_normalized(found, "variance_entropy_clean_normalized", entropy, clean.count, taps)


def _add_normalized(found: _Found, name: str, entropy: float, n: int, taps: int) -> None:
    """Add an entropy divided by T_H(n), or why that is not defined."""
    threshold = compat_threshold(n)
    if taps == 9 and threshold is not None:
        found[name] = entropy / threshold
    else:
        found.omit((name,), _FEW if taps == 9 else _NINE_TAPS)


def _add_orthogonality(found: _Found, rows: Tensor, asked: bool) -> None:
    both = ("orthogonality", "orthogonality_excluded")
    if not asked:
        found.omit(both, NOT_YET)
    elif found["groups"] > 1 and found["inputs"] == 1:
        found.omit(both, _DEPTHWISE)
    else:
        value, excluded = orthogonality_of(rows.view(found["out"], -1), found["groups"])
        found.update(orthogonality=value, orthogonality_excluded=excluded)
        if value is None:
            found.omit(both[:1], _FEW_OUTPUTS if found["groups"] == 1 else _FEW_IN_GROUP)


def _finite(look: measures.Look, rows: Tensor) -> bool:
    """Whether all weights are; their sum may overflow all the same."""
    return math.isfinite(look.l1) or bool(rows.isfinite().all())


def _unscored(layer: Layer, eps: float) -> LayerQuality:
    if len(layer.shape) < 2:
        return LayerQuality(layer.key, eps=eps, groups=layer.groups)
    out, inputs, *kernel = layer.shape
    return LayerQuality(
        layer.key,
        out * inputs,
        tuple(kernel),
        eps,
        out=out,
        inputs=inputs,
        groups=layer.groups,
    )


def _not_finite(rows: Tensor) -> str:
    nan = int(rows.isnan().sum())
    infinite = int(rows.isinf().sum())
    said = [f"{count:,} {word}" for count, word in ((nan, "NaN"), (infinite, "infinite")) if count]
    return f"{' and '.join(said)} among its {rows.numel():,} weights"
