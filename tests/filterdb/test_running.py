"""How measurements run: in steps, stopped and gone on with, on dask workers that may die."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convlens as cl
from convlens import filterdb
from convlens.filterdb import reading
from convlens.filterdb.cluster import tasks_of
from tests.filterdb import files

pytest.importorskip("tables")

SIZES = (30_000, 1_000, 20_000, 5, 9_000)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("convlens.filterdb.part.CHUNK", 5_000)
    return files.write(tmp_path / "a.h5", files.filters(SIZES), files.frame(SIZES))


def same(one: filterdb.Drift, other: filterdb.Drift) -> None:
    assert np.abs(one.matrix - other.matrix).max() < 1e-8
    assert np.abs(one.floor - other.floor).max() < 1e-8


def test_in_steps(path: Path) -> None:
    job = filterdb.open(path).begin("drift", by="Name")
    assert not job.finished
    stages = []
    for step in job:
        assert 0 < step.done <= step.total == sum(SIZES)
        stages.append(step.stage)
    assert len(stages) == 3 * 13  # chunks of 5,000
    assert len(dict.fromkeys(stages)) == 3
    same(job.result(), filterdb.open(path).drift(by="Name"))


def test_stopped_and_gone_on_with(path: Path, tmp_path: Path) -> None:
    expected = filterdb.open(path).drift(by="layer")
    kept = tmp_path / "checkpoint"
    read: list[int] = []
    rows = reading.Source._rows

    def counted(source: Any, start: int, stop: int) -> Any:
        read.append(stop - start)
        return rows(source, start, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading.Source, "_rows", counted)
        left, stops = 20, 0
        while True:
            seen: list[int] = []

            def stop(job: Any) -> bool:
                seen.append(job.done)  # noqa: B023 - called before the next turn
                return len(seen) < left  # noqa: B023

            db = filterdb.open(path, checkpoint=kept, workers=1)
            try:
                found = db.drift(by="layer", progress=stop)
                break
            except cl.Cancelled:
                stops += 1
    assert stops >= 2
    same(found, expected)
    assert sum(read) < 1.2 * 3 * sum(SIZES)  # hardly anything was read again


def test_a_checkpoint_of_other_filters_is_not_used(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "checkpoint"
    filterdb.open(path, checkpoint=kept).pca()
    files.write(path, files.filters(SIZES, seed=1), files.frame(SIZES))
    os.utime(path, (1, 1))
    again = filterdb.open(path, checkpoint=kept).pca()
    assert (again.components == filterdb.open(path).pca().components).all()


def test_a_damaged_checkpoint_is_begun_anew(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "checkpoint"
    expected = filterdb.open(path, checkpoint=kept).pca()
    for file in kept.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert (filterdb.open(path, checkpoint=kept).pca().components == expected.components).all()


def test_what_is_known_is_not_read_again(path: Path) -> None:
    db = filterdb.open(path)
    db.drift(by="layer")
    job = db.select(Name="vgg").begin("pca")
    assert not job.step()
    assert job.result().n == 9_005


def test_threads_are_left_as_they_were(path: Path) -> None:
    before = torch.get_num_threads(), torch.random.get_rng_state()
    job = filterdb.open(path, workers=3).begin("pca")
    job.step()
    job.close()
    assert torch.get_num_threads() == before[0]
    assert (torch.random.get_rng_state() == before[1]).all()


def test_a_bar(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filterdb.open(path).pca(progress=True)
    assert "60,005 of 60,005" in capsys.readouterr().err


@pytest.mark.gpu
def test_on_a_gpu(path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    same(
        filterdb.open(path, device="cuda").drift(by="layer"), filterdb.open(path).drift(by="layer")
    )


class Dies:
    """A kernel whose first piece kills the worker it is measured on."""

    def __init__(self, kernel: Any, mark: str) -> None:
        self.kernel, self.mark = kernel, mark

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.kernel, name)

    def measure(self, rows: Any, slot: int, device: str) -> Any:
        if slot == 2 and not Path(self.mark).exists():
            Path(self.mark).touch()
            os._exit(1)
        return self.kernel.measure(rows, slot, device)


@pytest.mark.parametrize("threads", [1, 2, 7, 100])
@pytest.mark.parametrize("chunks", [0, 1, 5, 191, 1000])
def test_tasks_of_a_cluster(chunks: int, threads: int) -> None:
    tasks = [range(task.start, task.stop) for task in tasks_of(chunks, threads)]
    assert [chunk for task in tasks for chunk in task] == list(range(chunks))
    sizes = [len(task) for task in tasks]
    assert sizes == sorted(sizes, reverse=True)
    # A thread that has the longest task alone has no more than its share of what there is.
    assert not sizes or sizes[0] <= max(4, chunks / threads)


def test_on_a_cluster_whose_worker_dies(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", root)
    expected = filterdb.open(path).drift(by="layer")
    mark = tmp_path / "died"
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = filterdb.open(path, client=client).drift(by="layer")
        assert np.array_equal(found.matrix, expected.matrix, equal_nan=True)  # to the last bit
        moments = filterdb.open(path).pca()

        def dying(*arguments: Any) -> Any:
            return Dies(Moments(*arguments), str(mark))

        from convlens.filterdb.kernels import Moments

        monkeypatch.setattr("convlens.filterdb.measuring.Moments", dying)
        found = filterdb.open(path, client=client).pca()
        assert mark.exists()
        assert np.abs(found.components - moments.components).max() < 1e-8
        assert found.n == moments.n
