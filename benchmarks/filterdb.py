"""Time PCA, histograms and drift of a generated filter database against reading it, and NumPy.

    python benchmarks/filterdb.py --filters 1 3 10 30 100 --dask

Sizes are in millions of filters (36 MB each). A file of each is written and read once, so that it
is cached. Then one process reads it by plain h5py (the limit), and measures it with all threads and
with one, in turns; its peak memory is what Linux saw. Loading libraries, and compiling, is not what
is timed there: the first call of a fresh process has a line of its own. The notebook's steps are
those of the paper as one writes them in NumPy, SciPy and scikit-learn, on as many filters as fit,
5 million by default, in a file of that size. What the figures are to be is printed beside them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

SLICE = 1 << 19
CLOCK = "processor" if "--processor" in sys.argv else "seconds"


def sizes_of(filters: int) -> list[int]:
    """Layers as large as those of large networks, of up to 1,048,576 filters."""
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
    layers = np.arange(len(sizes))
    frame = pd.DataFrame(
        {
            "model_id": layers // 30,
            "conv_depth": layers % 30,
            "conv_depth_norm": (layers % 30) / 29,
            "filter_ids": [f"{e - n}:{e - 1}" for e, n in zip(ends, sizes, strict=True)],
            "Task": np.array(["classification", "detection", "segmentation"])[layers % 3],
        }
    ).set_index(["model_id", "conv_depth", "conv_depth_norm"])
    rng = np.random.default_rng(1)
    mixes = 0.05 * rng.standard_normal((3, 9, 9), dtype=np.float32)
    with h5py.File(path, "w") as file:
        shape = (filters, 3, 3)
        node = file.create_dataset("filters", shape, "float32", chunks=(1 << 16, 3, 3))
        for start in range(0, filters, SLICE):
            stop = min(start + SLICE, filters)
            noise = rng.standard_normal((stop - start, 9), dtype=np.float32)
            first, last = np.searchsorted(ends, (start, stop - 1), side="right")
            for layer in range(first, last + 1):
                own = slice(max(0, ends[layer] - sizes[layer] - start), ends[layer] - start)
                noise[own] = noise[own] @ mixes[layer % 3]
            node[start:stop] = noise.reshape(-1, 3, 3)
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


def ours(path: Path, workers: int | None = None, client: Any = None) -> Any:
    """PCA, histograms and drift by task, opening the file included."""
    from convlens import filterdb

    return filterdb.open(path, workers=workers, client=client).drift(by="Task").matrix


def notebook(path: Path) -> Any:
    """Take the steps of the paper on filters in memory."""
    from scipy import stats
    from sklearn.decomposition import PCA

    from convlens import filterdb

    task = filterdb.open(path).layers
    with h5py.File(path, "r") as file:
        raw = file["filters"][...].reshape(-1, 9)  # type: ignore[index]
    peak = np.abs(raw).max(1, keepdims=True)
    pca = PCA(9)
    coefficients = pca.fit_transform(raw / np.where(peak == 0, 1, peak))
    span = coefficients.min(), coefficients.max()
    group = np.repeat(task["Task"].to_numpy(), task["filters"].to_numpy())
    found: list[Any] = []
    for name in np.unique(group):
        own = coefficients[group == name]
        density = np.stack([np.histogram(x, 70, span, density=True)[0] for x in own.T])
        found.append(np.where(density == 0, np.finfo(np.float32).eps, density))
    pairs = [
        sum(
            w * (stats.entropy(a, b) + stats.entropy(b, a))
            for w, a, b in zip(pca.explained_variance_ratio_, p, q, strict=True)
        )
        for p in found
        for q in found
    ]
    return np.array(pairs).reshape(len(found), -1)


def timed(calls: dict[str, Callable[[], Any]], runs: int) -> dict[str, Any]:
    """Call each in turns; give the best time of each and what it returned."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    figures: dict[str, Any] = {}
    for _ in range(runs):
        for name, call in calls.items():
            wall, processor = time.perf_counter(), time.process_time()
            figures[name] = call()
            both = (time.perf_counter() - wall, time.process_time() - processor)
            seconds[name].append(both[CLOCK == "processor"])
    return {
        name: {
            "seconds": min(seconds[name]),
            "figures": None if figures[name] is None else np.asarray(figures[name]).tolist(),
        }
        for name in calls
    }


def one(what: str, path: Path, runs: int) -> dict[str, Any]:
    """Do one thing, in this process."""
    if what == "whole":
        return timed({"h5py, whole": lambda: read_whole(path)}, runs)
    if what == "notebook":
        importlib.import_module("sklearn.decomposition")
        return timed({"notebook": lambda: notebook(path)}, min(runs, 2))
    if what == "first":
        importlib.import_module("convlens.filterdb.database")
        return timed({"first": lambda: ours(path)}, 1)
    if what.startswith("dask"):
        return on_dask(path, int(what.split()[1]), runs)
    ours(path)  # loads what is needed
    calls = {
        "h5py, in slices": lambda: read_slices(path),
        "convlens": lambda: ours(path),
        "convlens, 1 thread": lambda: ours(path, 1),
    }
    return timed(calls, runs)


def on_dask(path: Path, workers: int, runs: int) -> dict[str, Any]:
    """Do it on a local cluster, which is there already."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0
        ) as cluster,
        Client(cluster) as client,
    ):
        ours(path, client=client)  # loads what is needed
        return timed({f"dask, {workers}": lambda: ours(path, client=client)}, runs)


def measured(what: str, path: Path, runs: int, **environment: str) -> dict[str, dict[str, Any]]:
    """Do one thing in a process of its own; give seconds, figures and its peak memory in MB."""
    command = [sys.executable, __file__, "--one", what, str(path), str(runs)]
    command += ["--processor"] if CLOCK == "processor" else []
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Time filter databases.")
    parser.add_argument("--filters", type=float, nargs="+", default=[1, 3], help="in millions")
    parser.add_argument("--notebook", type=float, default=5, help="in millions; 0 leaves it out")
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dask", action="store_true", help="at the largest size")
    parser.add_argument(
        "--processor", action="store_true", help="processor time, for a machine that others use too"
    )
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        found = one(chosen.one[0], Path(chosen.one[1]), int(chosen.one[2]))
        text = Path("/proc/self/status").read_text(encoding="ascii")
        for row in found.values():
            row["peak"] = int(text.split("VmHWM:")[1].split()[0]) / 1024
        print(json.dumps(found))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("| filters (M) | what | seconds | M filters / s | of the read | peak memory (MB) |")
    print("|--:|---|--:|--:|--:|--:|")
    wanted: list[float] = [*chosen.filters, *([chosen.notebook] if chosen.notebook else [])]
    sizes = sorted(set(wanted))
    rows: dict[float, dict[str, dict[str, Any]]] = {}
    for size in sizes:
        path = chosen.folder / f"convlens-benchmark-{os.getpid()}.h5"
        try:
            generate(path, int(size * 1e6))
            read_slices(path)
            rows[size] = report(path, size, sizes, chosen)
        finally:
            path.unlink(missing_ok=True)
    conclude(rows, chosen)


def report(
    path: Path, size: float, sizes: list[float], chosen: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Print a row for each way to go through one file."""
    found: dict[str, dict[str, Any]] = {}
    if size == sizes[0]:
        with tempfile.TemporaryDirectory() as empty:
            for name in ("first, compiling", "first"):
                found[name] = measured("first", path, 1, NUMBA_CACHE_DIR=empty)["first"]
    found |= measured("ours", path, chosen.runs) | measured("whole", path, chosen.runs)
    if size == chosen.notebook:
        found |= measured("notebook", path, chosen.runs)
    if chosen.dask and size == sizes[-1]:
        found |= measured("dask 1", path, chosen.runs) | measured("dask 2", path, chosen.runs)
    read = found["h5py, in slices"]["seconds"]
    for name, row in found.items():
        seconds = row["seconds"]
        of_read = "" if name.startswith("first") else f"{read / seconds:.2f}"
        print(
            f"| {size:g} | {name} | {seconds:.3f} | {size / seconds:.1f} | {of_read} "
            f"| {row['peak']:.0f} |",
            flush=True,
        )
    return found


def conclude(rows: dict[float, dict[str, dict[str, Any]]], chosen: argparse.Namespace) -> None:
    """Print what came of it beside what it should be."""
    sizes = np.array(sorted(rows))
    most = rows[sizes[-1]]
    seconds = np.array([rows[size]["convlens"]["seconds"] for size in sizes])
    read = most["h5py, in slices"]["seconds"] / seconds[-1]
    whole = most["h5py, whole"]["seconds"] / seconds[-1]
    peak = max(found["convlens"]["peak"] for found in rows.values())
    print(f"\n{sizes[-1]:g} million filters: {sizes[-1] / seconds[-1]:.1f} million a second")
    print(f"- of the read in slices: {read:.2f}, of the read at once {whole:.2f} (aim 0.5)")
    print(f"- peak memory: {peak:.0f} MB (aim 1000)")
    one_thread = most["convlens, 1 thread"]["seconds"] / seconds[-1]
    print(f"- all threads against one: {one_thread:.2f} times")
    if chosen.notebook:
        found = rows[chosen.notebook]
        times = found["notebook"]["seconds"] / found["convlens"]["seconds"]
        apart = differ(found["notebook"], found["convlens"])
        print(f"- against the notebook: {times:.1f} times (aim 5); drifts differ by {apart:.1e}")
    if chosen.dask:
        times = most["dask, 1"]["seconds"] / most["dask, 2"]["seconds"]
        apart = differ(most["dask, 2"], most["convlens"])
        print(f"- dask, 2 workers against 1: {times:.2f} times (aim 1.6); differ by {apart:.1e}")
    if len(sizes) > 2:
        # In relative terms: so that 1 million counts as much as 100.
        slope, start = np.polyfit(sizes, seconds, 1, w=1 / seconds)
        off = np.abs(seconds / (start + slope * sizes) - 1)
        print(
            f"- time against size: {start * 1e3:.0f} ms + {slope * 1e3:.1f} ns a filter; furthest "
            f"off that line {off.max():.0%}, at {sizes[off.argmax()]:g} million"
        )


def differ(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest difference between two results."""
    return float(np.abs(np.array(one["figures"]) - np.array(other["figures"])).max())


if __name__ == "__main__":
    main()
