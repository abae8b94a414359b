"""The paper's pipeline as one would write it for filters that fit into memory.

Plain NumPy, SciPy and scikit-learn in float64, sharing nothing with convlens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats
from sklearn import decomposition

EPS = np.finfo(np.float32).eps


def scaled(filters: Any) -> Any:
    """Flatten to float64 rows, each divided by its largest absolute weight."""
    rows = np.asarray(filters, dtype=np.float64).reshape(len(filters), -1)
    peak = np.abs(rows).max(1, keepdims=True)
    return rows / np.where(peak == 0, 1, peak)


def pca(filters: Any) -> Any:
    return decomposition.PCA(svd_solver="full").fit(scaled(filters))


def signed(components: Any) -> Any:
    """Turn each component so that its largest loading is positive."""
    largest = np.abs(components).argmax(1)
    return components * np.sign(components[np.arange(len(components)), largest])[:, None]


def coefficients(filters: Any, fitted: Any) -> Any:
    return (scaled(filters) - fitted.mean_) @ signed(fitted.components_).T


def drift(one: Any, other: Any, ratio: Any, span: tuple[float, float], bins: int = 70) -> float:
    """Symmetric KL of the histograms of two sets of coefficients, weighted."""
    total = 0.0
    for component, weight in enumerate(ratio):
        densities = []
        for values in (one[:, component], other[:, component]):
            density, _ = np.histogram(values, bins=bins, range=span, density=True)
            density[density == 0] = EPS
            densities.append(density)
        p, q = densities  # entropy() normalises
        total += weight * (stats.entropy(p, q) + stats.entropy(q, p))
    return float(total)


def entropy(filters: Any) -> float:
    """Variance entropy of raw filters, base 10, by SVD."""
    rows = np.asarray(filters, dtype=np.float64).reshape(len(filters), -1)
    values = np.linalg.svd(rows - rows.mean(0), compute_uv=False) ** 2
    shares = values / values.sum()
    return float(stats.entropy(shares, base=10))


def sparsity(filters: Any, eps: float = 0.01) -> float:
    rows = np.abs(np.asarray(filters, dtype=np.float64).reshape(len(filters), -1))
    return float((rows.max(1) < eps * rows.max()).mean())
