"""The measures of quality in float64, written down from their formulas and nothing else."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor


def entropy(weight: Tensor) -> float:
    """The variance entropy, by a singular value decomposition of the centred filters."""
    rows = weight.double().flatten(2).flatten(0, 1)
    values = torch.linalg.svdvals(rows - rows.mean(0)) ** 2
    if not values.any():
        return 0.0
    shares = (values / values.sum()).numpy()
    return float(-(shares * np.log10(np.where(shares > 0, shares, 1))).sum())


def sparsity(weight: Tensor, eps: float) -> float:
    """The share of filters all of whose weights are below eps times the largest."""
    sizes = weight.abs().flatten(2).flatten(0, 1)
    return float((sizes < eps * sizes.max()).all(1).double().mean())


def clean(weight: Tensor, eps: float) -> Tensor:
    """The filters that are not sparse, as the weight of a layer with one output."""
    sizes = weight.abs().flatten(2).flatten(0, 1)
    kept = ~(sizes < eps * sizes.max()).all(1)
    return weight.flatten(0, 1)[kept].unsqueeze(0)


def orthogonality(weight: Tensor, groups: int = 1) -> float:
    """1 - mean |cosine| over all pairs of outputs of a group, one after another."""
    outputs = weight.double().flatten(1)
    cosines: list[float] = []
    for group in outputs.view(groups, -1, outputs.shape[1]):
        alive = group[group.norm(dim=1) > 0]
        cosines += [
            float(abs(first @ second) / (first.norm() * second.norm()))
            for first, second in combinations(alive, 2)
        ]
    return 1 - sum(cosines) / len(cosines)
