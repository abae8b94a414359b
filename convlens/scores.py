"""The figures of a model's layers, and their table, picture and older names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from convlens.errors import UnknownLayerError, nearest
from convlens.measures import Moments
from convlens.verdict import Verdict, judge

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["NOT_YET", "LayerQuality", "Quality"]

NOT_YET = "not measured yet"

_COMPAT = {
    "n": "n",
    "sparsity": "sparsity",
    "variance_entropy": "variance_entropy",
    "variance_entropy_normalized": "variance_entropy_norm",
    "variance_entropy_clean": "variance_entropy_clean",
    "variance_entropy_clean_normalized": "variance_entropy_clean_norm",
    "orthogonality": "orthogonality",
}

_COLUMNS = {
    "n": "filters",
    "kernel": "kernel",
    "out": "outputs",
    "inputs": "inputs_per_group",
    "sparsity": "sparsity",
    "variance_entropy": "variance_entropy",
    "variance_entropy_normalized": "variance_entropy_normalized",
    "variance_entropy_clean": "variance_entropy_clean",
    "variance_entropy_clean_normalized": "variance_entropy_clean_normalized",
    "entropy_of_random": "entropy_of_random",
    "random_threshold": "random_threshold",
    "p_random": "p_random",
    "orthogonality": "orthogonality",
    "orthogonality_excluded": "zero_outputs",
    "l1": "l1_norm",
    "l2": "l2_norm",
    "max_abs": "largest_weight",
    "exact_zeros": "exact_zeros",
    "dead_outputs": "dead_outputs",
    "dead_inputs": "dead_inputs",
    "reason": "not_scored_because",
}


@dataclass(frozen=True, repr=False)
class LayerQuality:
    """The figures of one layer; None where there is none, with the reason in `omitted`.

    Attributes
    ----------
    key : str
        Key of the layer.
    n : int or None
        Number of filters: outputs times inputs per group.
    kernel : tuple of int
        Size of a filter; empty for a linear layer.
    eps : float
        Filters below this share of the largest weight count as sparse.
    sparsity : float or None
        Share of filters that are sparse.
    variance_entropy, variance_entropy_clean : float or None
        Base 10; of all filters, and of those that are not sparse.
    variance_entropy_normalized, variance_entropy_clean_normalized : float or None
        The same as shares of torchconvquality's T_H(n), for 9 taps.
    entropy_of_random, random_threshold : float or None
        Mean and 1 % quantile of the entropy of as many random filters.
    p_random : float or None
        Probability that random filters have an entropy this low.
    orthogonality : float or None
        1 - mean |cosine| between outputs.
    orthogonality_excluded : int or None
        All-zero outputs that were left out of it.
    l1, l2, max_abs : float or None
        Norms of the weights.
    exact_zeros : float or None
        Share of weights that are exactly 0.
    dead_outputs, dead_inputs : int or None
        Channels all of whose filters are sparse; the inputs are those of all groups together.
    out, inputs : int or None
        Number of outputs, and of inputs of each group.
    explained_variance : tuple of float
        Share of the filters' variance that each eigenimage carries, descending.
    reason : str or None
        Why nothing was measured.
    omitted : dict of str to str
        Why a figure is None, by its name.
    groups : int
        Groups of the convolution.
    moments : Moments or None
        Sums over all filters, by which another eps costs a look at the sparse ones only.
    """

    key: str
    n: int | None = None
    kernel: tuple[int, ...] = ()
    eps: float = 0.01
    sparsity: float | None = None
    variance_entropy: float | None = None
    variance_entropy_normalized: float | None = None
    variance_entropy_clean: float | None = None
    variance_entropy_clean_normalized: float | None = None
    entropy_of_random: float | None = None
    random_threshold: float | None = None
    p_random: float | None = None
    orthogonality: float | None = None
    orthogonality_excluded: int | None = None
    l1: float | None = None
    l2: float | None = None
    max_abs: float | None = None
    exact_zeros: float | None = None
    dead_outputs: int | None = None
    dead_inputs: int | None = None
    out: int | None = None
    inputs: int | None = None
    explained_variance: tuple[float, ...] = ()
    reason: str | None = None
    omitted: dict[str, str] = field(default_factory=dict[str, str])
    groups: int = 1
    moments: Moments | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        if self.reason is not None:
            return f"LayerQuality({self.key!r}, not scored: {self.reason})"
        size = f" of {' × '.join(map(str, self.kernel))}" if self.kernel else ""
        said = [f"{self.n:,} filters{size}"]
        for word, value in (
            ("sparsity", self.sparsity),
            ("entropy", self.variance_entropy),
            ("of random", self.entropy_share),
            ("orthogonality", self.orthogonality),
        ):
            if value is not None:
                said.append(f"{word} {value:.3f}")
        return f"LayerQuality({self.key!r}, {', '.join(said)})"

    @property
    def taps(self) -> int:
        """Weights in a filter, K."""
        return math.prod(self.kernel)

    @property
    def pending(self) -> tuple[str, ...]:
        """The figures that were not asked for yet."""
        return tuple(name for name, why in self.omitted.items() if why == NOT_YET)

    @property
    def entropy_share(self) -> float | None:
        """The entropy as a share of what random filters have: what charts and verdicts show.

        `variance_entropy_normalized` where that is defined, so that the figure is known from the
        paper; else the entropy divided by `entropy_of_random`.
        """
        if self.variance_entropy_normalized is not None:
            return self.variance_entropy_normalized
        if self.variance_entropy is None or not self.entropy_of_random:
            return None
        return self.variance_entropy / self.entropy_of_random

    @property
    def verdict(self) -> Verdict:
        """What the figures mean, in plain words."""
        return judge(self)

    def to_json(self) -> dict[str, Any]:
        """Give the figures as numbers, strings, lists and None."""
        hidden = ("moments", "groups")
        row = {name: value for name, value in vars(self).items() if name not in hidden}
        return {
            **row,
            "kernel": list(self.kernel),
            "explained_variance": list(self.explained_variance),
            "omitted": dict(self.omitted),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Quality(Mapping[str, LayerQuality]):
    """The figures of every layer of a model, by its key.

    ``quality["layer1.0.conv1"]`` gives a layer's figures; a bare name stands for its first call.

    Attributes
    ----------
    layers : tuple of LayerQuality
        In the order of the model, unscored layers included.
    eps : float
        What they were measured with.
    model : str
        Class of the model.
    notes : tuple of str
        What was found out about the model on the way.
    """

    layers: tuple[LayerQuality, ...]
    eps: float
    model: str
    notes: tuple[str, ...] = ()
    _names: Mapping[str, str] = field(default_factory=dict[str, str])

    def __getitem__(self, key: str) -> LayerQuality:
        by_key = {layer.key: layer for layer in self.layers}
        found = by_key.get(key) or by_key.get(self._names.get(key, ""))
        if found is None:
            raise UnknownLayerError(f"No layer is called {key!r}.{nearest(key, by_key)}")
        return found

    def __iter__(self) -> Iterator[str]:
        return (layer.key for layer in self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        scored = [layer for layer in self.layers if layer.reason is None]
        said = [f"{len(self.layers)} layers of {self.model}", f"eps={self.eps:g}"]
        for word, values in (
            ("sparsity", [layer.sparsity for layer in scored]),
            ("entropy of random", [layer.entropy_share for layer in scored]),
        ):
            known = [value for value in values if value is not None]
            if known:
                said.append(f"{word} {min(known):.3g} to {max(known):.3g}")
        if len(scored) < len(self.layers):
            said.append(f"{len(self.layers) - len(scored)} not scored")
        return f"Quality({', '.join(said)})"

    def _repr_html_(self) -> str:
        heads = ("layer", "filters", "sparsity", "entropy", "of random", "orthogonality", "verdict")
        body: list[str] = []
        for layer in self.layers:
            figures = (
                layer.sparsity,
                layer.variance_entropy,
                layer.entropy_share,
                layer.orthogonality,
            )
            size = "" if layer.n is None else f"{layer.n:,}"
            if layer.kernel:
                size += f" of {' × '.join(map(str, layer.kernel))}"
            told = layer.verdict.text if layer.reason is not None else layer.verdict.title
            cells = [layer.key, size, *("" if f is None else f"{f:.3f}" for f in figures), told]
            body.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
        head = "".join(f"<th>{word}</th>" for word in heads)
        rows = "".join(f"<tr>{cells}</tr>" for cells in body)
        return (
            f"<table><caption>{escape(self.model)}, eps = {self.eps:g}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )

    def to_frame(self) -> pd.DataFrame:
        """Give the figures as a pandas frame, one row for each layer."""
        import pandas as pd

        rows = [[getattr(layer, name) for name in _COLUMNS] for layer in self.layers]
        index = pd.Index([layer.key for layer in self.layers], name="layer")
        return pd.DataFrame(rows, index=index, columns=list(_COLUMNS.values()))

    def to_dict(self, *, norms: bool = False) -> dict[str, dict[str, float | int | None]]:
        """Give the 3 x 3 layers as ``torchconvquality.measure_quality`` does, key for key.

        Parameters
        ----------
        norms : bool, default False
            Also give ``norm_l1``, ``norm_l2`` and ``norm_l2_norm``. The last holds no information
            (it is the square root of the number of weights less one) and is there for old scripts.

        Notes
        -----
        A figure that is not defined is None where torchconvquality has NaN or a number without
        meaning. Subclasses, pruned and parametrised layers are included, which it passes over.
        """
        found: dict[str, dict[str, float | int | None]] = {}
        for layer in self.layers:
            if layer.kernel != (3, 3) or layer.reason is not None:
                continue
            row = {theirs: getattr(layer, ours) for ours, theirs in _COMPAT.items()}
            if norms:
                row["norm_l1"], row["norm_l2"] = layer.l1, layer.l2
                row["norm_l2_norm"] = math.sqrt((layer.n or 0) * layer.taps - 1)
            found[layer.key] = row
        return found

    def plot(self, ax: Axes | Sequence[Axes] | None = None) -> Figure:
        """Draw sparsity and entropy over depth.

        Parameters
        ----------
        ax : Axes or two of them, optional
            Where to draw: one takes the entropy, two take entropy and sparsity. A new figure by
            default.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from convlens.plotting import plot_quality

        return plot_quality(self, ax)
