"""The filters of one layer: their values, their basis, and orders to look at them in."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from convlens import measures
from convlens.choices import check_eps
from convlens.errors import ArgumentError, UnknownLayerError, nearest
from convlens.layers import Layer, Layers, find_layers

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Filters", "Scale", "Sort", "filters_of", "read_filters"]

Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]
Sort = Literal["position", "norm", "entropy", "cluster"]
Scale = Literal["filter", "layer", "model"]
SORTS: tuple[Sort, ...] = ("position", "norm", "entropy", "cluster")
SCALES: tuple[Scale, ...] = ("filter", "layer", "model")

_CLUSTERS = 12
_FITTED = 20_000  # filters the cluster centres are fitted to
_ROUNDS = 20
_SEED = 0


@dataclass(frozen=True, eq=False, repr=False)
class Filters:
    """The filters of a layer as they are now.

    Attributes
    ----------
    key : str
        Key of the layer.
    weights : ndarray of float32
        (out, inputs per group, *kernel), on the CPU; a read-only copy.
    peaks : ndarray of float32
        The largest absolute value in each filter, (n,); NaN where one of its weights is NaN or
        infinite. Such a filter has no norm or entropy, and no part in what follows.
    max_abs : float
        The largest of all.
    mean : ndarray of float32
        The mean filter, (*kernel).
    eigenimages : ndarray of float32
        Principal components of the centred filters, (k, *kernel), each of unit length with its
        largest value positive; descending. None (k = 0) where filters have one tap.
    explained_variance : tuple of float
        Share of the variance that each carries; sums to 1, all 0 where all filters are equal.
    """

    key: str
    weights: Floats
    peaks: Floats
    max_abs: float
    mean: Floats
    eigenimages: Floats
    explained_variance: tuple[float, ...]
    _cached: dict[str, npt.NDArray[np.uint8]] = field(
        default_factory=dict[str, "npt.NDArray[np.uint8]"], repr=False
    )

    @property
    def kernel(self) -> tuple[int, ...]:
        """Size of a filter; () for a linear layer."""
        return self.weights.shape[2:]

    @property
    def rows(self) -> Floats:
        """The filters one after another, (n, K)."""
        out, inputs, *kernel = self.weights.shape
        return self.weights.reshape(out * inputs, math.prod(kernel))

    @cached_property
    def norms(self) -> Floats:
        """The Euclidean norm of each filter, (n,)."""
        # Of the filter over its peak: squares of very small weights would vanish.
        peaks = self.peaks
        return np.sqrt(self._energies.sum(axis=1)) * peaks

    @cached_property
    def entropies(self) -> Floats:
        """How evenly the energy of each filter is spread over its taps, (n,).

        ``-sum p log p / log K`` with ``p = w^2 / sum w^2``: 0 for a single tap, 1 for a flat
        filter; 0 for an all-zero filter, NaN where filters have one tap.
        """
        taps = self.rows.shape[1]
        if taps == 1:
            return np.full(len(self.rows), np.nan, np.float32)
        energy = self._energies
        total = energy.sum(axis=1)
        logs = np.log(energy, out=np.zeros_like(energy), where=energy > 0)
        # -sum p log p of p = e / t is log t - sum e log e / t
        mixed = np.einsum("nk,nk->n", energy, logs)
        safe = np.where(total > 0, total, 1)
        found = (np.log(safe) - mixed / safe) / np.float32(math.log(taps))
        spread = cast(Floats, np.clip(found, 0, 1, dtype=np.float32))
        return np.where(np.isnan(self.peaks), self.peaks, spread)

    @property
    def _energies(self) -> Floats:
        """Squares of the weights over the peak of their filter, (n, K)."""
        peaks = self.peaks
        rows = self.rows
        if np.isnan(peaks).any():
            rows = np.where(np.isnan(peaks)[:, None], 0, rows)
        return np.square(rows / np.where(peaks > 0, peaks, 1)[:, None])

    def sparse(self, eps: float = 0.01) -> npt.NDArray[np.bool_]:
        """Mark the filters that stay below `eps` of the layer's largest weight, (n,)."""
        eps = check_eps(eps)
        if self.max_abs == 0:
            return self.peaks == 0
        return self.peaks < np.float32(self.max_abs * eps)

    def clusters(self) -> npt.NDArray[np.uint8]:
        """Group the filters by shape, signs included: a label for each, (n,).

        K-means of the filters at unit length, with the same start each time. Labels descend in the
        size of their cluster; all-zero filters have the last one to themselves, and those that
        are not finite the one after it.
        """
        if "clusters" not in self._cached:
            self._cached["clusters"] = _cluster(self.rows, self.norms)
        return self._cached["clusters"]

    def order(self, sort: Sort = "position") -> npt.NDArray[np.int64]:
        """Return the places of the filters in the order of `sort`, (n,).

        Parameters
        ----------
        sort : {"position", "norm", "entropy", "cluster"}
            The largest norm first; the least spread energy first; cluster by cluster. Ties, and the
            filters of a cluster, stay in the order of their places; NaN comes last.
        """
        check_sort(sort)
        if sort == "norm":
            return np.argsort(-self.norms, kind="stable")
        if sort == "entropy":
            return np.argsort(self.entropies, kind="stable")
        if sort == "cluster":
            return np.argsort(self.clusters(), kind="stable")
        return np.arange(len(self.rows))

    def to_frame(self) -> pd.DataFrame:
        """Give a pandas frame with a row for each filter: its place, norm, entropy and cluster."""
        import pandas as pd

        inputs = self.weights.shape[1]
        places = self.order()
        return pd.DataFrame(
            {
                "output": places // inputs,
                "input_in_group": places % inputs,
                "norm": self.norms,
                "peak": self.peaks,
                "entropy": self.entropies,
                "cluster": self.clusters(),
            }
        )

    def plot(
        self, *, sort: Sort = "position", scale: Scale | float = "layer", eps: float = 0.01
    ) -> Figure:
        """Draw the first filters, sparse ones outlined, and the eigenimages.

        Parameters
        ----------
        sort : {"position", "norm", "entropy", "cluster"}
            At their place (outputs down, inputs across), or in an order.
        scale : {"filter", "layer", "model"} or float
            What is full colour: the largest weight of each filter, of the layer, or a number. One
            layer does not know its model: "model" is "layer" here.
        eps : float, default 0.01
            Which filters count as sparse.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from convlens.plotting import plot_filters

        check_sort(sort)
        _check_scale(scale)
        return plot_filters(self, sort=sort, scale=scale, eps=check_eps(eps))

    def __repr__(self) -> str:
        size = f" of {' × '.join(map(str, self.kernel))}" if self.kernel else ""
        return f"Filters({self.key!r}: {len(self.rows):,}{size}, largest weight {self.max_abs:.3g})"


def read_filters(
    model: nn.Module,
    layer: str | int,
    *,
    inputs: Any = None,
    forward: Callable[..., Any] | None = None,
) -> Filters:
    """Read the filters of one layer of a model.

    Parameters
    ----------
    model : torch.nn.Module
        Any model with layers that hold weights.
    layer : str or int
        Key, name or index of the layer.
    inputs : optional
        What the model is called with, to list the layers in the order of their calls.
    forward : callable, optional
        How to call the model on `inputs`, where ``model(inputs)`` is not the way.

    Returns
    -------
    Filters

    Raises
    ------
    ModelError
        If `model` is no module, or has no layers with weights.
    UnknownLayerError
        If there is no such layer; the message has the nearest names.
    ArgumentError
        If the layer has no readable weights.

    Examples
    --------
    >>> import torch
    >>> filters = read_filters(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)), "0")
    >>> filters.eigenimages.shape
    (9, 3, 3)
    """
    return filters_of(_one_layer(find_layers(model, inputs, forward), layer))


def filters_of(layer: Layer) -> Filters:
    """Do the same for a layer at hand."""
    if layer.reason is not None:
        raise ArgumentError(f"{layer.key} has no filters to show: {layer.reason}.")
    weight = layer.weight()
    if weight.numel() == 0:
        raise ArgumentError(f"{layer.key} has no filters to show: it is of size 0.")
    with measures.undisturbed(weight):
        rows = measures.as_rows(weight.float())
        # A copy: training goes on, what was read stays.
        values = cast(Floats, rows.cpu().numpy().copy())
        look = measures.look_at(rows)
        peaks = cast(Floats, look.peaks.cpu().numpy())
        if not math.isfinite(look.l1):
            finite = rows.isfinite().all(dim=1)
            peaks = np.where(finite.cpu().numpy(), peaks, np.float32(np.nan))
            rows = rows[finite]
        high = float(np.nanmax(peaks)) if len(rows) else 0.0
        unscaled = rows
        rows, factor = measures.scaled(rows, high)
        moments = measures.moments_of(rows, look.moments if rows is unscaled else None)
        mean = _mean(rows, moments) * factor
    values.flags.writeable = False
    shares, images = _eigenimages(moments)
    kernel = tuple(weight.shape[2:])
    return Filters(
        layer.key,
        values.reshape(weight.shape),
        peaks,
        high,
        mean.astype(np.float32).reshape(kernel),
        images.astype(np.float32).reshape(-1, *kernel),
        shares,
    )


def check_sort(sort: str) -> None:
    """Raise ArgumentError unless there is such an order."""
    if sort not in SORTS:
        raise ArgumentError(
            f"sort must be one of {', '.join(map(repr, SORTS))}, not {sort!r}."
            f"{nearest(sort, SORTS)}"
        )


def _check_scale(scale: object) -> None:
    named = isinstance(scale, str) and scale in SCALES
    positive = isinstance(scale, int | float) and not isinstance(scale, bool) and scale > 0
    if not (named or positive):
        raise ArgumentError(
            f"scale must be one of {', '.join(map(repr, SCALES))} or a positive number, "
            f"not {scale!r}.{nearest(scale, SCALES)}"
        )


def _one_layer(found: Layers, wanted: object) -> Layer:
    if isinstance(wanted, str):
        return found[wanted]
    if isinstance(wanted, bool) or not isinstance(wanted, int):
        raise ArgumentError(f"layer must be a key or an index, not {type(wanted).__name__}.")
    if not -len(found) <= wanted < len(found):
        raise UnknownLayerError(f"There is no layer {wanted}: the model has {len(found)} layers.")
    return found[wanted]


def _mean(rows: Tensor, moments: measures.Moments) -> _Doubles:
    mean = moments.total / max(len(rows), 1)
    return mean if moments.shift is None else mean + moments.shift.cpu().double().numpy()


def _eigenimages(
    moments: measures.Moments,
) -> tuple[tuple[float, ...], _Doubles]:
    """Return shares of the variance and unit vectors (k, K), both descending."""
    if len(moments.total) == 1:
        return (), np.zeros((0, 1))
    _, shares = measures.variance_entropy(moments)
    _, vectors = cast("tuple[_Doubles, _Doubles]", np.linalg.eigh(moments.scatter))
    images = cast(_Doubles, vectors.T[::-1])
    largest = np.abs(images).argmax(axis=1, keepdims=True)
    return shares, images * np.sign(np.take_along_axis(images, largest, axis=1))


def _cluster(rows: Floats, norms: Floats) -> npt.NDArray[np.uint8]:
    alive = norms > 0
    units = rows[alive] / norms[alive, None]
    if rows.shape[1] == 1:
        found = (units[:, 0] < 0).astype(np.int64)  # the sign is all the shape a single weight has
    elif len(units):
        found = _nearest(units, _centres(units))
    else:
        found = np.zeros(0, np.int64)
    used, found = np.unique(found, return_inverse=True)
    ranks = np.empty(len(used), np.int64)
    ranks[np.argsort(-np.bincount(found), kind="stable")] = np.arange(len(used))
    labels = np.full(len(rows), len(used), np.uint8)
    labels[alive] = ranks[found]
    labels[np.isnan(norms)] = len(used) + (norms == 0).any()
    return labels


def _centres(units: Floats) -> Floats:
    """K-means, on at most _FITTED of the filters, from a start that spreads over their shapes."""
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(_SEED)
    if len(units) > _FITTED:
        units = units[rng.choice(len(units), _FITTED, replace=False)]
    # k-means++ of our own: SciPy's would split one shape where there are fewer than clusters
    centres = units[:1]
    for _ in range(1, min(_CLUSTERS, len(units))):
        likest = cast(Floats, units @ centres.T).max(axis=1)
        far = np.maximum(0, 1 - likest).astype(np.float64)
        if far.sum() < 1e-6 * len(units):
            break
        centres = np.vstack((centres, units[rng.choice(len(units), p=far / far.sum())]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster that lost its filters is no harm
        found = kmeans2(units, centres, iter=_ROUNDS, minit="matrix")[0]
    return cast(Floats, found.astype(np.float32))


def _nearest(units: Floats, centres: Floats) -> npt.NDArray[np.int64]:
    return np.argmax(cast(Floats, units @ centres.T) - np.square(centres).sum(axis=1) / 2, axis=1)
