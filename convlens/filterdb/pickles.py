"""Read the pickles in which pandas and PyTables keep text, and no others.

A pickle may name any function of any installed module and have it called. Frames need a handful of
names that build arrays; whatever else is named, is refused before it is even imported.
"""

from __future__ import annotations

import importlib
import io
import pickle
from typing import Any

from convlens.filterdb.errors import FilterDBError, UnsafePickleError

__all__ = ["safe_loads"]

# What NumPy has called its own modules, over time: (module, name) -> where it is today.
_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_ALLOWED = {
    *((module, "_reconstruct") for module in _ARRAYS),
    *((module, "scalar") for module in _ARRAYS),
    *((module, "_frombuffer") for module in _NUMERIC),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # how Python 2 and protocol 2 spell bytes
    ("datetime", "datetime"),
    ("datetime", "date"),
    ("datetime", "timedelta"),
    ("collections", "OrderedDict"),
}


class _AllowList(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise UnsafePickleError(
                f"The metadata holds a pickle that asks for {module_name}.{global_name}, which no "
                "table needs; it was refused and nothing of it was run. Have the file written with "
                'format="table", which holds no objects.'
            )
        if module_name.startswith("numpy.core."):  # without NumPy's warning that it has moved
            module_name = module_name.replace("numpy.core.", "numpy._core.", 1)
        try:
            return getattr(importlib.import_module(module_name), global_name)
        except ImportError:  # NumPy 1 has no _core
            old = module_name.replace("numpy._core.", "numpy.core.", 1)
            return getattr(importlib.import_module(old), global_name)

    def persistent_load(self, pid: Any, /) -> Any:
        raise UnsafePickleError("The metadata holds a pickle with references; it was refused.")


def safe_loads(data: bytes) -> Any:
    """Unpickle arrays, text, numbers and lists of them.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    object

    Raises
    ------
    UnsafePickleError
        If the pickle names anything else; it is not imported, and nothing is called.
    FilterDBError
        If this is no whole pickle.

    Examples
    --------
    >>> import pickle
    >>> safe_loads(pickle.dumps(["a", 1]))
    ['a', 1]
    """
    try:
        return _AllowList(io.BytesIO(data)).load()
    except UnsafePickleError:
        raise
    # Whatever a damaged stream makes of the machine: EOFError, KeyError, IndexError, TypeError, ...
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise FilterDBError(f"A pickle in the metadata is damaged ({said}).") from error
