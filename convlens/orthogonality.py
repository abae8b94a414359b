"""How little the outputs of a layer repeat each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import linear

from convlens.measures import float32_is_exact, norm, parts

__all__ = ["orthogonality_of"]

_BLOCK = 1 << 22  # numbers in a temporary product
_SMALL = 1 << 15  # weights below which it makes no difference how they are multiplied
_WIDE = 384  # outputs from which bfloat16 pays, its check included
_SAMPLE = 8  # outputs that are computed both ways
_TOLERANCE = 1e-5  # of the mean |cosine| of one output; that of all is some 20 times more precise


def orthogonality_of(weight: Tensor, groups: int) -> tuple[float | None, int]:
    """Return 1 - mean |cosine| between output filters, and how many zero ones were left out.

    Parameters
    ----------
    weight : Tensor
        (out, p), one flattened output filter in each row, of a safe magnitude.
    groups : int
        Outputs are compared within their group only.

    Returns
    -------
    value : float or None
        None where no group has two filters that are not zero.
    excluded : int
        Number of zero filters.
    """
    size = norm(weight, dim=1)
    faint = (size < 1e-10).nonzero().squeeze(1)
    if faint.numel():  # their squares underflow: the direction is what counts
        peak = weight[faint].abs().amax(1, keepdim=True)
        weight = weight.index_copy(0, faint, weight[faint] / torch.where(peak > 0, peak, 1))
        size = norm(weight, dim=1)
        alive = size > 0
        inverse = torch.where(alive, 1 / size, 0)
        living = alive.view(groups, -1).sum(1).cpu().double()
        pairs, kept = float((living * (living - 1)).sum()), int(living.sum())
    else:
        inverse = 1 / size
        pairs, kept = len(weight) * (len(weight) / groups - 1), len(weight)
    excluded = len(weight) - kept
    if not pairs:
        return None, excluded
    if groups == 1:
        whole = _overlap(weight, inverse)
    else:
        shape = (groups, len(weight) // groups)
        whole = _grouped_overlap(weight.view(*shape, -1), inverse.view(shape))
    # Rounding may take the cosine of parallel filters past 1.
    return max(0.0, 1 - whole / pairs), excluded


def _overlap(weight: Tensor, inverse: Tensor) -> float:
    """Sum |cosine| over the ordered pairs of different rows."""
    product = _best_product(weight)
    if len(weight) >= _WIDE and product is _product_by_onednn and _has_fast_bfloat16():
        whole, last = _triangle(weight.bfloat16(), inverse, _product_of_bfloat16)
        if _is_precise(last, weight, inverse):
            return whole
    return _triangle(weight, inverse, product)[0]


def _triangle(
    rows: Tensor, inverse: Tensor, product: Callable[[Tensor, Tensor], Tensor]
) -> tuple[float, Tensor]:
    """Do so in blocks of rows; return also the absolute products of the last block with all."""
    found: list[Tensor] = []
    sizes = rows
    for start, stop in _blocks(len(rows)):
        # Pairs come twice, so the lower triangle is enough.
        scale = inverse[start:stop]
        sizes = product(rows[start:stop], rows[:stop]).abs_()
        own = sizes[:, start:]
        found.append(scale.dot(own @ scale) - own.diagonal().dot(scale * scale))
        if start:
            found.append(2 * scale.dot(sizes[:, :start] @ inverse[:start]))
    return float(torch.stack(found).sum()), sizes


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    step = max(128, min(512, count // 16))
    for start in range(0, count, step):
        yield start, min(count, start + step)


def _grouped_overlap(groups: Tensor, inverse: Tensor) -> float:
    whole = groups.new_zeros(())
    step = max(1, _BLOCK // groups.shape[1] ** 2)
    exact = float32_is_exact() or groups.device.type == "mps"
    for group, scale in zip(parts(groups, step), parts(inverse, step), strict=True):
        wide = group if exact else group.double()
        sizes = torch.bmm(wide, wide.mT).to(group.dtype).abs_()
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
    return (left.double() @ right.double().T).to(left.dtype)


def _product_by_onednn(left: Tensor, right: Tensor) -> Tensor:
    # As fast on every make of CPU; plain matmul may not be.
    return linear(left.to_mkldnn(), right).to_dense()


def _product_of_bfloat16(left: Tensor, right: Tensor) -> Tensor:
    return (left @ right.T).float()


def _has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16, and sums in float32, at twice the speed of float32."""
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return known is not None and bool(known())


def _is_precise(last: Tensor, weight: Tensor, inverse: Tensor) -> bool:
    """Whether rounding to bfloat16 did no harm: compute some outputs of the last block again.

    Rounding has no bias, so its errors cancel over the pairs of an output, and again over the
    outputs: mostly to 1e-6 and below. Where filters are copies of few others they do not.
    """
    count = len(weight)
    some = torch.linspace(0, len(last) - 1, _SAMPLE, device=weight.device).long()
    rows = some + (count - len(last))
    error = _product_by_onednn(weight[rows], weight).abs_() - last[some]
    each = (error @ inverse) * inverse[rows] / count
    return float(each.square().mean().sqrt()) < _TOLERANCE
