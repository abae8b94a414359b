"""What a Lens answers to each kind of request, in steps.

The only code that turns results into rows and buffers. Each function is a generator: it
yields between steps, where the worker may answer something more urgent or stop, and returns
the final header and arrays.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from convlens.distribution import LOWEST_PEAK, distribution_of
from convlens.errors import ArgumentError
from convlens.filters import Filters, filters_of
from convlens.layers import Layer, Layers
from convlens.quality import LayerQuality, measure_layer, remeasure, sparsity_curve
from convlens.threads import one_thread

Arrays = Mapping[str, npt.NDArray[Any]]
Answer = tuple[dict[str, Any], Arrays]
Steps = Generator[None, None, Answer]
Progress = Callable[[int, int, str, dict[str, Any]], None]
_Found = TypeVar("_Found")

# live at every position of the front end's slider without asking the kernel
EPS_GRID = tuple(sorted({0.01, *(float(f"{0.0005 * 1000 ** (i / 60):.3g}") for i in range(61))}))

# of one reply: 16 MB of float32
PAGE_WEIGHTS = 4_000_000

# weights from which a layer's are sent in halves: 0.4 MB of float32
HALVED = 100_000

_REPORT_EVERY = 0.1
_LITTLE = 4_000_000  # weights that one thread gets through in some 15 ms


@dataclass
class Measured:
    """What is known of the weights as they were at one revision.

    `quality` and `curves` are by the name of the module: its calls share the weights.
    """

    layers: Layers
    quality: dict[str, LayerQuality] = field(default_factory=dict[str, LayerQuality])
    curves: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    filters: dict[str, Filters] = field(default_factory=dict[str, Filters])

    def row(self, layer: Layer) -> dict[str, Any]:
        """Give the front end's row of a layer."""
        quality = replace(self.quality[layer.name], key=layer.key)
        verdict = quality.verdict
        return {
            **quality.to_json(),
            "curve": self.curves[layer.name],
            "verdict": {"title": verdict.title, "text": verdict.text, "tone": verdict.tone},
        }


def quality(measured: Measured, eps: float, progress: Progress) -> Steps:
    """Measure every layer; what a bar needs first, orthogonality in a second pass."""
    layers = measured.layers
    total = 2 * len(layers)
    fresh: list[dict[str, Any]] = []
    reported = time.monotonic()
    for done in range(total):
        layer = layers[done % len(layers)]
        with one_thread(_is_little(layer)):
            changed = _measure(measured, layer, eps, first=done < len(layers))
        if changed:
            fresh.append(measured.row(layer))
        if fresh and time.monotonic() - reported > _REPORT_EVERY:
            progress(done + 1, total, layer.key, {"rows": fresh})
            fresh, reported = [], time.monotonic()
        yield
    return {"eps": eps, "rows": [measured.row(layer) for layer in layers]}, {}


def _measure(measured: Measured, layer: Layer, eps: float, *, first: bool) -> bool:
    """Bring what is known of a layer up to `eps`; say whether anything changed."""
    known = measured.quality.get(layer.name)
    if known is None:
        found = measure_layer(layer, eps, orthogonality=False)
        measured.quality[layer.name] = found
        # a layer that cannot be read, or not scored, is a row that says why
        counts: list[int] = []
        if found.reason is None:
            counts = cast(list[int], sparsity_curve(layer.weight(), EPS_GRID).tolist())
        measured.curves[layer.name] = counts
        return True
    if known.eps != eps:
        measured.quality[layer.name] = remeasure(known, layer, eps)
        return True
    if not first and "orthogonality" in known.pending:
        measured.quality[layer.name] = remeasure(known, layer, eps, orthogonality=True)
        return True
    return False


def distribution(layer: Layer) -> Steps:
    """Answer the two histograms of a layer."""
    with one_thread(_is_little(layer)):
        found = distribution_of(layer)
    yield
    header = {
        "layer": layer.key,
        "n": found.n,
        "low": -found.limit,
        "high": found.limit,
        "peak_low": LOWEST_PEAK,
        "peak_high": 0.0,
    }
    return header, {
        "weights": found.weights.astype(np.uint32),
        "peaks": found.peaks.astype(np.uint32),
    }


def filters(measured: Measured, layer: Layer, start: int, halved: bool = False) -> Steps:
    """Answer a page of a layer's filters, and its basis.

    With `halved`, a large layer's weights come as the upper 16 bits of each, ``upper``, which is
    what a picture shows of them, in half the time; `exact_filters` has the rest.
    """
    found = _filters(measured, layer)
    yield
    out, inputs, *kernel = found.weights.shape
    page = _page(found)
    start = _first_of_page(start, page, found)
    stop = min(out, start + page)
    header = {
        "layer": layer.key,
        "start": start,
        "stop": stop,
        "page": page,
        "out": out,
        "inputs": inputs,
        "kernel": kernel,
        "max_abs": found.max_abs,
    }
    taps = int(np.prod(kernel, dtype=int))
    weights: Arrays = {"weights": found.weights[start:stop].reshape(stop - start, inputs, taps)}
    if halved and stop - start == out and found.weights.size >= HALVED:
        upper = np.ascontiguousarray(_halves(found)[1])
        header["reading"] = _reading(upper)
        weights = {"upper": upper}
    return header, {
        **weights,
        "eigenimages": found.eigenimages.reshape(-1, taps).astype(np.float32),
        "explained": np.asarray(found.explained_variance, dtype=np.float32),
        "mean": found.mean.reshape(taps).astype(np.float32),
    }


def exact_filters(measured: Measured, layer: Layer, reading: int) -> Steps:
    """Answer the lower 16 bits of each weight whose upper ones were sent; all 32 if these changed.

    `reading` is what came with the upper ones.
    """
    found = _filters(measured, layer)
    yield
    lower, upper = _halves(found)
    same = _reading(upper) == reading
    rest: Arrays = {"lower": lower} if same else {"weights": found.weights.reshape(-1)}
    return {"layer": layer.key}, rest


def _halves(found: Filters) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """Give the lower and the upper 16 bits of all weights."""
    halves = found.weights.astype("<f4", copy=False).reshape(-1).view("<u2").reshape(-1, 2)
    return halves[:, 0], halves[:, 1]


def _reading(upper: npt.NDArray[np.uint16]) -> int:
    """Give a number by which weights are known again."""
    return zlib.crc32(np.ascontiguousarray(upper).data)


def cluster(measured: Measured, layer: Layer, start: int) -> Steps:
    """Answer the cluster of each filter of a page."""
    found = _filters(measured, layer)
    yield
    labels = found.clusters()
    page = _page(found)
    start = _first_of_page(start, page, found)
    inputs = found.weights.shape[1]
    part = labels.reshape(-1, inputs)[start : start + page].reshape(-1)
    header = {"layer": layer.key, "start": start, "k": int(labels.max()) + 1 if labels.size else 0}
    return header, {"labels": part.astype(np.uint8)}


PAGES: Mapping[str, Callable[..., Steps]] = {
    "filters": partial(filters, halved=True),
    "filters_exact": exact_filters,
    "cluster": cluster,
}


def finish(steps: Generator[None, None, _Found]) -> _Found:
    """Go through all steps at once."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def _filters(measured: Measured, layer: Layer) -> Filters:
    known = measured.filters.pop(layer.key, None)
    if known is None:
        with one_thread(_is_little(layer)):
            known = filters_of(layer)
    measured.filters[layer.key] = known
    while len(measured.filters) > 2:  # the layer in view and the one before
        del measured.filters[next(iter(measured.filters))]
    return known


def _is_little(layer: Layer) -> bool:
    """Whether a click on the layer is answered sooner by one thread, which waits for no other."""
    return math.prod(layer.shape) <= _LITTLE


def _page(found: Filters) -> int:
    per_output = max(1, int(np.prod(found.weights.shape[1:], dtype=int)))
    return max(1, min(found.weights.shape[0], PAGE_WEIGHTS // per_output))


def _first_of_page(start: int, page: int, found: Filters) -> int:
    out = found.weights.shape[0]
    if start >= max(out, 1):
        raise ArgumentError(f"start must be below {out}, the outputs of the layer, not {start}.")
    return start - start % page
