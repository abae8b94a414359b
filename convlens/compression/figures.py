"""The arithmetic of a report: errors of weights and outputs, and sums of them over batches."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from convlens.similarity.gram import centred_gram, u_centred
from convlens.similarity.sums import Products, Sums

__all__ = ["Alike", "Error", "decibels", "weight_sqnr"]

LEAST = 4
"""Samples in a batch from which the unbiased CKA is defined."""


def decibels(signal: float, noise: float) -> float:
    """Return 10 log10(signal / noise): infinite where nothing changed, NaN where nothing was."""
    if math.isnan(signal) or math.isnan(noise):
        return math.nan
    if noise == 0:
        return math.inf if signal > 0 else math.nan
    return -math.inf if signal == 0 else 10 * math.log10(signal / noise)


def weight_sqnr(before: Tensor, after: Tensor) -> float:
    """Return the signal-to-quantisation-noise ratio of a weight in dB."""
    before, after = before.double(), after.to(before.device).double()
    return decibels(float(before.square().sum()), float((before - after).square().sum()))


@dataclass
class Error:
    """How far outputs are from those of the reference, summed over batches.

    Attributes
    ----------
    signal, noise, power, product : float
        Sums of r², (r - m)², m² and r m over all numbers, r of the reference and m of the model.
    """

    signal: float = 0.0
    noise: float = 0.0
    power: float = 0.0
    product: float = 0.0
    count: int = 0

    def add(self, reference: Tensor, model: Tensor) -> None:
        """Count one batch of two outputs of the same shape."""
        r, m = reference.float().flatten(), model.to(reference.device).float().flatten()
        # float64 sums of float32 squares: one number per batch is asked of the device
        d = torch.stack([(a * b).sum(dtype=torch.float64) for a, b in _products(r, m)])
        signal, noise, power, product = cast("list[float]", d.tolist())
        self.signal += signal
        self.noise += noise
        self.power += power
        self.product += product
        self.count += r.numel()

    @property
    def sqnr(self) -> float:
        """10 log10(sum r² / sum (r - m)²), in dB."""
        return decibels(self.signal, self.noise) if self.count else math.nan

    @property
    def cosine(self) -> float:
        """The cosine between all outputs of the one and of the other."""
        scale = math.sqrt(self.signal) * math.sqrt(self.power)
        return max(-1.0, min(1.0, self.product / scale)) if scale > 0 else math.nan

    @property
    def lost(self) -> float:
        """The share of the signal's energy that the error has: sum (r - m)² / sum r²."""
        return self.noise / self.signal if self.signal > 0 else math.nan


def _products(r: Tensor, m: Tensor) -> list[tuple[Tensor, Tensor]]:
    d = r - m
    return [(r, r), (d, d), (m, m), (r, m)]


@dataclass
class Alike:
    """Minibatch CKA of one layer with its counterpart, summed over batches."""

    sums: Sums = field(default_factory=lambda: Sums(1, 1))
    constant: bool = False

    def add(self, reference: Tensor, model: Tensor) -> None:
        """Count one batch of at least four samples; the two may differ in their features."""
        n = len(reference)
        r, m = centred_gram(reference.float().flatten(1)), centred_gram(model.float().flatten(1))
        if r.constant or m.constant:
            self.constant = True
            return
        u, v = u_centred(r.values).double(), u_centred(m.values.to(r.values.device)).double()
        scale = n * (n - 3)
        values = torch.stack([(u * v).sum(), (u * u).sum(), (v * v).sum()]).cpu() / scale
        self.sums.add(Products(values[:1].reshape(1, 1), values[1:2], values[2:]), n)

    @property
    def value(self) -> float:
        """The unbiased CKA over all batches; NaN where it has none."""
        return float(self.sums.similarity()) if self.sums.batches else math.nan

    @property
    def stderr(self) -> float:
        """Its standard error over batches."""
        return float(self.sums.standard_error()) if self.sums.batches > 1 else math.nan
