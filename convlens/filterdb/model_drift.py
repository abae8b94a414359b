"""One model's layers against a database: drift, its floor, and where each stands at its depth."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from convlens.activations import Forward
from convlens.errors import ArgumentError
from convlens.filterdb.arithmetic import count_bins, extremes_of, sums_of
from convlens.filterdb.coefficients import BINS, Coefficients
from convlens.filterdb.database import FilterDB
from convlens.filterdb.drift import drift_between
from convlens.filterdb.job import Job, Progress, Tick
from convlens.filterdb.noise import Floor, floor_between
from convlens.filterdb.pca import PCA, pca_of
from convlens.filterdb.sources import Convolution, Extracted, extract
from convlens.filterdb.summarising import summary_of
from convlens.filterdb.summary import Summary, depth_group, shipped
from convlens.filterdb.sums import merged
from convlens.quality import measure_layer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["LayerDrift", "ModelDrift", "begin_drift", "drift"]

Floats = npt.NDArray[np.float64]

BY_DEPTH = "depth"


@dataclass(frozen=True)
class LayerDrift:
    """One layer against the database.

    Attributes
    ----------
    key : str
        As in :func:`convlens.find_layers`.
    depth, depth_norm : int, float
        Of the convolution, as in the database.
    n, left_out : int
        Filters, and those left out for a NaN or an infinity.
    drift : float
        From the group it is compared with; NaN without finite filters.
    floor, floor_high : float
        What so many filters of the group itself would have, on average, and once in a hundred
        times.
    p : float
        How often noise alone gives as much.
    sparsity, entropy : float
        Entropy as a share of what random filters have.
    sparsity_rank, entropy_rank : float
        Share of the database's layers at this depth with a lower figure, from 0 to 1.
    group : str
        What it is compared with.
    """

    key: str
    depth: int
    depth_norm: float
    n: int
    left_out: int
    drift: float
    floor: float
    floor_high: float
    p: float
    sparsity: float
    entropy: float
    sparsity_rank: float
    entropy_rank: float
    group: str

    @property
    def is_noise(self) -> bool:
        """Whether sampling alone explains the drift (at 1 in 100)."""
        return not self.drift > self.floor_high

    @property
    def text(self) -> str:
        """Say in words how diverse it is: ``"layer3.2.conv2 is less diverse than 93% of ..."``."""
        if np.isnan(self.entropy_rank):
            return f"{self.key}: nothing at this depth to compare with"
        less = self.entropy_rank < 0.5
        share = 1 - self.entropy_rank if less else self.entropy_rank
        word = "less" if less else "more"
        return f"{self.key} is {word} diverse than {share:.0%} of layers at this depth"


@dataclass(frozen=True, eq=False)
class ModelDrift:
    """A model's layers against a database or another model.

    Attributes
    ----------
    layers : tuple of LayerDrift
        In the order of the model.
    summary : Summary
        What they were compared with; its title says what that is.
    coefficients : Coefficients
        The histograms of the layers, in the basis and bins of the summary.
    pca : PCA or None
        Of the model's own filters, for its eigenimages; None of fewer than two filters.
    whole : LayerDrift
        All filters of the model together, against all of the summary.
    model : str
    notes : tuple of str
        What was left out.
    """

    layers: tuple[LayerDrift, ...]
    summary: Summary = field(repr=False)
    coefficients: Coefficients = field(repr=False)
    pca: PCA | None = field(repr=False)
    whole: LayerDrift = field(repr=False)
    model: str
    notes: tuple[str, ...] = ()

    def __getitem__(self, key: str) -> LayerDrift:
        found = {layer.key: layer for layer in self.layers}
        if key not in found:
            from convlens.errors import UnknownLayerError, nearest

            raise UnknownLayerError(f"No layer here is called {key!r}.{nearest(key, found)}")
        return found[key]

    def to_frame(self) -> pd.DataFrame:
        """Give a row for each layer."""
        import pandas as pd

        rows = [
            {
                **{name: value for name, value in vars(layer).items() if name != "key"},
                "is_noise": layer.is_noise,
            }
            for layer in self.layers
        ]
        index = pd.Index([layer.key for layer in self.layers], name="layer")
        return pd.DataFrame(rows, index=index)

    def plot(self, axes: Any = None) -> Figure:
        """Draw drift over the layers with its floor, and entropy and sparsity in their bands."""
        from convlens.filterdb.plots_model import plot_model

        return plot_model(self, axes)

    def __repr__(self) -> str:
        beyond = sum(not layer.is_noise for layer in self.layers)
        return (
            f"ModelDrift({self.model} against {self.summary.title!r}: {len(self.layers)} layers, "
            f"{beyond} further away than noise, {self.whole.drift:.3g} in all)"
        )

    def _repr_html_(self) -> str:
        names = ["depth", "n", "drift", "floor", "floor_high", "entropy", "entropy_rank"]
        table = cast(Any, self.to_frame())[names].round(3).to_html(max_rows=16, na_rep="–")
        return f"<p>{escape(repr(self))}</p>{table}"


def drift(
    model: Any,
    against: Any = None,
    *,
    group: str = "all",
    inputs: Any = None,
    forward: Forward | None = None,
    progress: Progress = None,
) -> ModelDrift:
    """Compare the filters of a model's layers with a database, a summary of one, or another model.

    Parameters
    ----------
    model : torch.nn.Module or other source
        Left as it was found; or any other source that :func:`export` takes.
    against : Summary, FilterDB or source, optional
        Default: the summary that comes with convlens, of small networks trained by the project.
    group : str, default "all"
        Of the summary; ``"depth"`` compares each layer with those about its depth.
    inputs, forward : optional
        What the model runs on, to find depths where tracing cannot.
    progress : True or callable(job), optional

    Returns
    -------
    ModelDrift

    Raises
    ------
    ArgumentError
        If the model has no convolution of the database's kernel size, or a group does not exist.
    Cancelled
        If `progress` returned False.

    Examples
    --------
    >>> import convlens as cl
    >>> found = cl.filterdb.drift(cl.demo.load("redundant").model)
    >>> found["conv1"].n
    12
    >>> found["layer3.1.conv2"].text
    'layer3.1.conv2 is less diverse than ...% of layers at this depth'
    """
    job = begin_drift(model, against, group=group, inputs=inputs, forward=forward)
    return job.run(progress)


def begin_drift(
    model: Any,
    against: Any = None,
    *,
    group: str = "all",
    inputs: Any = None,
    forward: Forward | None = None,
) -> Job[ModelDrift]:
    """Prepare `drift`, to be done step by step: a step is a layer."""
    return Job(_drifting(model, against, group, inputs, forward))


def _drifting(
    model: Any, against: Any, group: str, inputs: Any, forward: Forward | None
) -> Generator[Tick, None, ModelDrift]:
    summary = yield from _reference(against, inputs, forward)
    if group != BY_DEPTH:
        summary.coefficients(group)  # raises where there is none
    found = extract(model, inputs, forward)
    chosen = _of_kernel(found, summary.pca.kernel)
    deepest = max(layer.depth for layer in found.layers)
    counts: list[Any] = []
    rows: list[LayerDrift] = []
    for number, layer in enumerate(chosen):
        yield Tick("drift of the layers", number, len(chosen))
        counts.append(_counts(layer, summary))
        norm = layer.depth / deepest if deepest else 0.0
        name = depth_group(norm) if group == BY_DEPTH else group
        rows.append(_row(layer, norm, counts[-1], summary, name))
    yield Tick("drift of the layers", len(chosen), len(chosen))
    together = np.sum(counts, axis=0)
    whole, floor = _distance(together, summary, "all" if group == BY_DEPTH else group)
    nothing = float("nan")
    return ModelDrift(
        tuple(rows),
        summary,
        Coefficients(
            tuple(layer.name for layer in chosen), np.stack(counts), summary.pca, summary.span
        ),
        _own_pca(chosen),
        LayerDrift(
            "all layers",
            0,
            nothing,
            int(together[0].sum()),
            sum(row.left_out for row in rows),
            whole,
            floor.mean,
            floor.high,
            floor.p(whole),
            nothing,
            nothing,
            nothing,
            nothing,
            "all" if group == BY_DEPTH else group,
        ),
        type(model).__name__ if isinstance(model, nn.Module) else "model",
        found.notes,
    )


def _reference(
    against: Any, inputs: Any, forward: Forward | None
) -> Generator[Tick, None, Summary]:
    if against is None:
        return shipped()
    if isinstance(against, Summary):
        return against
    if isinstance(against, FilterDB):
        job: Job[Summary] = against.begin("summary")
        for _ in job:
            yield Tick(job.stage, job.done, job.total)
        return job.result()
    yield Tick("filters of the reference", 0, 1)
    title = type(against).__name__ if isinstance(against, nn.Module) else "reference"
    return summary_of_model(extract(against, inputs, forward), title)


def summary_of_model(found: Extracted, title: str, kernel: tuple[int, int] = (3, 3)) -> Summary:
    """Summarise one model in memory as ``FilterDB.summary()`` does a file."""
    import pandas as pd

    chosen = _of_kernel(found, kernel)
    pca = _own_pca(chosen)
    if pca is None:
        raise ArgumentError(f"{title} has fewer than two filters to compare with.")
    ends = [extremes_of(_flat(layer), pca.components, pca.mean, "cpu") for layer in chosen]
    span = min(low for low, _ in ends), max(high for _, high in ends)
    counts = np.stack(
        [count_bins(_flat(one), pca.components, pca.mean, span, BINS, "cpu") for one in chosen]
    )
    deepest = max(layer.depth for layer in found.layers)
    figures = [
        {
            "model_id": 0,
            "conv_depth_norm": layer.depth / deepest if deepest else 0.0,
            "filters": len(_flat(layer)),
            **_quality(layer),
        }
        for layer in chosen
    ]
    coefficients = Coefficients(tuple(layer.name for layer in chosen), counts, pca, span)
    return summary_of(coefficients, pd.DataFrame(figures), title, {})


def _of_kernel(found: Extracted, kernel: tuple[int, int]) -> list[Convolution]:
    chosen = [layer for layer in found.layers if layer.weight.shape[2:] == kernel]
    if not chosen:
        size = " x ".join(map(str, kernel))
        have = sorted({" x ".join(map(str, layer.weight.shape[2:])) for layer in found.layers})
        raise ArgumentError(
            f"The model has no convolution of {size} to compare"
            + (f": its convolutions are {', '.join(have)}." if have else ".")
        )
    return chosen


def _flat(layer: Convolution) -> Any:
    height, width = layer.weight.shape[2:]
    return layer.weight.reshape(-1, height * width)


def _counts(layer: Convolution, summary: Summary) -> npt.NDArray[np.int64]:
    pca, bins = summary.pca, summary.counts.shape[2]
    return count_bins(_flat(layer), pca.components, pca.mean, summary.span, bins, "cpu")


def _row(layer: Convolution, norm: float, counts: Any, summary: Summary, group: str) -> LayerDrift:
    distance, floor = _distance(counts, summary, group)
    figures = _quality(layer)
    share = figures["variance_entropy_normalized"]
    if np.isnan(share) and figures["entropy_of_random"]:
        share = figures["variance_entropy"] / figures["entropy_of_random"]
    n = int(counts[0].sum())
    return LayerDrift(
        layer.name,
        layer.depth,
        norm,
        n,
        len(_flat(layer)) - n,
        distance,
        floor.mean,
        floor.high,
        floor.p(distance),
        figures["sparsity"],
        share,
        summary.rank("sparsity", norm, figures["sparsity"]),
        summary.rank("entropy", norm, share),
        group,
    )


def _distance(counts: Any, summary: Summary, group: str) -> tuple[float, Floor]:
    reference = summary.coefficients(group)
    nothing = float("nan")
    if not counts[0].sum() or not reference.n[0]:
        return nothing, Floor(nothing, nothing)
    weights = summary.pca.explained_variance_ratio
    between = drift_between(counts[None], reference.counts, summary.span, weights)
    floor = floor_between(counts, reference.counts[0], summary.span, weights)
    return float(between[0, 0]), floor


def _quality(layer: Convolution) -> dict[str, float]:
    """Return the figures of a layer's finite filters, NaN where one is not defined."""
    rows = _flat(layer)
    kept = rows[np.isfinite(rows).all(1)]
    weight = torch.from_numpy(np.ascontiguousarray(kept)).reshape(-1, 1, *layer.weight.shape[2:])
    names = ("sparsity", "variance_entropy", "variance_entropy_normalized", "entropy_of_random")
    if not len(kept):
        return dict.fromkeys(names, float("nan"))
    figures = measure_layer(weight, orthogonality=False)
    values = {name: getattr(figures, name) for name in names}
    return {name: float("nan") if value is None else value for name, value in values.items()}


def _own_pca(chosen: list[Convolution]) -> PCA | None:
    parts = [sums_of(_flat(layer), "cpu") for layer in chosen]
    kernel = cast("tuple[int, int]", chosen[0].weight.shape[2:])
    sums = merged((part for part, _ in parts), kernel[0] * kernel[1])
    if sums.n < 2:
        return None
    return pca_of(sums, sum(bad for _, bad in parts), kernel)
