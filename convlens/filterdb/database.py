"""An open filter database: what is in it, parts of it, and what can be measured of them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from convlens.errors import ArgumentError, nearest
from convlens.filterdb import measuring
from convlens.filterdb.coefficients import BINS, Coefficients
from convlens.filterdb.drift import Drift
from convlens.filterdb.how import How, running
from convlens.filterdb.job import Job, Progress, Tick
from convlens.filterdb.layout import read_layout
from convlens.filterdb.part import Part, Store
from convlens.filterdb.pca import PCA
from convlens.filterdb.phenotype import Phenotypes, measure_phenotype
from convlens.filterdb.quality import DatabaseQuality, measure_quality
from convlens.filterdb.scan import Running
from convlens.filterdb.selection import Selection
from convlens.filterdb.summarising import measure_summary
from convlens.filterdb.summary import Summary

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["FilterDB", "How", "open_database"]


class FilterDB(Selection):
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
    FilterDB(digits.h5: 21,336 filters of 3 x 3, 26 layers of 2 models)
    >>> db.select("Name == 'good'").pca().components.shape
    (9, 9)
    >>> folder.cleanup()
    """

    def with_options(self, **how: Unpack[How]) -> FilterDB:
        """Return the same database, to be measured another way by default: see `begin`."""
        return FilterDB(self._part, running(self._running, how))

    # What can be measured -----------------------------------------------------------------------

    def begin(self, what: str, /, **arguments: Any) -> Job[Any]:
        """Prepare a measurement that is then done step by step.

        Parameters
        ----------
        what : str
            ``"pca"``, ``"coefficients"``, ``"drift"``, ``"quality"``, ``"phenotype"`` or
            ``"summary"``.
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
        works: dict[str, Callable[..., Generator[Tick, None, Any]]] = {
            "pca": measuring.measure_pca,
            "coefficients": measuring.measure_coefficients,
            "drift": measuring.measure_drift,
            "quality": measure_quality,
            "phenotype": measure_phenotype,
            "summary": measure_summary,
        }
        if what not in works:
            raise ArgumentError(
                f"{what!r} cannot be measured; there are {', '.join(works)}.{nearest(what, works)}"
            )
        how = {name: arguments.pop(name) for name in How.__annotations__ if name in arguments}
        if isinstance(arguments.get("against"), FilterDB):
            arguments["against"] = arguments["against"]._part
        elif what == "drift" and not isinstance(arguments.get("against"), str | Summary | None):
            raise ArgumentError(
                "against must be the name of a group, a FilterDB or a Summary, not a "
                f"{type(arguments['against']).__name__}."
            )
        options = running(self._running, cast(How, how))
        try:
            return Job(works[what](self._part, options, **arguments))
        except TypeError as error:  # of the call: nothing of the work has run
            raise ArgumentError(f"{what}: {error}.") from error

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
        against : str, FilterDB or Summary, optional
            What to compare each group with: one of the groups by its name, or another database, or
            a summary (whose basis, and bins, are then used). Default: each other.
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

    def quality(
        self, eps: float = 0.01, *, progress: Progress = None, **how: Unpack[How]
    ) -> DatabaseQuality:
        """Measure sparsity and variance entropy of every layer.

        Parameters
        ----------
        eps : float, default 0.01
            Filters below this share of the layer's largest weight count as sparse.
        progress, **how
            As for `pca`.

        Returns
        -------
        DatabaseQuality
            The figures of :func:`convlens.measure_quality`; orthogonality is not among them, since
            the file does not say which filters make an output.
        """
        return self.begin("quality", eps=eps, **how).run(progress)

    def phenotype(self, *, progress: Progress = None, **how: Unpack[How]) -> Phenotypes:
        """Tell of every layer whether its coefficients look like a sun, spikes, symbol or point.

        Parameters
        ----------
        progress, **how
            As for `pca`.

        Returns
        -------
        Phenotypes

        Notes
        -----
        The paper describes the four and draws them; the thresholds are ours, in
        `convlens.filterdb.phenotype`.
        """
        return self.begin("phenotype", **how).run(progress)

    def summary(
        self,
        title: str | None = None,
        by: str | None = None,
        *,
        bins: int = BINS,
        progress: Progress = None,
        **how: Unpack[How],
    ) -> Summary:
        """Put together what the Drift view compares with: basis, histograms, bands over depth.

        Parameters
        ----------
        title : str, optional
            What it is a summary of; default: the name of the file.
        by : str, optional
            Column whose values become groups beside ``"all"`` and those by depth.
        bins : int, default 70
        progress, **how
            As for `pca`.

        Returns
        -------
        Summary
            Some 100 kB when saved, whatever the size of the database.
        """
        return self.begin("summary", title=title, by=by, bins=bins, **how).run(progress)


def open_database(path: str | Path, **how: Unpack[How]) -> FilterDB:
    """Open a filter database: see :func:`convlens.filterdb.open`."""
    layout = read_layout(Path(path).expanduser())
    rows = np.arange(len(layout.meta), dtype=np.int64)
    return FilterDB(Part(Store(layout), rows), running(Running(), how))
