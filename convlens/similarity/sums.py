"""Sums over batches that minibatch CKA and its standard error are made of; they simply add up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Products", "Sums"]


@dataclass(frozen=True)
class Products:
    """The HSIC values of one batch.

    Attributes
    ----------
    cross : Tensor
        (rows, columns) float64: HSIC1(K, L).
    rows, columns : Tensor
        (rows,), (columns,) float64: HSIC1(K, K) and HSIC1(L, L).
    """

    cross: Tensor
    rows: Tensor
    columns: Tensor


class Sums:
    """Running sums of the products and of their squares.

    All are additive, so that processes and machines can each have a share of the batches and add
    theirs, and nothing has to be kept of a batch that has been counted.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self.batches = 0
        self.samples = 0
        self.parts = {
            "a": torch.zeros(rows, columns, dtype=torch.float64),
            "aa": torch.zeros(rows, columns, dtype=torch.float64),
            "ab": torch.zeros(rows, columns, dtype=torch.float64),
            "ac": torch.zeros(rows, columns, dtype=torch.float64),
            "bc": torch.zeros(rows, columns, dtype=torch.float64),
            "b": torch.zeros(rows, dtype=torch.float64),
            "bb": torch.zeros(rows, dtype=torch.float64),
            "c": torch.zeros(columns, dtype=torch.float64),
            "cc": torch.zeros(columns, dtype=torch.float64),
        }

    def add(self, products: Products, samples: int) -> None:
        """Count one batch."""
        a, b, c = products.cross, products.rows, products.columns
        self.batches += 1
        self.samples += samples
        parts = self.parts
        parts["a"] += a
        parts["aa"] += a * a
        parts["ab"] += a * b[:, None]
        parts["ac"] += a * c[None, :]
        parts["bc"] += b[:, None] * c[None, :]
        parts["b"] += b
        parts["bb"] += b * b
        parts["c"] += c
        parts["cc"] += c * c

    def similarity(self) -> Tensor:
        """Return sum HSIC(K, L) / sqrt(sum HSIC(K, K) sum HSIC(L, L)); NaN where that is 0 / 0."""
        scale = (self.parts["b"][:, None] * self.parts["c"][None, :]).sqrt()
        return torch.where(scale > 0, self.parts["a"] / scale, math.nan)

    def standard_error(self) -> Tensor:
        """Return the jackknife's standard error over batches; NaN with fewer than two.

        The infinitesimal jackknife (Jaeckel 1972): how much each batch pulls the ratio, which needs
        only sums, where leaving out every batch in turn would need them all. The two agree to first
        order in 1 / batches.
        """
        value = self.similarity()
        if self.batches < 2:
            return torch.full_like(value, math.nan)
        p = self.parts
        a, b, c = p["a"], p["b"][:, None], p["c"][None, :]
        # the square of  value * (a_i / a - b_i / 2b - c_i / 2c), multiplied out; by value / a =
        # 1 / sqrt(bc) it holds where a = 0 too
        scale = b * c
        pull = (
            p["aa"] / scale
            + value**2
            * (p["bb"][:, None] / b**2 + p["cc"][None, :] / c**2 + 2 * p["bc"] / (b * c))
            / 4
            - value * (p["ab"] / b + p["ac"] / c) / scale.sqrt()
        )
        del a
        return (pull.clamp(min=0) * self.batches / (self.batches - 1)).sqrt()
