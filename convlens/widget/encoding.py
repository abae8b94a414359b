"""Results to JSON headers and raw buffers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

_DTYPES = ("float32", "uint8", "uint16", "uint32", "int32")


def encode(
    header: Mapping[str, object], arrays: Mapping[str, npt.NDArray[Any]] | None = None
) -> tuple[dict[str, Any], list[memoryview]]:
    """Turn a reply into what a Jupyter comm can carry.

    Parameters
    ----------
    header
        Small values; NaN and infinities become null, which JSON has no word for.
    arrays
        Arrays by name, of dtype float32, uint8, uint16, uint32 or int32.

    Returns
    -------
    header, buffers
        The header with ``arrays: [{name, dtype, shape}]`` in the order of the buffers, which
        are little endian and in C order.
    """
    clean = cast(dict[str, Any], _clean(header))
    described: list[dict[str, Any]] = []
    buffers: list[memoryview] = []
    for name, array in (arrays or {}).items():
        if array.dtype.name not in _DTYPES:
            raise TypeError(f"array {name!r} has dtype {array.dtype}; the wire has {_DTYPES}")
        little = np.ascontiguousarray(array).astype(f"<{array.dtype.str[1:]}", copy=False)
        described.append({"name": name, "dtype": array.dtype.name, "shape": list(array.shape)})
        # an empty view cannot be cast to bytes
        buffers.append(memoryview(cast(Any, little)).cast("B") if little.size else memoryview(b""))
    if described:
        clean["arrays"] = described
    return clean, buffers


def _clean(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(k): _clean(v) for k, v in cast(Mapping[object, object], value).items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in cast(list[object], value)]
    if isinstance(value, np.generic):
        value = cast(object, value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
