"""An open filter database: what is in it, parts of it, and what can be measured of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np
import numpy.typing as npt

from convlens.errors import ArgumentError, nearest
from convlens.filterdb import grouping
from convlens.filterdb.cluster import check_client
from convlens.filterdb.coefficients import BINS, Coefficients
from convlens.filterdb.drift import Drift, drift_of
from convlens.filterdb.job import Job, Progress, Tick
from convlens.filterdb.kernels import Extremes, Histograms, Kernel, Moments, State, sums_at
from convlens.filterdb.layout import INDEX, Layout, read_layout
from convlens.filterdb.pca import PCA, pca_of
from convlens.filterdb.reading import CHUNK, Source, chunks_of
from convlens.filterdb.scan import Running, check_device, scan
from convlens.filterdb.sums import merged

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

__all__ = ["FilterDB", "How", "open_database"]

Places = npt.NDArray[np.int64]

_REMEMBERED = 256 << 20  # bytes of measurements that are kept, the newest at least


class How(TypedDict, total=False):
    """How a measurement runs: see :meth:`FilterDB.begin`."""

    device: str
    workers: int | None
    client: Any
    checkpoint: str | Path | None


@dataclass(eq=False)
class _Store:
    """What was measured of a file's layers, by measurement, so that no filter is read twice."""

    layout: Layout
    known: dict[str, tuple[npt.NDArray[np.bool_], State]] = field(
        default_factory=dict[str, tuple[npt.NDArray[np.bool_], State]]
    )

    def of(self, kernel: Kernel) -> tuple[npt.NDArray[np.bool_], State]:
        layers = len(self.layout.meta)
        found = self.known.pop(kernel.digest, None)
        if found is None:
            found = np.zeros(layers, bool), kernel.empty(layers)
        self.known[kernel.digest] = found
        sizes = {
            digest: sum(array.nbytes for array in state.values())
            for digest, (_, state) in self.known.items()
        }
        for digest in list(self.known)[:-1]:
            if sum(sizes.values()) > _REMEMBERED:
                del self.known[digest], sizes[digest]
        return found


class FilterDB:
    """Filters of many models in one file, or a part of them; read only when something is measured.

    Made by :func:`convlens.filterdb.open`. What was measured of a layer is remembered, and serves
    every selection that holds it.

    Attributes
    ----------
    path : pathlib.Path
    kernel : (int, int)
        Size of a filter.
    notes : tuple of str
        What is out of the ordinary about the file.

    Examples
    --------
    >>> import tempfile, convlens as cl
    >>> folder = tempfile.TemporaryDirectory()
    >>> db = cl.filterdb.export(
    ...     {name: cl.demo.load(name).model for name in cl.demo.VARIANTS},
    ...     f"{folder.name}/digits.h5",
    ... )
    >>> db
    FilterDB(digits.h5: 20,664 filters of 3 x 3, 26 layers of 2 models)
    >>> db.select("Name == 'good'").pca().components.shape
    (9, 9)
    >>> folder.cleanup()
    """

    def __init__(self, store: _Store, rows: Places, running: Running) -> None:
        self._store = store
        self._rows = rows
        self._running = running

    # What is in it ------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The file."""
        return self._store.layout.path

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of a filter."""
        return self._store.layout.kernel

    @property
    def notes(self) -> tuple[str, ...]:
        """What is out of the ordinary about the file."""
        unassigned = self._store.layout.unassigned
        return (f"{unassigned:,} filters belong to no layer",) if unassigned else ()

    @property
    def n(self) -> int:
        """Number of filters, those with a NaN included."""
        spans = self._store.layout.spans[self._rows]
        return int((spans[:, 1] - spans[:, 0]).sum())

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def layers(self) -> pd.DataFrame:
        """One row for each layer: place in its model, `filters`, and all metadata."""
        spans = self._store.layout.spans[self._rows]
        frame = cast(Any, self._store.layout.meta.iloc[self._rows]).copy()
        frame.insert(len(INDEX), "filters", spans[:, 1] - spans[:, 0])
        return frame

    @property
    def models(self) -> pd.DataFrame:
        """One row for each model: number of layers and filters, and what is said of all of it."""
        frame = cast(Any, self.layers)
        groups = frame.groupby("model_id", sort=False)
        found = groups.agg(layers=("filters", "size"), filters=("filters", "sum"))
        of_layers = {*INDEX, "filters", "layer", "shape", "groups"}
        for name in frame.columns:
            if name not in of_layers:
                found[name] = groups[name].first()
        return found

    def read(self, layer: int) -> npt.NDArray[Any]:
        """Read the filters of one layer.

        Parameters
        ----------
        layer : int
            An index of `layers`.

        Returns
        -------
        ndarray
            (filters, height, width), as stored.

        Raises
        ------
        ArgumentError
            If there is no such row here.
        """
        if layer not in set(self._rows.tolist()):
            raise ArgumentError(
                f"There is no layer {layer!r} here; the rows are those of .layers.index."
            )
        start, stop = self._store.layout.spans[layer].tolist()
        chunks = chunks_of(np.array([[start, stop]]), [0], max(1, stop - start))
        parts = [rows for chunk in chunks for _, rows in self._source.read(chunk)]
        taps = (0, self.kernel[0] * self.kernel[1])
        found = np.concatenate(parts) if parts else np.empty(taps, self._store.layout.dtype)
        return found.reshape(-1, *self.kernel)

    # Parts of it --------------------------------------------------------------------------------

    def select(self, query: str | None = None, /, **equal: Any) -> FilterDB:
        """Take the layers that meet a condition.

        Parameters
        ----------
        query : str, optional
            As for ``DataFrame.query`` on `layers`: ``"Task == 'Classification' and
            conv_depth_norm < 0.1"``; a name with blanks stands in backticks.
        **equal : object
            Columns and the value, or list of values, that they must have:
            ``select(**{"Visual Category": ["medical ct", "medical mri"]})``.

        Returns
        -------
        FilterDB

        Raises
        ------
        ArgumentError
            If a column does not exist, the query cannot be read, or no layer meets it.
        """
        frame = cast(Any, self.layers)
        for name, wanted in equal.items():
            column = frame[grouping.check_column(frame, name)]
            several = isinstance(wanted, list | tuple | set | frozenset)
            values = list(cast(Any, wanted)) if several else [wanted]
            kept = frame[column.isin(values)]
            if not len(kept):
                have = [str(value) for value in column.drop_duplicates().head(6)]
                raise ArgumentError(
                    f"No layer has {name!r} {wanted!r}: there are {', '.join(have)}."
                    f"{nearest(wanted, [str(value) for value in column.unique()])}"
                )
            frame = kept
        if query is not None:
            frame = grouping.queried(frame, query)
        return FilterDB(self._store, frame.index.to_numpy(dtype=np.int64), self._running)

    def group_by(self, column: str, bins: int | None = None) -> Mapping[str, FilterDB]:
        """Split by the values of a column.

        Parameters
        ----------
        column : str
            Of `layers`; ``"model"`` and ``"layer"`` stand for each of those.
        bins : int, optional
            Ranges of equal width for a column of numbers; default: 10 where there are more than 20
            different ones.

        Returns
        -------
        dict of str to FilterDB
            In the order of the names, or numbers.
        """
        names, places = grouping.groups_of(self.layers, column, bins)
        return {
            name: FilterDB(self._store, self._rows[rows], self._running)
            for name, rows in zip(names, places, strict=True)
        }

    def running(self, **how: Unpack[How]) -> FilterDB:
        """Return the same database, to be measured another way: see `begin`."""
        return FilterDB(self._store, self._rows, _running(self._running, how))

    # What can be measured -----------------------------------------------------------------------

    def begin(self, what: str, /, **arguments: Any) -> Job[Any]:
        """Prepare a measurement that is then done step by step.

        Parameters
        ----------
        what : str
            ``"pca"``, ``"coefficients"`` or ``"drift"``.
        **arguments : object
            Those of the method of that name, but `progress`; and of how it runs:
            `device` (default ``"cpu"``; the arithmetic is in float64), `workers` (threads; default
            as many as cores), `client` (a ``dask.distributed.Client``, whose workers then measure),
            `checkpoint` (a folder; a measurement that was stopped goes on from it).

        Returns
        -------
        Job
            ``for job in db.begin("pca"): print(job.done, job.total)``, then ``job.result()``.
        """
        works = {
            "pca": self._pca,
            "coefficients": self._coefficients,
            "drift": self._drift,
        }
        if what not in works:
            raise ArgumentError(
                f"{what!r} cannot be measured; there are {', '.join(works)}.{nearest(what, works)}"
            )
        how = {name: arguments.pop(name) for name in How.__annotations__ if name in arguments}
        return Job(works[what](_running(self._running, cast(How, how)), **arguments))

    def pca(self, *, progress: Progress = None, **how: Unpack[How]) -> PCA:
        """Find the principal components of all filters, each scaled by its largest weight.

        Parameters
        ----------
        progress : True or callable(job), optional
            A bar; or what is called after each chunk, and stops by returning False.
        **how : object
            `device`, `workers`, `client`, `checkpoint`: see `begin`.

        Returns
        -------
        PCA

        Raises
        ------
        ArgumentError
            If there are fewer than two filters.
        Cancelled
            If `progress` returned False.
        """
        return self.begin("pca", **how).run(progress)

    def coefficients(
        self,
        by: str = "layer",
        *,
        pca: PCA | None = None,
        span: tuple[float, float] | None = None,
        bins: int = BINS,
        progress: Progress = None,
        **how: Unpack[How],
    ) -> Coefficients:
        """Count the coefficients of the filters along principal components.

        Parameters
        ----------
        by : str, default "layer"
            Column whose values are the groups; ``"all"``, ``"model"``, ``"layer"``.
        pca : PCA, optional
            The basis; default: that of these filters.
        span : (float, float), optional
            Where the bins begin and end; default: the least and greatest coefficient of all.
        bins : int, default 70
        progress, **how
            As for `pca`.

        Returns
        -------
        Coefficients
        """
        asked = {"by": by, "pca": pca, "span": span, "bins": bins, **how}
        return self.begin("coefficients", **asked).run(progress)

    def drift(
        self,
        by: str = "model",
        against: Any = None,
        *,
        pca: PCA | None = None,
        span: tuple[float, float] | None = None,
        bins: int = BINS,
        progress: Progress = None,
        **how: Unpack[How],
    ) -> Drift:
        """Measure how far apart groups of filters are, and what of that is noise.

        Parameters
        ----------
        by : str, default "model"
            Column whose values are the groups; also ``"layer"``, ``"all"``.
        against : str or FilterDB, optional
            What to compare each group with: one of the groups by its name, or another database
            (whose basis is then used). Default: each other.
        pca, span, bins, progress, **how
            As for `coefficients`.

        Returns
        -------
        Drift

        Raises
        ------
        ArgumentError
            If a column or group does not exist.

        Notes
        -----
        Gavrikov and Keuper, CVPR 2022: 70 bins, D = sum_i EVR_i [KL(P_i|Q_i) + KL(Q_i|P_i)].
        """
        asked = {"by": by, "against": against, "pca": pca, "span": span, "bins": bins, **how}
        return self.begin("drift", **asked).run(progress)

    # How it is measured -------------------------------------------------------------------------

    @property
    def _source(self) -> Source:
        layout = self._store.layout
        taps = layout.kernel[0] * layout.kernel[1]
        return Source(str(layout.path), layout.dataset, layout.n, taps)

    def _measured(self, kernel: Kernel, running: Running) -> Generator[Tick, None, State]:
        """Measure the layers of which that is not known yet; return what is known of all."""
        known, state = self._store.of(kernel)
        missing = self._rows[~known[self._rows]]
        if len(missing):
            chunks = chunks_of(self._store.layout.spans[missing], range(len(missing)), CHUNK)
            found = yield from scan(self._source, kernel, chunks, len(missing), running)
            for name, array in found.items():
                state[name][missing] = array
            known[missing] = True
        return state

    def _pca(self, running: Running) -> Generator[Tick, None, PCA]:
        taps = self.kernel[0] * self.kernel[1]
        state = yield from self._measured(Moments(taps), running)
        rows = self._rows.tolist()
        sums = merged((sums_at(state, row) for row in rows), taps)
        return pca_of(sums, int(state["left_out"][self._rows].sum()), self.kernel)

    def _span(self, pca: PCA, running: Running) -> Generator[Tick, None, tuple[float, float]]:
        state = yield from self._measured(Extremes(pca.components, pca.mean), running)
        low = float(state["low"][self._rows].min(initial=np.inf))
        high = float(state["high"][self._rows].max(initial=-np.inf))
        if low > high:
            raise ArgumentError("None of these filters is finite, so that nothing can be counted.")
        return low, high

    def _coefficients(
        self,
        running: Running,
        by: str = "layer",
        pca: PCA | None = None,
        span: tuple[float, float] | None = None,
        bins: int = BINS,
    ) -> Generator[Tick, None, Coefficients]:
        names, places = grouping.groups_of(self.layers, by)
        _check_bins(bins, span)
        if pca is None:
            pca = yield from self._pca(running)
        if pca.kernel != self.kernel:
            raise ArgumentError(
                f"These filters are {self.kernel[0]} x {self.kernel[1]}, and the basis is of "
                f"{pca.kernel[0]} x {pca.kernel[1]}."
            )
        if span is None:
            span = yield from self._span(pca, running)
        kernel = Histograms(pca.components, pca.mean, (float(span[0]), float(span[1])), bins)
        state = yield from self._measured(kernel, running)
        counts = np.stack([state["counts"][self._rows[rows]].sum(0) for rows in places])
        return Coefficients(tuple(names), counts, pca, kernel.span, by)

    def _drift(
        self,
        running: Running,
        by: str = "model",
        against: Any = None,
        pca: PCA | None = None,
        span: tuple[float, float] | None = None,
        bins: int = BINS,
    ) -> Generator[Tick, None, Drift]:
        asked: dict[str, Any] = {"by": by, "pca": pca, "span": span, "bins": bins}
        if isinstance(against, FilterDB):
            if pca is None:
                asked["pca"] = pca = yield from against._pca(running)
            if span is None:
                one = yield from self._span(pca, running)
                other = yield from against._span(pca, running)
                asked["span"] = min(one[0], other[0]), max(one[1], other[1])
            asked["by"] = "all"
            reference = yield from against._coefficients(running, **asked)
            asked["by"] = by
        elif against is None or isinstance(against, str):
            reference = None
        else:
            raise ArgumentError(
                "against must be the name of a group or a FilterDB, not a "
                f"{type(against).__name__}."
            )
        found = yield from self._coefficients(running, **asked)
        if isinstance(against, str):
            if against not in found.names:
                raise ArgumentError(
                    f"No group by {by!r} is called {against!r}.{nearest(against, found.names)}"
                )
            place = found.names.index(against)
            reference = replace(found, names=(against,), counts=found.counts[place : place + 1])
        empty = int((found.n == 0).sum())
        notes = (f"{empty} groups hold no finite filter",) if empty else ()
        return drift_of(found, reference, notes)

    def __repr__(self) -> str:
        height, width = self.kernel
        models = self._store.layout.meta["model_id"].iloc[self._rows].nunique()
        return (
            f"FilterDB({self.path.name}: {self.n:,} filters of {height} x {width}, "
            f"{len(self)} layer{'s' * (len(self) != 1)} of {models} model{'s' * (models != 1)})"
        )

    def _repr_html_(self) -> str:
        table = self.models.to_html(max_rows=12, max_cols=10, na_rep="–")
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<p>{escape(repr(self))}</p>{table}" + (f"<ul>{notes}</ul>" if notes else "")

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows.tolist())


def open_database(path: str | Path, **how: Unpack[How]) -> FilterDB:
    """Open a filter database: see :func:`convlens.filterdb.open`."""
    layout = read_layout(Path(path).expanduser())
    rows = np.arange(len(layout.meta), dtype=np.int64)
    return FilterDB(_Store(layout), rows, _running(Running(), how))


def _running(before: Running, how: How) -> Running:
    unknown = [name for name in how if name not in How.__annotations__]
    if unknown:
        names = [*How.__annotations__, "progress"]
        raise ArgumentError(f"There is no argument {unknown[0]!r}.{nearest(unknown[0], names)}")
    given: dict[str, Any] = dict(how)
    if given.get("device") is not None:
        given["device"] = check_device(given["device"])
    workers = given.get("workers")
    if workers is not None and (isinstance(workers, bool) or not workers >= 1):
        raise ArgumentError(f"workers must be a number of threads above 0, not {workers!r}.")
    if given.get("client") is not None:
        check_client(given["client"])
    if given.get("checkpoint") is not None:
        given["checkpoint"] = Path(given["checkpoint"])
    return replace(before, **given)


def _check_bins(bins: object, span: Any) -> None:
    if isinstance(bins, bool) or not isinstance(bins, int) or not 2 <= bins <= 1000:
        raise ArgumentError(f"bins must be a whole number from 2 to 1000, not {bins!r}.")
    if span is not None and not (len(span) == 2 and span[0] < span[1]):
        raise ArgumentError(f"span must be (low, high) with low < high, not {span!r}.")
