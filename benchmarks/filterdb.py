"""Time PCA, histograms and drift of a generated filter database against reading it, and NumPy.

    python benchmarks/filterdb.py --filters 1 3 10 --dask
    python benchmarks/filterdb.py --filters 100 --folder /tmp

Sizes are in millions of filters (36 MB each). The file is written, read once so that it is cached,
read again by plain h5py (the limit, in slices and whole), and measured in processes of their own,
whose peak memory is what Linux saw. The notebook's steps are those of the paper as one writes them
in NumPy, SciPy and scikit-learn; they are run on as many filters as fit, 5 million by default.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

SLICE = 1 << 19
CLOCK = "processor" if "--processor" in sys.argv else "seconds"


def sizes_of(filters: int) -> list[int]:
    """Layers as large as those of large networks, of up to 1,048,576 filters, in models of 30."""
    rng = np.random.default_rng(0)
    sizes: list[int] = []
    left = filters
    while left:
        sizes.append(min(left, int(64 << int(rng.integers(0, 15)))))
        left -= sizes[-1]
    return sizes


def generate(path: Path, filters: int) -> None:
    """Write filters whose kind differs by layer, slice by slice, and their table."""
    import pandas as pd

    from convlens.filterdb.frames import copy_frame_into

    sizes = sizes_of(filters)
    ends = np.cumsum(sizes)
    models = np.arange(len(sizes)) // 30
    frame = pd.DataFrame(
        {
            "model_id": models,
            "conv_depth": np.arange(len(sizes)) % 30,
            "conv_depth_norm": (np.arange(len(sizes)) % 30) / 29,
            "filter_ids": [f"{e - n}:{e - 1}" for e, n in zip(ends, sizes, strict=True)],
            "Task": np.array(["classification", "detection", "segmentation"])[models % 3],
        }
    ).set_index(["model_id", "conv_depth", "conv_depth_norm"])
    rng = np.random.default_rng(1)
    mixes = rng.standard_normal((3, 9, 9), dtype=np.float32)
    with h5py.File(path, "w") as file:
        shape = (filters, 3, 3)
        node = file.create_dataset("filters", shape, "float32", chunks=(1 << 16, 3, 3))
        for start in range(0, filters, SLICE):
            n = min(SLICE, filters - start)
            noise = rng.standard_normal((n, 9), dtype=np.float32)
            task = int(models[np.searchsorted(ends, start, side="right")]) % 3
            node[start : start + n] = (0.05 * noise @ mixes[task]).reshape(-1, 3, 3)
        copy_frame_into(file, "meta", frame)


def read_slices(path: Path) -> None:
    """Read everything, a slice at a time into one array: the quickest that h5py can."""
    with h5py.File(path, "r") as file:
        node: Any = file["filters"]
        memory = np.empty((SLICE, 3, 3), np.float32)
        for start in range(0, len(node), SLICE):
            n = min(SLICE, len(node) - start)
            node.read_direct(memory, np.s_[start : start + n], np.s_[:n])


def read_whole(path: Path) -> None:
    """Read everything at once, as the notebook does."""
    with h5py.File(path, "r") as file:
        file["filters"][...]  # type: ignore[index]


def ours(path: Path, workers: int | None) -> float:
    """PCA, histograms and drift by task, opening the file included."""
    from convlens import filterdb

    return float(filterdb.open(path, workers=workers).drift(by="Task").matrix.max())


def on_dask(path: Path, workers: int) -> float:
    """Do the same on a local cluster; only the measuring is timed."""
    from distributed import Client, LocalCluster

    from convlens import filterdb

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0
        ) as cluster,
        Client(cluster) as client,
    ):
        filterdb.open(path, client=client).select("model_id == 0").drift(by="layer")  # imports
        start = time.perf_counter()
        filterdb.open(path, client=client).drift(by="Task")
        return time.perf_counter() - start


def notebook(path: Path, filters: int) -> float:
    """Take the steps of the paper on filters in memory."""
    from scipy import stats
    from sklearn.decomposition import PCA

    from convlens import filterdb

    task = filterdb.open(path).layers
    with h5py.File(path, "r") as file:
        raw = file["filters"][:filters].reshape(-1, 9)  # type: ignore[index]
    peak = np.abs(raw).max(1, keepdims=True)
    pca = PCA(9)
    coefficients = pca.fit_transform(raw / np.where(peak == 0, 1, peak))
    span = coefficients.min(), coefficients.max()
    group = np.repeat(task["Task"].to_numpy(), task["filters"].to_numpy())[:filters]
    found: list[Any] = []
    for name in np.unique(group):
        own = coefficients[group == name]
        density = np.stack([np.histogram(x, 70, span, density=True)[0] for x in own.T])
        found.append(np.where(density == 0, np.finfo(np.float32).eps, density))
    return max(
        float(
            sum(
                w * (stats.entropy(a, b) + stats.entropy(b, a))
                for w, a, b in zip(pca.explained_variance_ratio_, p, q, strict=True)
            )
        )
        for p in found
        for q in found
    )


WORK = {
    "slices": lambda path, n: read_slices(path),
    "whole": lambda path, n: read_whole(path),
    "convlens": lambda path, n: ours(path, None),
    "convlens, 1 thread": lambda path, n: ours(path, 1),
    "notebook": notebook,
    "dask, 1": lambda path, n: on_dask(path, 1),
    "dask, 2": lambda path, n: on_dask(path, 2),
}


def measured(what: str, path: Path, filters: int, runs: int) -> tuple[float, float]:
    """Return the best time and the peak memory in MB, in a process of its own."""
    best, peak = float("inf"), 0.0
    for _ in range(runs):
        command = [sys.executable, __file__, "--one", what, str(path), str(filters)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout.splitlines()[-1])
        best, peak = min(best, found[CLOCK]), max(peak, found["peak"])
    return best, peak


def one(what: str, path: Path, filters: int) -> None:
    """Do one thing, and print how long it took and how much memory."""
    importlib.import_module("convlens.filterdb.database")  # its import is not what is timed

    start, began = time.perf_counter(), time.process_time()
    result = WORK[what](path, filters)
    seconds, processor = time.perf_counter() - start, time.process_time() - began
    if what.startswith("dask"):
        seconds = float(result or 0)
    text = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(text.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time filter databases.")
    parser.add_argument("--filters", type=float, nargs="+", default=[1, 3], help="in millions")
    parser.add_argument("--notebook", type=float, default=5, help="at most as many, in millions")
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dask", action="store_true")
    parser.add_argument(
        "--processor", action="store_true", help="processor time, for a machine that others use too"
    )
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        one(chosen.one[0], Path(chosen.one[1]), int(chosen.one[2]))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("| filters (M) | what | seconds | M filters / s | of the read | peak memory (MB) |")
    print("|--:|---|--:|--:|--:|--:|")
    for millions in chosen.filters:
        filters = int(millions * 1e6)
        path = chosen.folder / f"convlens-benchmark-{os.getpid()}.h5"
        try:
            generate(path, filters)
            report(path, filters, chosen)
        finally:
            path.unlink(missing_ok=True)


def report(path: Path, filters: int, chosen: argparse.Namespace) -> None:
    """Print a row for each way to go through one file."""
    read_slices(path)
    names = ["slices", "whole", "convlens", "convlens, 1 thread"]
    if chosen.dask:
        names += ["dask, 1", "dask, 2"]
    if filters <= chosen.notebook * 1e6:
        names.append("notebook")
    read = 0.0
    for name in names:
        seconds, peak = measured(name, path, filters, chosen.runs)
        read = read or seconds
        label = {"slices": "h5py, in slices", "whole": "h5py, whole"}.get(name, name)
        print(
            f"| {filters / 1e6:g} | {label} | {seconds:.2f} | {filters / seconds / 1e6:.1f} "
            f"| {read / seconds:.2f} | {peak:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
