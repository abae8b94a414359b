"""How little the outputs of a layer repeat each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convlens import compiled
from convlens.measures import Rounded, bits_of, float32_is_exact, norm, parts

__all__ = ["orthogonality_of", "pays_to_round"]

_BLOCK = 1 << 22  # numbers in a temporary product
_STEP = 256  # columns of a temporary product: a power of 2
_NARROW = 128  # columns of one that a compiled pass adds up
_SMALL = 1 << 18  # weights below which it makes no difference how they are multiplied
_CACHED = 1 << 17  # weights that stay in a core's cache from one operation to the next
_WIDE = 256  # outputs from which bfloat16 pays, its check included
_SAMPLE = 64  # outputs, or more, whose products with a quarter as many are computed both ways
_LARGE = 1 << 18  # weights over which rounding errors cancel to 1e-6
_TOLERANCE = 1e-5  # of their mean |cosine|; that of all is some ten times more precise


def orthogonality_of(
    weight: Tensor, groups: int, rounded: Rounded | None = None
) -> tuple[float | None, int]:
    """Return 1 - mean |cosine| between output filters, and how many zero ones were left out.

    Parameters
    ----------
    weight : Tensor
        (out, p), one flattened output filter in each row, of a safe magnitude.
    groups : int
        Outputs are compared within their group only.
    rounded : Rounded, optional
        `weight` in bfloat16 where that is known already.

    Returns
    -------
    value : float or None
        None where no group has two filters that are not zero.
    excluded : int
        Number of zero filters.
    """
    rows, size = _sized(weight, groups) if rounded is None else (rounded.rows, rounded.lengths)
    if float(size.min()) < 1e-10:  # their squares underflow: the direction is what counts
        faint = (size < 1e-10).nonzero().squeeze(1)
        rounded = None
        peak = weight[faint].abs().amax(1, keepdim=True)
        weight = weight.index_copy(0, faint, weight[faint] / torch.where(peak > 0, peak, 1))
        rows, size = _sized(weight, groups)
        alive = size > 0
        inverse = torch.where(alive, 1 / size, 0)
        living = alive.view(groups, -1).sum(1).cpu().double()
        pairs, kept = float((living * (living - 1)).sum()), int(living.sum())
    else:
        inverse = size.reciprocal()
        pairs, kept = len(weight) * (len(weight) / groups - 1), len(weight)
    excluded = len(weight) - kept
    if not pairs:
        return None, excluded
    if groups == 1:
        whole = _overlap(weight, rows, inverse, None if rounded is None else rounded.exact)
    else:
        shape = (groups, len(weight) // groups)
        whole = _grouped_overlap(weight.view(*shape, -1), inverse.view(shape))
    # Rounding may take the cosine of parallel filters past 1.
    return max(0.0, 1 - whole / pairs), excluded


def pays_to_round(weight: Tensor, groups: int) -> bool:
    """Whether products of the rows of `weight` are to be computed in bfloat16."""
    large = groups == 1 and len(weight) >= _WIDE and weight.numel() >= _LARGE
    return large and _best_product(weight) is _product_by_onednn and _has_fast_bfloat16()


def _sized(weight: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Return the rows as they are to be multiplied, in bfloat16 where that pays, and their norms.

    With the norms that they have after rounding, the largest error of rounding cancels.
    """
    if not pays_to_round(weight, groups):
        return weight, norm(weight, dim=1)
    if (passes := compiled.passes()) is not None:
        rounded, lengths = weight.bfloat16(), weight.new_empty(len(weight))
        passes.lengths(bits_of(rounded), lengths.numpy())
        return rounded, lengths
    rounded = torch.empty_like(weight, dtype=torch.bfloat16)
    step = max(1, _CACHED // weight.shape[1])
    place = weight.new_empty(min(step, len(weight)), weight.shape[1])
    sizes: list[Tensor] = []
    for part, into in zip(parts(weight, step), parts(rounded, step), strict=True):
        sizes.append(norm(place[: len(part)].copy_(into.copy_(part)), dim=1))
    return rounded, torch.cat(sizes)


def _overlap(weight: Tensor, rows: Tensor, inverse: Tensor, exact: Tensor | None) -> float:
    """Sum |cosine| over the ordered pairs of different rows."""
    if rows.dtype == torch.bfloat16:
        rough: list[Tensor] = []
        whole = _triangle(rows, inverse, _product_of_bfloat16, rough)
        if abs(_bias(weight, rough, inverse, exact)) < _TOLERANCE:
            return whole
        size = norm(weight, dim=1)
        inverse = torch.where(size > 0, 1 / size, 0)
    return _triangle(weight, inverse, _best_product(weight))


def _triangle(
    rows: Tensor,
    inverse: Tensor,
    product: Callable[[Tensor, Tensor], Tensor],
    sample: list[Tensor] | None = None,
) -> float:
    """Do so for rows as they are, and add a sample of their products to `sample`.

    By blocks of columns: a narrow right side is what BLAS lays out anew the least of. Pairs come
    twice, so the lower triangle is enough.
    """
    passes = compiled.passes() if _suits(rows, product) else None
    if passes is not None:
        product = _product  # as it comes
    step = _STEP if passes is None or rows.dtype == torch.bfloat16 else _NARROW
    whole = 0.0
    for start, columns in zip(range(0, len(rows), step), parts(rows, step), strict=True):
        products = product(rows[start:], columns)
        if sample is not None:
            few, many = _sampled(len(rows))
            sample.append(products[many, few].to(torch.float32, copy=True))
        scale = inverse[start:]
        whole += _added(products, scale) if passes is None else _added_by(passes, products, scale)
    return float(whole)


def _suits(rows: Tensor, product: Callable[[Tensor, Tensor], Tensor]) -> bool:
    """Whether a compiled pass adds up such products."""
    plain = rows.dtype == torch.float32 and rows.device.type == "cpu" and product is _product
    return plain or rows.dtype == torch.bfloat16


def _added(products: Tensor, inverse: Tensor) -> Tensor:
    """Sum |cosine| over ordered pairs of different rows, given the products with the first few."""
    sizes, width = products.abs_(), products.shape[1]
    scale = inverse.to(sizes.dtype)
    twice = torch.cat((scale[:width], 2 * scale[width:]))
    scale = scale[:width]
    return twice.dot(sizes @ scale) - sizes.diagonal().dot(scale * scale)


def _added_by(passes: Any, products: Tensor, inverse: Tensor) -> float:
    """Do so by a compiled pass."""
    if products.dtype == torch.bfloat16:
        return passes.overlap_of_bfloat16(bits_of(products), inverse.numpy())
    return passes.overlap(products.numpy(), inverse.numpy())


def _grouped_overlap(groups: Tensor, inverse: Tensor) -> float:
    whole = groups.new_zeros(())
    step = max(1, _BLOCK // groups.shape[1] ** 2)
    exact = float32_is_exact() or groups.device.type == "mps"
    for pair in zip(parts(groups, step), parts(inverse, step), strict=True):
        wide, scale = (x if exact else x.double() for x in pair)
        sizes = torch.bmm(wide, wide.mT).abs_()
        among = torch.bmm(sizes, scale.unsqueeze(2)).squeeze(2)
        among -= sizes.diagonal(dim1=1, dim2=2) * scale
        whole += (scale * among).sum()
    return float(whole)


def _best_product(weight: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Choose how to multiply in full precision, whatever the user allows elsewhere."""
    device = weight.device.type
    if weight.dtype == torch.float64 or device not in ("cpu", "cuda"):
        return _product
    if not float32_is_exact():
        return _product_in_float64
    if device == "cpu" and torch.backends.mkldnn.is_available() and weight.numel() > _SMALL:
        return _product_by_onednn
    return _product


def _product(left: Tensor, right: Tensor) -> Tensor:
    return left @ right.T


def _product_in_float64(left: Tensor, right: Tensor) -> Tensor:
    return left.double() @ right.double().T


def _product_by_onednn(left: Tensor, right: Tensor) -> Tensor:
    # As fast on every make of CPU; plain matmul may not be.
    return nn.functional.linear(left.to_mkldnn(), right).to_dense()


def _product_of_bfloat16(left: Tensor, right: Tensor) -> Tensor:
    return (left @ right.T).float()


def _has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16, and sums in float32, at twice the speed of float32."""
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return known is not None and bool(known())


def _sampled(outputs: int) -> tuple[slice, slice]:
    """Choose outputs from each block of columns, and from all rows: never one and the same."""
    apart = min(1 << (outputs // _SAMPLE).bit_length() - 1, _STEP // 4)
    return slice(1, None, 4 * apart), slice(0, None, apart)


def _bias(weight: Tensor, rough: Sequence[Tensor], inverse: Tensor, exact: Tensor | None) -> float:
    """Estimate by how much rounding changes the mean |cosine|, from a sample of the products.

    Rounding errors have no bias and cancel, mostly to 1e-7. Where filters are copies of few others
    they do not.
    """
    few, many = _sampled(len(weight))
    some, others = weight[few], weight[many]
    if exact is None:
        lengths = np.outer(norm(others, dim=1).numpy(), norm(some, dim=1).numpy())
    else:
        lengths = np.outer(exact.numpy()[many], exact.numpy()[few])
    # The narrow side is the right one, which takes half the time.
    right = np.abs(_product(others, some).numpy()) / np.maximum(lengths, np.float32(1e-30))
    scale = np.outer(inverse.numpy()[many], inverse.numpy()[few])
    off, pairs, column = 0.0, 0, 0
    for block in rough:
        rows, columns = block.shape
        there = (slice(len(scale) - rows, None), slice(column, column + columns))
        off += float((np.abs(block.numpy()) * scale[there] - right[there]).sum())
        pairs, column = pairs + rows * columns, column + columns
    return off / pairs
