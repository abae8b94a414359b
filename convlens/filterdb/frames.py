"""Read and write the tables in which pandas keeps a frame inside an HDF5 file.

Reading goes through h5py alone, so that no pickle is opened but by the allow-list of
`convlens.filterdb.pickles`; writing goes through pandas and PyTables, as ``format="table"``, which
holds no pickled objects and which ``pandas.read_hdf`` gives back as it was.
"""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from convlens.filterdb.errors import FilterDBError, UnsafePickleError
from convlens.filterdb.pickles import safe_loads

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["copy_frame_into", "read_frame"]


def read_frame(node: Any) -> pd.DataFrame:
    """Read a frame that pandas wrote, in any of its forms, or CSV kept as bytes.

    Parameters
    ----------
    node : h5py.Group or h5py.Dataset
        ``/meta``: a group that ``DataFrame.to_hdf`` made, fixed or table, or a data set of bytes
        that are CSV, as the notebook of CNN Filter DB reads it.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    UnsafePickleError
        If it asks for anything beyond arrays and text.
    FilterDBError
        If it is no frame, or a damaged one.
    """
    try:
        if hasattr(node, "dtype"):
            return _csv(node)
        kind = _attribute(node, "pandas_type")
        if kind == "frame":
            return _fixed(node)
        if kind == "frame_table":
            return _table(node)
    except (UnsafePickleError, FilterDBError):
        raise
    except (KeyError, IndexError, TypeError, ValueError, OSError, RuntimeError) as error:
        raise FilterDBError(
            f"{node.name} is no frame that could be read ({type(error).__name__}: {error})."
        ) from error
    raise FilterDBError(
        f"{node.name} holds no pandas frame (its pandas_type is {kind!r}): it should be what "
        "DataFrame.to_hdf writes."
    )


def copy_frame_into(file: Any, name: str, frame: pd.DataFrame) -> None:
    """Write a frame as ``to_hdf(format="table")`` does, into a file that h5py has open.

    Parameters
    ----------
    file : h5py.File
    name : str
        Of the group; one that is there is replaced.
    frame : pandas.DataFrame
        Columns of numbers, booleans or text.
    """
    import h5py

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # names that are no Python names, and nothing else
        warnings.simplefilter("ignore")
        path = Path(folder) / "frame.h5"
        frame.to_hdf(path, key=name, format="table", index=False)
        with h5py.File(path, "r") as source:
            if name in file:
                del file[name]
            source.copy(name, file)


def _csv(node: Any) -> pd.DataFrame:
    import pandas as pd

    data = node[()]
    text = data if isinstance(data, bytes) else np.asarray(data).tobytes()
    return pd.read_csv(io.StringIO(text.decode("utf-8")))


# A frame of fixed format: its axes, and one array for each kind of column. ----------------------


def _fixed(group: Any) -> pd.DataFrame:
    import pandas as pd

    columns = _axis(group, "axis0")
    index = _axis(group, "axis1")
    found: dict[Any, Any] = {}
    for number in range(int(group.attrs["nblocks"])):
        names = _index(group[f"block{number}_items"])
        values = _array(group[f"block{number}_values"])
        if values.ndim == 1:  # an extension array: one column
            values = values.reshape(1, -1)
        for place, name in enumerate(names):
            found[name] = values[place]
    frame = pd.DataFrame({name: found[name] for name in columns}, index=index)
    return frame if len(columns) else pd.DataFrame(index=index)


def _axis(group: Any, name: str) -> pd.Index:
    import pandas as pd

    if _attribute(group, f"{name}_variety") != "multi":
        return _index(group[name])
    levels: list[Any] = []
    codes: list[Any] = []
    names: list[Any] = []
    for number in range(int(group.attrs[f"{name}_nlevels"])):
        level = group[f"{name}_level{number}"]
        levels.append(_index(level))
        codes.append(_array(group[f"{name}_label{number}"]))
        names.append(_attribute(level, "name"))
    return pd.MultiIndex(levels=levels, codes=codes, names=names)


def _index(node: Any) -> pd.Index:
    import pandas as pd

    values = _array(node)
    if values.dtype.kind == "S":
        values = np.array([_text(value) for value in values], dtype=object)
    return pd.Index(values, name=_attribute(node, "name"))


def _array(node: Any) -> Any:
    """Read an array as pandas stores it, transposed or pickled where it says so."""
    import h5py

    if node.dtype.kind == "O":  # bytes of any length: a pickle in each
        values: Any = [safe_loads(np.asarray(item).tobytes()) for item in node[()]]
        found: Any = values[0] if values else np.empty(0, dtype=object)
        if not isinstance(found, np.ndarray):
            raise FilterDBError(f"{node.name} holds a pickle that is no array.")
    else:
        found = node[()]
        if node.id.get_type().get_class() == h5py.h5t.BITFIELD:  # PyTables' way to say bool
            found = found.astype(bool)
        shape: Any = node.attrs.get("shape")
        if shape is not None:  # an empty array, which HDF5 cannot hold
            found = cast(Any, np.empty([int(side) for side in shape], dtype=object))
        kind = _attribute(node, "value_type")
        if isinstance(kind, str) and kind.startswith("datetime64"):
            found = found.astype(np.int64).view(_resolution(kind))
    whole = cast(Any, found)
    return whole.T if node.attrs.get("transposed", 0) else whole


# A frame of table format: rows of a compound type, and attributes that name the columns. ---------


def _table(group: Any) -> pd.DataFrame:
    import pandas as pd

    table = group["table"]
    rows: Any = table[()]
    nothing = _attribute(group, "nan_rep")
    nothing = "nan" if nothing is None else nothing
    found: dict[Any, Any] = {}
    for name in rows.dtype.names:
        if name == "index":
            continue
        kind = _attribute(table, f"{name}_kind")
        names: list[Any] = list(cast(Any, kind)) if isinstance(kind, list) else [name]
        dtype = _attribute(table, f"{name}_dtype")
        values = rows[name]
        values = values if values.ndim == 2 else values.reshape(-1, 1)
        absent = _attribute(table, f"{name}_nan_rep") or nothing
        for place, column in enumerate(names):
            found[column] = _column(values[:, place], str(dtype), absent)
    axes = _attribute(group, "non_index_axes")
    order = [name for name in axes[0][1] if name in found]
    frame = cast(Any, pd.DataFrame({name: found[name] for name in order}))
    levels = _attribute(group, "levels")
    if isinstance(levels, list):
        return frame.set_index(levels)
    index = rows["index"]
    if index.dtype.kind == "S":
        index = [_text(value) for value in index]
    return frame.set_axis(pd.Index(index, name=_index_name(group)), axis=0)


def _index_name(group: Any) -> Any:
    info = _attribute(group, "info")
    about: Any = cast(Any, info).get("index") if isinstance(info, dict) else None
    return cast(Any, about).get("index_name") if isinstance(about, dict) else None


def _column(values: Any, dtype: str, absent: str) -> Any:
    if values.dtype.kind == "S":
        text = [_text(value) for value in values]
        return np.array([np.nan if value == absent else value for value in text], dtype=object)
    if dtype == "bool":
        return values.astype(bool)
    if dtype.startswith("datetime64"):
        return values.astype(np.int64).view(_resolution(dtype))
    return values


def _attribute(node: Any, name: str) -> Any:
    """Read an attribute as PyTables does: bytes that are a pickle are one."""
    value = node.attrs.get(name)
    if isinstance(value, np.generic):
        value = cast(Any, value).item()
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if not isinstance(value, bytes):
        return value
    if value.endswith(b".") and len(value) > 1:
        try:
            return safe_loads(value)
        except UnsafePickleError:
            raise
        except FilterDBError:
            pass  # text that ends in a full stop
    return value.decode("utf-8", "replace")


def _resolution(dtype: str) -> str:
    """Older versions of pandas had one resolution, and did not say so."""
    return dtype if "[" in dtype and "," not in dtype else "datetime64[ns]"


def _text(value: Any) -> str:
    return bytes(value).decode("utf-8", "replace")
