"""Quality of every layer in a database: sparsity and variance entropy, by streaming."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.choices import check_eps
from convlens.filterdb import grouping
from convlens.filterdb.arithmetic import sizes_of, sums_of
from convlens.filterdb.job import Tick
from convlens.filterdb.kernels import Moments, Rows, State, sums_at
from convlens.filterdb.part import Part
from convlens.filterdb.scan import Running
from convlens.filterdb.sums import Sums
from convlens.randomness import compat_threshold, random_entropy

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DatabaseQuality", "entropy_of", "measure_quality", "share_of_random"]

Floats = npt.NDArray[np.float64]

_SAME = 1e-20  # of the sum of squares: filters that differ by rounding only


@dataclass(frozen=True)
class Raw:
    """Moments of filters as they are, and their sizes."""

    taps: int
    title = "entropy of the filters"

    @property
    def digest(self) -> str:
        """Tells it from others."""
        return f"raw-{self.taps}"

    def empty(self, slots: int) -> State:
        """Nothing measured."""
        sizes = {name: np.zeros(slots) for name in ("largest", "zeros", "squares")}
        return {**Moments(self.taps, scale=False).empty(slots), **sizes}

    def measure(self, rows: Rows, slot: int, device: str) -> State:
        """Measure one piece."""
        peaks, zeros, squares = sizes_of(rows, device)
        largest = float(peaks.max()) if len(peaks) else 0.0
        sizes = {"largest": largest, "zeros": zeros, "squares": squares}
        moments = Moments(self.taps, scale=False).measure(rows, slot, device)
        return {**moments, **{name: np.asarray(value) for name, value in sizes.items()}}

    def add(self, state: State, slot: int, part: State) -> None:
        """Join two pieces of a layer."""
        Moments(self.taps, scale=False).add(state, slot, part)
        state["largest"][slot] = max(state["largest"][slot], part["largest"])
        state["zeros"][slot] += part["zeros"]
        state["squares"][slot] += part["squares"]


@dataclass(frozen=True, eq=False)
class Clean:
    """Moments of the filters that are not sparse: those with a weight above a layer's limit."""

    taps: int
    limits: Floats
    eps: float
    title = "sparse filters"

    @property
    def digest(self) -> str:
        """Tells it from others."""
        return f"clean-{self.taps}-{self.eps!r}"

    def empty(self, slots: int) -> State:
        """Nothing measured."""
        return Moments(self.taps, scale=False).empty(slots)

    def measure(self, rows: Rows, slot: int, device: str) -> State:
        """Measure one piece."""
        peaks, _, _ = sizes_of(rows, device, keep=True)
        kept = rows[~(peaks < self.limits[slot])]
        return Moments(self.taps, scale=False).measure(kept, slot, device)

    def add(self, state: State, slot: int, part: State) -> None:
        """Join two pieces of a layer."""
        Moments(self.taps, scale=False).add(state, slot, part)


@dataclass(frozen=True, eq=False)
class DatabaseQuality:
    """Figures of every layer of a database; the formulas are those of `convlens.measure_quality`.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row for each layer, as in ``FilterDB.layers``, and `left_out` (filters with NaN or
        infinity), `sparsity`, `variance_entropy` (base 10), `variance_entropy_normalized` (divided
        by T_H, of 9 taps), `entropy_of_random` (its mean for as many random filters), `p_random`,
        `variance_entropy_clean` and its normalised form, `l2_norm`, `largest_weight`,
        `exact_zeros`. NaN where a figure is not defined.
    eps : float
        Filters below this share of the layer's largest weight count as sparse.
    """

    frame: pd.DataFrame = field(repr=False)
    eps: float

    def to_frame(self) -> pd.DataFrame:
        """Give a copy of `frame`."""
        return cast(Any, self.frame).copy()

    def plot(self, ax: Any = None, by: str = "all") -> Figure:
        """Draw sparsity and entropy of all layers against their depth."""
        from convlens.filterdb.plots_quality import plot_depth

        return plot_depth(self, by, ax)

    def plot_box(self, by: str = "model", figure: str = "sparsity", ax: Axes | None = None) -> Any:
        """Draw a box of one figure for each group."""
        from convlens.filterdb.plots_quality import plot_boxes

        return plot_boxes(self, by, figure, ax)

    def __repr__(self) -> str:
        frame = cast(Any, self.frame)
        ends = [
            f"{word} {frame[name].min():.3g} to {frame[name].max():.3g}"
            for word, name in (("sparsity", "sparsity"), ("entropy", "variance_entropy"))
            if frame[name].notna().any()
        ]
        return f"DatabaseQuality({len(frame)} layers, eps={self.eps:g}, {', '.join(ends)})"

    def _repr_html_(self) -> str:
        names = ["sparsity", "variance_entropy", "variance_entropy_normalized", "p_random"]
        frame = cast(Any, self.frame)
        shown = frame[["model_id", "conv_depth", "filters", *names]].round(4)
        return f"<p>{self!r}</p>{shown.to_html(max_rows=14, na_rep='–')}"


def measure_quality(
    part: Part, running: Running, eps: float = 0.01
) -> Generator[Tick, None, DatabaseQuality]:
    """Measure sparsity and entropy of every layer, in two readings."""
    eps = check_eps(eps)
    raw = yield from part.measured(Raw(part.taps), running)
    clean = yield from part.measured(Clean(part.taps, raw["largest"] * eps, eps), running)
    rows = [_figures(raw, clean, row, part.taps) for row in part.rows.tolist()]
    frame = part.frame()
    for name in rows[0]:
        frame[name] = [row[name] for row in rows]
    return DatabaseQuality(frame, eps)


def _figures(raw: State, clean: State, row: int, taps: int) -> dict[str, float]:
    sums, kept = sums_at(raw, row), sums_at(clean, row)
    n = sums.n
    nothing = float("nan")
    largest = float(raw["largest"][row])
    sparse = 1.0 if largest == 0 else 1 - kept.n / n if n else nothing
    entropy = entropy_of(sums) if n and taps > 1 else nothing
    entropy_clean = entropy_of(kept) if kept.n and largest and taps > 1 else nothing
    null = random_entropy(n, taps)
    return {
        "left_out": int(raw["left_out"][row]),
        "sparsity": sparse if n else nothing,
        "variance_entropy": entropy,
        "variance_entropy_normalized": _normalized(entropy, n, taps),
        "entropy_of_random": null.expected if null else nothing,
        "p_random": null.p_value(entropy) if null and n else nothing,
        "variance_entropy_clean": entropy_clean,
        "variance_entropy_clean_normalized": _normalized(entropy_clean, kept.n, taps),
        "l2_norm": float(np.sqrt(raw["squares"][row])),
        "largest_weight": largest,
        "exact_zeros": float(raw["zeros"][row]) / (n * taps) if n else nothing,
    }


def entropy_of(sums: Sums) -> float:
    """Return the variance entropy, base 10, of the filters summed up; 0 without any spread."""
    whole = np.trace(sums.scatter) + sums.n * float(sums.mean @ sums.mean)
    values = np.clip(np.linalg.eigvalsh(sums.scatter), 0, None)
    total = float(values.sum())
    if total <= _SAME * whole or total == 0:
        return 0.0
    shares = values[values > 0] / total
    return float(-(shares * np.log10(shares)).sum())


def share_of_random(frame: Any) -> Any:
    """Return the entropy as a share of what random filters have, for a table of figures."""
    random = frame["variance_entropy"] / frame["entropy_of_random"]
    return frame["variance_entropy_normalized"].fillna(random)


def _normalized(entropy: float, n: int, taps: int) -> float:
    limit = compat_threshold(n) if taps == 9 else None
    return entropy / limit if limit else float("nan")


def layer_names(frame: Any) -> list[str]:
    """Name every layer of a table by its model and its own name, or depth."""
    return grouping.groups_of(frame, "layer")[0]


def raw_sums(rows: Rows) -> Sums:
    """Sum up filters in memory, as they are."""
    return sums_of(rows, "cpu", scale=False)[0]
