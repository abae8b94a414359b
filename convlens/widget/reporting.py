"""A report on compression as a front end shows it: figures in words, rankings as bars."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from convlens.compression import CompressionReport, LayerChange
from convlens.compression.result import Rankable, readable

__all__ = ["FIGURES", "RANKINGS", "describe_rankings", "said"]

RANKINGS = tuple(Rankable)

_TENFOLD = "10 dB less is ten times the error."
_RANKINGS: dict[str, tuple[str, str]] = {
    "cost": (
        "cost, alone",
        "Share of the network's output that is lost when this layer alone is compressed.",
    ),
    "output_sqnr": (
        "signal left, all compressed",
        (
            "Signal over error in the layer's output when all layers are compressed, with what "
            f"those before it did wrong: {_TENFOLD}"
        ),
    ),
    "isolated_sqnr": (
        "signal left, alone",
        "Signal over error in the layer's own output when it alone is compressed: " + _TENFOLD,
    ),
    "weight_sqnr": (
        "signal left in the weights",
        "Signal over error in the layer's weights: " + _TENFOLD,
    ),
    "output_cosine": (
        "direction of the output",
        "Cosine between the layer's outputs before and after; bars show what is missing to 1.",
    ),
    "cka": (
        "representation (CKA)",
        "How alike the two layers tell inputs apart; bars show what is missing to 1.",
    ),
    "exact_zeros": ("weights that are 0", "Share of the layer's weights that are exactly 0."),
}
_LIKENESS = ("output_cosine", "cka")
_SHARE = ("cost", "exact_zeros")

FIGURES: tuple[tuple[str, str], ...] = (
    ("cost", "Share of the output that is lost when this layer alone is compressed"),
    ("agreement", "Inputs that are taken for the same class when it alone is compressed"),
    ("accuracy", "Of the network when this layer alone is compressed"),
    ("weights", "Signal over error in the weights"),
    ("output, alone", "Signal over error in its output when it alone is compressed"),
    ("output, all", "Signal over error in its output when all layers are compressed"),
    ("CKA", "How alike both layers tell inputs apart"),
    ("zeros", "Share of the weights that are 0, before and after"),
    ("filters of 0", "Share of the filters that hold nothing but 0, before and after"),
    ("entropy", "Variance entropy of the filters, before and after"),
)
"""What is told of a layer: names, and what they mean."""


def describe_rankings() -> dict[str, Any]:
    """Describe for the front end what layers can be ranked by, and what is told of each."""
    return {
        "rankings": [
            {"name": name, "title": title, "help": text}
            for name, (title, text) in _RANKINGS.items()
        ],
        "figures": [list(figure) for figure in FIGURES],
    }


def said(found: CompressionReport, after: str) -> dict[str, Any]:
    """Give a report in JSON's types.

    Parameters
    ----------
    found
        The report.
    after
        Which of the two models of the Lens is the compressed one.
    """
    before = "reference" if after == "model" else "model"
    return {
        "title": found.model,
        "before": found.reference,
        "finished": found.finished,
        "n": found.overall.n,
        "facts": _facts(found),
        "layers": [_layer(layer, after, before, found.finished) for layer in found.layers],
        "rankings": {name: _ranking(found, name) for name in RANKINGS},
        "classes": _classes(found),
        "classified": found.overall.agreement is not None,
        "alone": {after: list(found.only_model), before: list(found.only_reference)},
        "notes": [
            *_measured(found),
            *(note[0].upper() + note[1:] + "." for note in found.notes),
        ],
    }


def _measured(found: CompressionReport) -> list[str]:
    n = found.isolated_samples
    return [f"Costs are measured on {n:,} inputs, one layer at a time."] if n else []


def _facts(found: CompressionReport) -> list[list[str]]:
    """Say the whole: name, value, what to add, and what it means."""
    o = found.overall
    facts: list[list[str]] = []
    if o.accuracy is not None and o.reference_accuracy is not None:
        points = 100 * (o.accuracy - o.reference_accuracy)
        value = f"{100 * o.reference_accuracy:.1f} % → {100 * o.accuracy:.1f} %"
        more = f"{points:+.1f} points".replace("-", "−")
        text = f"Right of {o.n:,} inputs: {found.reference}, then {found.model}"
        facts.append(["accuracy", value, more, text])
    if o.agreement is not None:
        more = f"{len(found.flips):,} of {o.n:,} flipped"
        text = "Inputs that both take for the same class"
        facts.append(["agreement", f"{100 * o.agreement:.1f} %", more, text])
    if o.size and o.reference_size:
        text = "Bytes of the state dict as torch.save writes it"
        facts.append(["on disk", *_sizes(o.reference_size, o.size), text])
    text = "Bytes that the numbers need at least, packed by their bits"
    facts.append(["packed", *_sizes(o.reference_packed, o.packed), text])
    shares = [_zeros(found, prefix) for prefix in ("reference_", "")]
    if None not in shares:
        value = " → ".join(map(_percent, shares))
        facts.append(["weights that are 0", value, "", "Of all layers, exactly 0"])
    return facts


def _sizes(before: int, after: int) -> tuple[str, str]:
    value = f"{readable(before)} → {readable(after)}"
    if not before or not after or abs(before / after - 1) < 0.05:
        return value, ""
    ratio = before / after
    return value, f"{ratio:.1f} × smaller" if ratio > 1 else f"{1 / ratio:.1f} × larger"


def _zeros(found: CompressionReport, prefix: str) -> float | None:
    """Give the share of all weights that are 0."""
    known = [(getattr(x, f"{prefix}exact_zeros"), math.prod(x.shape)) for x in found.layers]
    known = [(share, size) for share, size in known if share is not None]
    whole = sum(size for _, size in known)
    return float(sum(share * size for share, size in known) / whole) if whole else None


def _layer(layer: LayerChange, after: str, before: str, finished: bool) -> dict[str, Any]:
    return {
        after: layer.key,
        before: layer.reference_key,
        "how": layer.how,
        "texts": {name: _written(name, getattr(layer, name)) for name in RANKINGS},
        "missing": {
            name: _why(layer, name, finished)
            for name in RANKINGS
            if not _known(getattr(layer, name))
        },
        "figures": _figures(layer),
        "notes": [*dict.fromkeys(layer.reasons.values()), *layer.notes],
    }


def _figures(layer: LayerChange) -> list[str]:
    """Give the figures of a layer in the order of `FIGURES`; "" where there is none."""
    cka = _written("cka", layer.cka)
    error = f" ± {layer.cka_stderr:.1g}" if cka and _known(layer.cka_stderr) else ""
    return [
        _written("cost", layer.cost),
        _percent(layer.isolated_agreement),
        _percent(layer.isolated_accuracy),
        _written("weight_sqnr", layer.weight_sqnr),
        _written("isolated_sqnr", layer.isolated_sqnr),
        _written("output_sqnr", layer.output_sqnr),
        cka + error,
        _pair(_percent(layer.reference_exact_zeros), _percent(layer.exact_zeros)),
        _pair(_percent(layer.reference_zero_filters), _percent(layer.zero_filters)),
        _pair(_plain(layer.reference_entropy), _plain(layer.entropy)),
    ]


def _ranking(found: CompressionReport, name: str) -> dict[str, Any]:
    """Order the layers, the worst first and those without a value last, and measure their bars."""
    ranked = [layer.key for layer in found.ranking(name)]
    place = {layer.key: index for index, layer in enumerate(found.layers)}
    order = [place[key] for key in ranked]
    order += [index for index in range(len(found.layers)) if index not in set(order)]
    values = [getattr(layer, name) for layer in found.layers]
    values = [math.nan if value is None else float(value) for value in values]
    sizes = np.array([1 - x for x in values] if name in _LIKENESS else values)
    sizes = np.where(np.isfinite(sizes), sizes, 0).clip(min=0)
    longest = float(sizes.max(initial=0.0)) or 1.0
    return {"order": order, "shares": [round(float(size) / longest, 4) for size in sizes]}


def _classes(found: CompressionReport) -> list[list[int]]:
    """Count flips by the class before: flips, lost, won, and the class that most went to."""
    counted: list[list[int]] = []
    for before in {flip.before for flip in found.flips}:
        mine = [flip for flip in found.flips if flip.before == before]
        kinds = Counter(flip.kind for flip in mine)
        after = Counter(flip.after for flip in mine)
        most = min(after, key=lambda to: (-after[to], to))
        counted.append([before, len(mine), kinds["lost"], kinds["won"], most])
    return sorted(counted, key=lambda row: (-row[1], row[0]))


def _why(layer: LayerChange, name: str, finished: bool) -> str:
    other = {"isolated_sqnr": "cost", "output_cosine": "output_sqnr"}.get(name, name)
    reason = layer.reasons.get(name) or layer.reasons.get(other)
    return reason or ("not defined here" if finished else "not measured yet")


def _known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def _written(name: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    if name in _SHARE:
        return _percent(value)
    if name in _LIKENESS:
        return _plain(value)
    if math.isinf(value):
        return "unchanged" if value > 0 else "all lost"
    return f"{value:.1f} dB".replace("-", "−")


def _percent(share: float | None) -> str:
    """Write a share with as many digits as it needs."""
    if share is None or math.isnan(share):
        return ""
    value = 100 * share
    digits = 1 if value >= 1 or value == 0 else 2 if value >= 0.1 else 3
    if 0 < value < 0.0005:
        return "< 0.001 %"
    return f"{round(value, digits):,g} %"


def _plain(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}".replace("-", "−")


def _pair(before: str, after: str) -> str:
    return f"{before} → {after}" if before and after else after
