"""What each measure makes of one layer, so that comparing two layers costs next to nothing.

Two designs carry every measure. A *vector* profile: similarity is a cosine, and all pairs of layers
are one matrix product. A *factor* (n, r): similarity comes from the singular values of the small
r1 x r2 product of two factors, all pairs again by one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from convlens.similarity.gram import (
    Gram,
    centred_gram,
    correlation_gram,
    double_centred,
    triangle,
    u_centred,
)
from convlens.similarity.linalg import (
    eigenvalues,
    eigh,
    length,
    on_threads,
    orthonormal,
    singular_values,
    svd,
)

__all__ = ["Factor", "Sample", "UnscoredError", "basis", "combine_bases", "cosines", "factor"]


_STACK = 1 << 18  # elements of products at a time: several threads share them
_ROUGH = 1e-6  # precision of float32 features, for which Cholesky's factor in float64 is enough


class UnscoredError(Exception):
    """A layer has no value under a measure; the message is the reason, in a few words."""


@dataclass(frozen=True)
class Sample:
    """What was kept of one layer over all samples: its features, or only their Gram matrix.

    Attributes
    ----------
    n, p : int
        Number of samples and of features.
    features : Tensor or None
        (n, p) as the layer gave them.
    gram : Gram or None
        Where the features were too many to keep.
    """

    n: int
    p: int
    features: Tensor | None = None
    gram: Gram | None = None

    def linear(self) -> Tensor:
        """Return the centred Gram matrix (n, n); raises where there is none to speak of."""
        gram = self.gram
        if gram is None or gram.kernel != "linear":
            gram = centred_gram(self.of_features())
        if not torch.isfinite(gram.values.diagonal()).all():
            raise UnscoredError("NaN or infinite activations")
        if gram.constant:
            raise UnscoredError("constant features: every sample gives the same output")
        return gram.values

    def of_features(self) -> Tensor:
        """Return the features; raises where only the Gram matrix was kept."""
        if self.features is None:
            raise UnscoredError(_too_many(f"{self.p:,} features", self.n))
        return self.features

    def centred(self) -> Tensor:
        """Return the features in float64 without their means; float32 where there is no other."""
        x = self.of_features()
        x = x.to(torch.float32 if x.device.type == "mps" else torch.float64)
        mean = x.mean(0)
        x = x - mean
        size = float(x.ravel().dot(x.ravel()))
        # the squares of what is finite may not be
        if not math.isfinite(size) and not torch.isfinite(self.of_features()).all():
            raise UnscoredError("NaN or infinite activations")
        dtype = self.of_features().dtype
        eps = torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
        # float16 activations are what they are: only the mean's rounding counts as noise
        eps = min(eps, float(torch.finfo(torch.float32).eps))
        if size <= (16 * eps) ** 2 * self.n * float(mean.dot(mean)):
            raise UnscoredError("constant features: every sample gives the same output")
        return x


@dataclass(frozen=True)
class Factor:
    """A layer as a matrix of few columns.

    Attributes
    ----------
    values : Tensor
        (n, r) float64.
    centred : Tensor or None
        (n, p), the centred features, for measures that weigh directions by them.
    """

    values: Tensor
    centred: Tensor | None = None


def _too_many(what: str, n: int) -> str:
    return (
        f"p >= n: {what} of {n:,} samples leave nothing to compare, any two layers would score 1; "
        "pass reduce='mean' or 'positions', or more samples (5 to 10 per feature)"
    )


# Vectors -------------------------------------------------------------------------------------


def biased(k: Tensor) -> Tensor:
    """Return the doubly centred `k` (n, n) as a vector: cosines are biased CKA."""
    return double_centred(k).flatten()


def debiased(k: Tensor) -> Tensor:
    """Return the U-centred `k` (n, n) as a vector: cosines are unbiased (debiased) CKA."""
    return triangle(u_centred(k))


def squared_distances(k: Tensor) -> Tensor:
    """Return |x_i - x_j|^2 (n, n) from the Gram matrix `k`."""
    k = k.double() if k.device.type != "mps" else k
    norms = k.diagonal()
    return (norms[:, None] + norms[None, :] - 2 * k).clamp_(min=0).fill_diagonal_(0)


def rbf(k: Tensor, t: float) -> Tensor:
    """Return exp(-D^2 / (2 sigma^2)) with sigma^2 = t^2 times the median of D^2."""
    distances = squared_distances(k)
    # numpy's: the mean of the two in the middle, for any number of elements
    median = float(np.median(distances.cpu().numpy()))
    if median == 0:
        raise UnscoredError("more than half of the samples coincide: the RBF has no width")
    return torch.exp(distances / (-2 * t * t * median))


def ranks(values: Tensor) -> Tensor:
    """Return ranks from 0, the mean rank where values are equal; float64 like Spearman's."""
    from scipy.stats import rankdata

    ranked = rankdata(values.cpu().numpy()) - 1
    return torch.from_numpy(ranked)


def dissimilarities(sample: Sample, distance: str, *, ranked: bool) -> Tensor:
    """Return the centred upper triangle of the dissimilarity matrix, or of its ranks."""
    if distance == "correlation":
        gram = sample.gram
        if gram is None or gram.kernel != "correlation":
            gram = correlation_gram(sample.of_features())
        if gram.constant:
            raise UnscoredError("a sample has the same output in every feature: no correlation")
        values = gram.values
        if not torch.isfinite(values).all():
            raise UnscoredError("NaN or infinite activations")
        vector = 1 - triangle(values).double().cpu()
        if vector.max() - vector.min() <= 1e-6:  # float32 resolves no more
            raise UnscoredError("constant features: every sample gives the same output")
    else:
        vector = triangle(squared_distances(sample.linear())).sqrt().cpu().double()
    vector = ranks(vector) if ranked else vector
    return vector - vector.mean()


def cosines(rows: Sequence[Tensor], columns: Sequence[Tensor]) -> Tensor:
    """Return the cosine of every row vector with every column vector, float64 on the CPU."""
    first, second = _unit(rows), (None if columns is rows else _unit(columns))
    return (first @ (first if second is None else second).T).double().cpu()


def _unit(vectors: Sequence[Tensor]) -> Tensor:
    # float32 holds a cosine to 1e-7; norms are taken in float64, where n^2 terms add up
    stacked = torch.stack([vector / length(vector) for vector in vectors])
    return stacked if stacked.device.type == "mps" else stacked.double()


# Factors -------------------------------------------------------------------------------------


def basis(sample: Sample, *, variance: float = 1.0, weights: bool = False) -> Factor:
    """Return an orthonormal basis (n, r) of the space that the centred features span.

    Parameters
    ----------
    sample : Sample
    variance : float, default 1
        Keep only as many principal directions as explain this share of the squared, centred
        variance (SVCCA).
    weights : bool, default False
        Keep the centred features too.
    """
    n = sample.n
    if variance == 1 and sample.p >= n:
        sample.linear()  # a layer without values has that reason first
        raise UnscoredError(_too_many(f"{sample.p:,} features", n))
    if sample.features is not None:
        x = sample.centred()
        precision = max(x.shape) * _resolution(sample.features)
        if variance == 1 and sample.p < n - 1 and precision >= _ROUGH:
            quick = orthonormal(x, 1 / precision)
            if quick is not None:
                return Factor(quick, x if weights else None)
        left, s, _ = svd(x)
        cut = s[0] * precision
    else:
        x = None
        values, vectors = eigh(_double(sample.linear()))
        left, s = vectors.flip(1), values.flip(0).clamp(min=0).sqrt()
        # a float32 Gram resolves singular values to the square root of its precision
        cut = s[0] * max(n, sample.p) ** 0.5 * _resolution(sample.linear()) ** 0.5
    rank = int((s > cut).sum())
    if variance < 1:
        share = s.square().cumsum(0) / s.square().sum()
        rank = min(rank, int((share < variance).sum()) + 1)
    if rank >= n - 1:
        raise UnscoredError(_too_many(f"{rank} directions", n))
    return Factor(left[:, :rank].contiguous(), x if weights else None)


def factor(sample: Sample) -> Factor:
    """Return F (n, r) with F F^T the centred Gram matrix over its trace."""
    if sample.features is not None and sample.p <= sample.n:
        x = sample.centred()
        return Factor(x / length(x))
    values, vectors = eigh(_double(sample.linear()))
    values = values.clamp(min=0)
    keep = values > values[-1] * 1e-14
    f = vectors[:, keep] * values[keep].sqrt()
    return Factor(f / length(f))


def _double(k: Tensor) -> Tensor:
    return k.cpu().double() if k.device.type == "mps" else k.double()


def _resolution(x: Tensor) -> float:
    return torch.finfo(x.dtype if x.dtype == torch.float64 else torch.float32).eps


def combine_bases(
    rows: Sequence[Factor], columns: Sequence[Factor], score: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return `score` of the product of every two factors, float64 (rows, columns) on the CPU.

    Parameters
    ----------
    rows, columns : sequence of Factor
        All of the same n.
    score : callable
        Takes a stack (b, r1, r2) of products Q1^T Q2, r1 >= r2, and returns (b,) values.
    """
    same = columns is rows
    left = _by_width(rows)
    right = left if same else _by_width(columns)
    matrix = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    places: list[tuple[Tensor, Tensor]] = []
    calls: list[tuple[Callable[[], Tensor], int]] = []
    for r, (at, tall) in left.items():
        for c, (to, wide) in right.items():
            if same and c < r:  # mirrored
                continue
            step = max(1, _STACK // (len(to) * r * c))
            for start in range(0, len(at), step):
                first = start if same and c == r else 0
                i, j = at[start : start + step], to[first:]
                some = tall[:, start * r : (start + step) * r], wide[:, first * c :]
                places.append((i, j))
                elements = len(i) * len(j) * r * c if tall.device.type == "cpu" else 0
                calls.append((partial(_scores, *some, r, c, score), elements))
    for (i, j), found in zip(places, on_threads(calls), strict=True):
        matrix[i[:, None], j] = found
        if same:
            matrix[j[:, None], i] = found.T
    return matrix


def _scores(
    tall: Tensor, wide: Tensor, r: int, c: int, score: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return `score` of every factor of width `r` with every one of width `c`."""
    order = (0, 2, 1, 3) if r >= c else (0, 2, 3, 1)
    blocks = (tall.T @ wide).view(tall.shape[1] // r, r, wide.shape[1] // c, c).permute(order)
    return score(blocks.flatten(0, 1)).double().cpu().view(blocks.shape[:2])


def _by_width(layers: Sequence[Factor]) -> dict[int, tuple[Tensor, Tensor]]:
    """Return by number of columns which layers have so many, and their factors side by side."""
    places: dict[int, list[int]] = {}
    for place, layer in enumerate(layers):
        places.setdefault(layer.values.shape[1], []).append(place)
    return {
        width: (torch.tensor(those), torch.cat([layers[place].values for place in those], 1))
        for width, those in places.items()
    }


def mean_correlation(product: Tensor) -> Tensor:
    """Return the mean canonical correlation of each product (b, r1, r2)."""
    # the roots of eigenvalues are right to 1e-8 where a correlation is 0, to 1e-16 where it is 1
    return eigenvalues(product.mT @ product).clamp(0, 1).sqrt().mean(1)


def mean_squared_correlation(product: Tensor) -> Tensor:
    """Return the mean squared canonical correlation: no singular values are needed."""
    return product.square().sum((1, 2)) / product.shape[2]


def nuclear_norm(product: Tensor) -> Tensor:
    """Return the sum of the singular values of each product (b, r1, r2)."""
    return singular_values(product).sum(1)


def projection_weighted(rows: Sequence[Factor], columns: Sequence[Factor]) -> tuple[Tensor, Tensor]:
    """Return PWCCA weighted by the rows' and by the columns' features, both (rows, columns)."""
    by_rows = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    by_columns = torch.zeros_like(by_rows)
    # |<h, x_j>| = |sum_k u_k (Q^T X)_kj|: the n samples are summed once per layer
    row_loads = [_loads(row) for row in rows]
    column_loads = row_loads if columns is rows else [_loads(column) for column in columns]
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            u, rho, v = svd(row.values.T @ column.values)
            rho = rho.clamp(0, 1)
            for target, directions, loads in (
                (by_rows, u.T, row_loads[i]),
                (by_columns, v, column_loads[j]),
            ):
                alpha = (directions @ loads).abs().sum(1)
                target[i, j] = (alpha @ rho / alpha.sum()).item()
    return by_rows, by_columns


def _loads(layer: Factor) -> Tensor:
    if layer.centred is None:
        raise UnscoredError("no features were kept")
    return layer.values.T @ layer.centred
