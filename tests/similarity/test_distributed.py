"""Two gloo processes give the figures of one process that is fed the same batches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convlens import demo
from convlens.similarity import Similarity, compare

ROOT = Path(__file__).parents[2]
WORKER = """
import sys
import torch, torch.distributed as dist
import convlens as cl

dist.init_process_group("gloo")
torch.set_num_threads(1)
rank, folder = dist.get_rank(), sys.argv[1]
digits = cl.demo.load()
batches = list(digits.images[:96].split(16))[rank :: 2]
for measure, reduce in (("cka", None), ("cka_debiased", "mean"), ("mean_cca", "mean")):
    found = cl.compare(digits.model, batches, measure=measure, reduce=reduce)
    found.save(f"{folder}/{measure}-{rank}.npz")
try:
    cl.compare(digits.model, batches, measure="nbs")
except cl.ArgumentError as error:
    print("refused:", error)
def fails(model, batch):
    if rank == 1:
        raise ValueError("bad disk")
    return model(batch)
try:
    cl.compare(digits.model, batches, forward=fails)
except cl.ConvlensError as error:
    print("told:", error)
dist.destroy_process_group()
"""


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path)],
            env={
                **os.environ,
                "RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "PYTHONPATH": str(ROOT),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=240)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)

    digits = demo.load()
    batches = list(digits.images[:96].split(16))
    for measure in ("cka", "cka_debiased", "mean_cca"):
        reduce = None if measure == "cka" else "mean"
        # the full measures take samples in the order of the ranks, which does not matter
        expected = compare(digits.model, batches, measure=measure, reduce=reduce)
        for rank in range(2):
            found = Similarity.load(tmp_path / f"{measure}-{rank}.npz")
            assert (found.n, found.batches) == (96, 6)
            np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-6)
            np.testing.assert_allclose(found.stderr, expected.stderr, atol=1e-6)
    for words in said:
        assert "refused: nbs needs the inner products of all samples" in words
    assert "told: Rank 1 failed: ComparisonError" in said[0]
    assert "bad disk" in said[1]


def test_asking_for_ranks_where_there_are_none() -> None:
    digits = demo.load()
    with pytest.raises(ValueError, match="start with torchrun"):
        compare(digits.model, digits.images[:32], distributed=True)
