"""What a Lens's front end draws and says of the drift of a model's filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.layers import Layer, Layers
from convlens.widget.answers import Answer

if TYPE_CHECKING:
    from convlens.filterdb import Coefficients, LayerDrift, ModelDrift, Summary

__all__ = ["USUAL", "comparable", "groups_in_words", "nothing", "reply"]

Floats = npt.NDArray[np.float64]

USUAL = ("all", "depth")
"""Groups that can be asked for before anything is known of a summary."""

POINTS = 96  # of a curve

_OTHERS = {"shipped": "summary", "database": "database", "reference": "reference"}


def reply(found: ModelDrift, params: Mapping[str, Any], layers: Layers) -> Answer:
    """Answer a drift request: the header and arrays that ``js/src/wire/drift.ts`` declares."""
    from convlens.filterdb import Coefficients
    from convlens.filterdb.summary import BANDS, DEPTHS

    summary = found.summary
    rows = [*found.layers, found.whole]
    groups = list(dict.fromkeys(row.group for row in rows))
    counts = cast("Any", found.coefficients.counts)
    counts = np.concatenate([counts, counts.sum(0, keepdims=True)])
    own = Coefficients(tuple(row.key for row in rows), counts, summary.pca, summary.span)
    others = summary.coefficients(*groups)
    places = [groups.index(row.group) for row in rows]
    depths = [int(np.argmin(np.abs(DEPTHS - row.depth_norm))) for row in found.layers]
    bands = np.stack([cast("Any", summary.band(figure))[:, depths].T for figure in BANDS])
    other = _OTHERS[params["against"]]
    header = {
        **params,
        "other": other,
        "made": _made(summary, params["against"]),
        "groups": groups_in_words((*USUAL, *summary.groups)),
        "titles": [
            [
                f"Drift from {group_in_words(params['group'])} of the {other}, log scale",
                f"Drift from the {other}, log scale",
                "Drift, log scale",
            ],
            ["Entropy, of what random filters have", "Entropy, of random", "Entropy"],
            ["Sparsity, share of filters near zero", "Sparsity"],
        ],
        "signs": ["what noise makes", f"90 % of the {other}"],
        "rows": [
            {
                **{name: getattr(row, name) for name in _FIGURES},
                "noise": row.is_noise,
                "beside": place,
                "said": _said(row),
                "sentences": _sentences(row),
                "legend": other if row.group == "all" else row.group,
            }
            for row, place in zip(rows, places, strict=True)
        ],
        "span": list(summary.span),
        "about": _about(found),
        "how": [*_how(other), *found.notes],
        "missing": _missing(found, layers),
        "done": len(found.layers),
        "total": len(found.layers),
    }
    pcas = [summary.pca, *([] if found.pca is None else [found.pca])]
    arrays: dict[str, npt.NDArray[Any]] = {
        "curves": _curves(own),
        "others": _curves(others),
        "parts": _parts(counts, others.counts[places], summary),
        "bands": bands.astype(np.float32),
        "components": np.stack([pca.components for pca in pcas]).astype(np.float32),
        "explained": np.stack([pca.explained_variance_ratio for pca in pcas]).astype(np.float32),
    }
    return header, arrays


def comparable(layers: Layers, kernel: tuple[int, int]) -> bool:
    """Say whether any layer is a convolution of that size."""
    return any(tuple(layer.shape[2:]) == kernel and not layer.transposed for layer in layers)


def nothing(params: Mapping[str, Any], layers: Layers, kernel: tuple[int, int]) -> Answer:
    """Answer a request where no layer can be compared: each, and why."""
    wanted = " × ".join(map(str, kernel))
    missing = [[layer.key or layer.kind, _why(layer, wanted)] for layer in layers]
    about = f"No layer here has filters of {wanted} to compare."
    groups = groups_in_words(USUAL)
    return {**params, "rows": [], "groups": groups, "about": about, "missing": missing}, {}


_FIGURES = ("key", "drift", "floor", "floor_high", "entropy", "sparsity")


def group_in_words(group: str) -> str:
    """Say what a group of layers is.

    Examples
    --------
    >>> group_in_words("depth 0.3")
    'layers about depth 0.3'
    """
    known = {"all": "all layers", "depth": "layers at the same depth"}
    about = group.removeprefix("depth ")
    return known.get(group, group if about == group else f"layers about depth {about}")


def groups_in_words(groups: Iterable[str]) -> list[list[str]]:
    """Give each group once, with what it is."""
    return [[name, group_in_words(name)] for name in dict.fromkeys(groups)]


def _curves(coefficients: Coefficients) -> npt.NDArray[np.float32]:
    """Smooth every histogram, as ``plot_ridges`` does; NaN where there is no filter."""
    from convlens.filterdb.plots import smoothed

    rows, components = coefficients.counts.shape[:2]
    grid = np.linspace(coefficients.span[0], coefficients.span[1], POINTS)
    curves = np.full((rows, components, POINTS), np.nan, dtype=np.float32)
    for row in np.flatnonzero(coefficients.n):
        for component in range(components):
            curves[row, component] = smoothed(coefficients, int(row), component, grid)
    return curves


def _parts(counts: Any, others: Any, summary: Summary) -> npt.NDArray[np.float32]:
    """Split each drift into what every component adds to it."""
    from convlens.filterdb.coefficients import probabilities

    with np.errstate(invalid="ignore"):
        p, q = (probabilities(some, summary.span) for some in (counts, others))
        terms = ((p - q) * (np.log(p) - np.log(q))).sum(-1)
    return (terms * summary.pca.explained_variance_ratio).astype(np.float32)


def _made(summary: Summary, against: str) -> str:
    if against == "shipped":
        return f"made by the project from {summary.models} small nets of its own"
    return f"{summary.pca.n:,} filters"


def _drift(row: LayerDrift) -> str:
    if np.isnan(row.drift):
        return "no value: nothing there to compare with"
    if row.is_noise:
        return f"no more than noise, p = {row.p:.2f}"
    times = row.drift / row.floor_high if row.floor_high else np.inf
    if not np.isfinite(times):
        return "more than noise"
    return f"{times:,.{0 if times >= 10 else 1}f} times what noise makes"


def _said(row: LayerDrift) -> list[str]:
    """Give a layer's figures line by line."""

    def figure(value: float) -> str:
        return "n/a" if np.isnan(value) else f"{value:.3f}"

    def above(rank: float) -> str:
        return "" if np.isnan(rank) else f" (above {rank:.0%})"

    noise = "" if np.isnan(row.floor_high) else f", noise up to {figure(row.floor_high)}"
    lost = f", {row.left_out:,} not finite" if row.left_out else ""
    return [
        f"drift {figure(row.drift)}{noise}",
        _drift(row),
        f"entropy {figure(row.entropy)}{above(row.entropy_rank)}",
        f"sparsity {row.sparsity:.1%}{above(row.sparsity_rank)}",
        f"{row.n:,} filters{lost}",
    ]


def _sentences(row: LayerDrift) -> list[str]:
    """Say where a layer stands, and how far it is from the others."""
    if np.isnan(row.entropy_rank):
        stands = "At its depth there is nothing to compare its diversity with."
    else:
        stands = f"Your {row.text}."
    if np.isnan(row.drift):
        return [stands, "It has no drift: there are no filters to compare."]
    return [stands, f"Its drift of {row.drift:.3f} is {_drift(row)}."]


def _about(found: ModelDrift) -> str:
    summary, whole = found.summary, found.whole
    nets = "network" if summary.models == 1 else "networks"
    return (
        f"{summary.title}: {summary.models:,} {nets}, {summary.pca.n:,} filters. All layers "
        f"together drift {whole.drift:.3f} from {group_in_words(whole.group)}: {_drift(whole)}."
    )


def _how(other: str) -> list[str]:
    noise = "is what as many filters of the group itself give, at most in 99 of 100 draws"
    return [
        "D = Σᵢ EVRᵢ [KL(Pᵢ|Qᵢ) + KL(Qᵢ|Pᵢ)]",
        f"Filters over their largest weight, along the components of the {other}, in 70 bins.",
        f"Noise {noise}. Curves are smoothed.",
        "P. Gavrikov, J. Keuper: CNN Filter DB. CVPR 2022.",
    ]


def _missing(found: ModelDrift, layers: Layers) -> list[list[str]]:
    """Give the layers that the Lens lists and that are not among those compared, and why."""
    compared = {row.key for row in found.layers}
    wanted = " × ".join(map(str, found.summary.pca.kernel))
    return [
        [layer.key, _why(layer, wanted)]
        for layer in layers
        if not compared & {layer.key, layer.name}
    ]


def _why(layer: Layer, wanted: str) -> str:
    if layer.reason is not None:
        return layer.reason
    if layer.transposed:
        return "transposed convolutions are left out, as in CNN Filter DB"
    size = " × ".join(map(str, layer.shape[2:]))
    return f"its filters are {size}, not {wanted}" if size else f"{layer.kind}: no filters"
