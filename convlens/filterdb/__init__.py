"""A filter database: how a network's filters compare with those of others, at any scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convlens.filterdb.coefficients import Coefficients
from convlens.filterdb.database import FilterDB, open_database
from convlens.filterdb.drift import Drift
from convlens.filterdb.errors import FilterDBError, UnsafePickleError
from convlens.filterdb.export import begin_export, export
from convlens.filterdb.how import How
from convlens.filterdb.job import Job
from convlens.filterdb.model_drift import LayerDrift, ModelDrift, begin_drift, drift
from convlens.filterdb.pca import PCA
from convlens.filterdb.phenotype import PHENOTYPES, Phenotypes
from convlens.filterdb.quality import DatabaseQuality
from convlens.filterdb.sources import CheckpointOf
from convlens.filterdb.summary import Summary, shipped

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "PCA",
    "PHENOTYPES",
    "CheckpointOf",
    "Coefficients",
    "DatabaseQuality",
    "Drift",
    "FilterDB",
    "FilterDBError",
    "Job",
    "LayerDrift",
    "ModelDrift",
    "Phenotypes",
    "Summary",
    "UnsafePickleError",
    "begin_drift",
    "begin_export",
    "drift",
    "export",
    "open",
    "shipped",
]


def open(path: str | Path, **how: Unpack[How]) -> FilterDB:  # noqa: A001 - reads as filterdb.open
    """Open a filter database: CNN Filter DB's files, and those of `export`.

    Only the table of layers is read; filters are when something is measured of them.

    Parameters
    ----------
    path : str or pathlib.Path
        HDF5 with ``/filters`` or ``/filter``, (n, height, width) or (n, taps), float32 or float64,
        and ``/meta``: a frame that pandas wrote, fixed or table, or CSV (v1.0.0, v0.1.0).
    **how : object
        `device`, `workers`, `client`, `checkpoint`: how it is measured by default, see
        :meth:`FilterDB.begin`.

    Returns
    -------
    FilterDB

    Raises
    ------
    FilterDBError
        If the file is missing, damaged, or of another layout; the message says where.
    UnsafePickleError
        If its metadata holds a pickle of anything but arrays and text; nothing of it is run.

    Examples
    --------
    >>> import convlens as cl
    >>> cl.filterdb.open("nothing.h5")
    Traceback (most recent call last):
    ...
    convlens.filterdb.errors.FilterDBError: There is no file 'nothing.h5'.
    """
    return open_database(path, **how)
