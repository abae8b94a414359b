"""What a report says of weights: it needs no data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from convlens.compression.changes import LayerChange
from convlens.compression.figures import weight_sqnr
from convlens.compression.fusion import Norm, Sites, norm_scale
from convlens.compression.matching import Pair
from convlens.errors import ConvlensError
from convlens.layers import Layer
from convlens.quality import measure_layer

__all__ = ["weight_changes"]


def weight_changes(pairs: Sequence[Pair], sites: Sequence[Sites], eps: float) -> list[LayerChange]:
    """Compare the weights of each pair, and measure the filters of both."""
    return [_change(pair, site.norm, eps) for pair, site in zip(pairs, sites, strict=True)]


def _change(pair: Pair, norm: Norm | None, eps: float) -> LayerChange:
    reasons: dict[str, str] = {}
    notes = pair.layer.notes
    if norm is not None:
        notes = (*notes, "batch norm folded in")
    found: dict[str, Any] = {
        **_weights(pair.layer, eps, "", reasons),
        **_weights(pair.reference, eps, "reference_", reasons),
    }
    try:
        found["weight_sqnr"] = _sqnr(pair, norm)
    except ConvlensError as error:
        reasons["weight_sqnr"] = str(error)
    else:
        if math.isnan(found["weight_sqnr"]):
            reasons["weight_sqnr"] = _why_no_sqnr(pair)
    return LayerChange(
        key=pair.layer.key,
        reference_key=pair.reference.key,
        kind=pair.layer.kind,
        how=pair.how,
        shape=pair.layer.shape,
        notes=notes,
        reasons=reasons,
        **found,
    )


def _sqnr(pair: Pair, norm: Norm | None) -> float:
    if not pair.same_shape or pair.layer.reason or pair.reference.reason:
        return math.nan
    before = pair.reference.weight().double()
    scale = None if norm is None else norm_scale(norm)
    if scale is not None:
        before = before * scale.to(before.device).reshape(-1, *[1] * (before.dim() - 1))
    return weight_sqnr(before, pair.layer.weight())


def _why_no_sqnr(pair: Pair) -> str:
    for layer in (pair.layer, pair.reference):
        if layer.reason is not None:
            return f"{layer.key}: {layer.reason}"
    if not pair.same_shape:
        one, other = (" x ".join(map(str, x.shape)) for x in (pair.layer, pair.reference))
        return f"{one} weights here, {other} in the reference"
    return "all weights of the reference are 0, or some are not finite"


def _weights(layer: Layer, eps: float, prefix: str, reasons: dict[str, str]) -> dict[str, Any]:
    """Measure the filters of one of the two layers."""
    try:
        quality = measure_layer(layer, eps, orthogonality=False)
        weight = None if layer.reason else layer.weight()
    except ConvlensError as error:
        reasons[f"{prefix}exact_zeros"] = str(error)
        return {}
    if quality.reason is not None or weight is None:
        reasons[f"{prefix}exact_zeros"] = quality.reason or str(layer.reason)
        return {}
    filters, outputs = _all_zero(weight)
    return {
        f"{prefix}exact_zeros": quality.exact_zeros,
        f"{prefix}zero_filters": filters,
        f"{prefix}zero_outputs": outputs,
        f"{prefix}sparsity": quality.sparsity,
        f"{prefix}entropy": quality.variance_entropy,
    }


def _all_zero(weight: Tensor) -> tuple[float, int]:
    """Return the share of kernels and the number of outputs that hold nothing but 0."""
    kernels = (weight == 0).flatten(2).all(2) if weight.dim() > 2 else weight == 0
    return float(kernels.float().mean()), int(kernels.all(1).sum())
