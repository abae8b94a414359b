"""Filter databases written by pandas' and h5py's own calls."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pandas as pd
import pytest

SIZES = (48, 256, 7, 1, 512)


def frame(sizes: Any = SIZES, **columns: Any) -> pd.DataFrame:
    """One row for each layer, the first three of one model, as CNN Filter DB has them."""
    ends = np.cumsum(sizes)
    ids = [f"{end - size}:{end - 1}" for end, size in zip(ends, sizes, strict=True)]
    model = np.minimum(np.arange(len(sizes)) // 3, 1)
    depth = np.arange(len(sizes)) - 3 * model
    deepest = np.where(model == 0, min(2, len(sizes) - 1), max(len(sizes) - 4, 1))
    index = pd.MultiIndex.from_arrays(
        [model, depth, depth / deepest], names=["model_id", "conv_depth", "conv_depth_norm"]
    )
    said = {
        "filter_ids": ids,
        "Name": np.where(model == 0, "resnet", "vgg"),
        "Task": np.where(model == 0, "Classification", "Segmentation"),
        "Accuracy": np.where(model == 0, 0.5, np.nan),
        "Year": 2020 + model,
        "Pretrained": model == 1,
    }
    return pd.DataFrame({**said, **columns}, index=index)


def filters(sizes: Any = SIZES, seed: int = 0) -> Any:
    """Random filters, (n, 3, 3), float32, whose spread differs by layer."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.standard_normal((n, 3, 3)) * 0.1 * (place + 1) + 0.02 for place, n in enumerate(sizes)
    ]
    return np.concatenate(parts).astype(np.float32)


def write(
    path: Path,
    data: Any = None,
    meta: pd.DataFrame | bytes | None = None,
    *,
    name: str = "filters",
    format: str = "table",
    **how: Any,
) -> Path:
    """Write filters by h5py and the frame by pandas (or, as bytes, by h5py)."""
    pytest.importorskip("tables")
    data = filters() if data is None else data
    meta = frame() if meta is None else meta
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=data, **how)
        if isinstance(meta, bytes):
            file["meta"] = np.frombuffer(meta, dtype=np.uint8)
    if not isinstance(meta, bytes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cast(Any, meta).to_hdf(path, key="meta", format=format)
    return path
