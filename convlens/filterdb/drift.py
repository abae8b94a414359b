"""How far apart distributions of filters are."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from convlens.errors import ArgumentError, nearest
from convlens.filterdb.coefficients import Coefficients, probabilities
from convlens.filterdb.noise import LEVEL, Floor, Shares, floor_between, floor_of_shares, shares_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Drift", "drift_between", "drift_of"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_PAIRS = 3000  # above which one common distribution serves for the floor of all pairs


@dataclass(frozen=True, eq=False)
class Drift:
    """Distances between the filter distributions of groups.

    Attributes
    ----------
    rows, columns : tuple of str
        The groups; the same ones where all were compared with each other.
    matrix : ndarray of float64
        (rows, columns), symmetric KL divergence of the coefficients' histograms, weighted by
        explained variance. NaN for a group without filters.
    floor : ndarray of float64
        What two samples as large as these of one distribution have, on average.
    floor_high : ndarray of float64
        What they exceed once in a hundred times.
    p : ndarray of float64
        How often sampling alone makes a drift as large as the measured one.
    n_rows, n_columns : ndarray of int64
        Filters in each group.
    by : str
        What the groups are of.
    notes : tuple of str
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    matrix: Floats = field(repr=False)
    floor: Floats = field(repr=False)
    floor_high: Floats = field(repr=False)
    p: Floats = field(repr=False)
    n_rows: Counts = field(repr=False)
    n_columns: Counts = field(repr=False)
    by: str = "group"
    notes: tuple[str, ...] = ()

    @property
    def excess(self) -> Floats:
        """(rows, columns), the drift above the floor; noise is about 0, below it or above."""
        return self.matrix - self.floor

    @property
    def is_noise(self) -> npt.NDArray[np.bool_]:
        """(rows, columns), whether sampling alone explains the drift (at 1 in 100)."""
        return ~(self.matrix > self.floor_high)

    def value(self, row: str, column: str) -> float:
        """Return one distance by the names of its groups."""
        return float(self.matrix[_at(row, self.rows), _at(column, self.columns)])

    def to_frame(self) -> pd.DataFrame:
        """Give a row for each pair: drift, floor, p, sizes."""
        import pandas as pd

        same = self.rows == self.columns
        found = [
            {
                "row": row,
                "column": column,
                "drift": self.matrix[i, j],
                "floor": self.floor[i, j],
                "floor_high": self.floor_high[i, j],
                "p": self.p[i, j],
                "is_noise": bool(self.is_noise[i, j]),
                "filters_row": int(self.n_rows[i]),
                "filters_column": int(self.n_columns[j]),
            }
            for i, row in enumerate(self.rows)
            for j, column in enumerate(self.columns)
            if not same or i < j
        ]
        return pd.DataFrame(found)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the matrix, alike groups beside each other, what is noise hatched."""
        from convlens.filterdb.plots import plot_drift

        return plot_drift(self, ax)

    def __repr__(self) -> str:
        found = self.matrix[np.isfinite(self.matrix)]
        if self.rows == self.columns:
            found = found[found > 0]
        ends = f", {found.min():.3g} to {found.max():.3g}" if found.size else ""
        shape = f"{len(self.rows)} x {len(self.columns)} by {self.by}"
        pairs = np.triu(np.ones_like(self.is_noise), 1) if self.rows == self.columns else 1
        noise = int((self.is_noise * pairs).sum())
        return f"Drift({shape}{ends}; {noise} pairs no further apart than noise)"

    def _repr_html_(self) -> str:
        import pandas as pd

        frame = cast(Any, pd.DataFrame)(self.matrix, list(self.rows), list(self.columns))
        table = frame.round(4).to_html(max_rows=16, max_cols=16, na_rep="–")
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<p>{escape(repr(self))}</p>{table}" + (f"<ul>{notes}</ul>" if notes else "")


def drift_between(one: Counts, other: Counts, span: tuple[float, float], weights: Floats) -> Floats:
    """Return D(P, Q) = sum_i w_i [KL(P_i | Q_i) + KL(Q_i | P_i)] of all pairs of groups.

    Parameters
    ----------
    one, other : ndarray of int64
        (groups, components, bins).
    span : (float, float)
        Of the bins.
    weights : ndarray
        (components,), the explained variance ratio.

    Returns
    -------
    ndarray of float64
        (groups of one, groups of other).

    Notes
    -----
    Gavrikov and Keuper, CNN Filter DB, CVPR 2022. KL(P|Q) + KL(Q|P) = sum (P - Q)(log P - log Q),
    so that all pairs are products of matrices.
    """
    p, q = probabilities(one, span), probabilities(other, span)
    roots = np.sqrt(weights)[:, None]
    flat = [cast(Any, x).reshape(len(x), -1) for x in (p * roots, np.log(p) * roots)]
    p, log_p = flat
    flat = [cast(Any, x).reshape(len(x), -1) for x in (q * roots, np.log(q) * roots)]
    q, log_q = flat
    own_p, own_q = (p * log_p).sum(1)[:, None], (q * log_q).sum(1)
    return own_p + own_q - p @ log_q.T - log_p @ q.T


def drift_of(
    one: Coefficients, other: Coefficients | None = None, notes: tuple[str, ...] = ()
) -> Drift:
    """Compare all groups of `one` with each other, or with those of `other`."""
    weights = one.pca.explained_variance_ratio
    second = one if other is None else other
    with np.errstate(invalid="ignore"):
        between = drift_between(one.counts, second.counts, one.span, weights)
    matrix = cast(Any, between)
    if other is None:  # exactly so, where rounding would leave 1e-16
        matrix = (matrix + matrix.T) / 2
        np.fill_diagonal(matrix, np.where(one.n > 0, 0.0, np.nan))
    floors = _floors(one, other, np.isfinite(matrix))
    if matrix.size > _PAIRS:
        notes = (*notes, "the floor is that of samples of all groups taken together")
    high = cast(Any, np.full(matrix.shape, np.nan))
    mean, p = high.copy(), high.copy()
    for (i, j), floor in floors.items():
        mean[i, j], high[i, j], p[i, j] = floor.mean, floor.high, floor.p(float(matrix[i, j]))
        if other is None:
            mean[j, i], high[j, i], p[j, i] = mean[i, j], high[i, j], p[i, j]
    return Drift(
        one.names,
        second.names,
        matrix,
        mean,
        high,
        p,
        one.n,
        second.n,
        one.by,
        (*notes, f"floor_high is exceeded by noise in {LEVEL:.0%} of cases"),
    )


def _floors(
    one: Coefficients, other: Coefficients | None, known: npt.NDArray[np.bool_]
) -> dict[tuple[int, int], Floor]:
    """Return the floor of each pair, of symmetric ones once."""
    second = one if other is None else other
    weights = one.pca.explained_variance_ratio
    pairs = [(i, j) for i, j in np.argwhere(known).tolist() if other is not None or i <= j]
    found: dict[tuple[int, int], Floor] = {}
    many = known.size > _PAIRS
    shares: dict[int, Shares] = {}
    if many:
        pooled = one.counts.sum(0) + (0 if other is None else second.counts.sum(0))
        sizes = {int(n) for n in (*one.n, *second.n) if n}
        shares = {n: shares_of(n, pooled, one.span) for n in sizes}
    for i, j in pairs:
        if other is None and i == j:
            found[i, j] = Floor(0.0, 0.0)
        elif many:
            found[i, j] = floor_of_shares(shares[int(one.n[i])], shares[int(second.n[j])], weights)
        else:
            found[i, j] = floor_between(one.counts[i], second.counts[j], one.span, weights)
    return found


def _at(name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise ArgumentError(f"No group is called {name!r}.{nearest(name, names)}")
    return names.index(name)
