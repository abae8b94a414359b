"""Time what compression and history cost beside the training and the passes that they watch.

Recording: a training step of ResNet-20 at batch 128, with and without a snapshot every 10 steps.
Runs are interleaved, so that a busy machine slows both alike, and the quickest block of each
counts. The report: seconds for ResNet-20 against its 8-bit self on 256 images.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.nn import functional as F

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from convlens import Recorder  # noqa: E402
from convlens.compression import quantize, report  # noqa: E402
from tests.models import CifarResNet  # noqa: E402

EVERY = 10
BATCH = 128


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def recording(device: str, blocks: int, *, cka: bool) -> tuple[float, float, float]:
    """Return seconds per step without and with recording, and those of one snapshot."""
    torch.manual_seed(0)
    model = CifarResNet().to(device)
    x = torch.randn(BATCH, 3, 32, 32, device=device)
    y = torch.randint(0, 10, (BATCH,), device=device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    recorder = Recorder(model, x if cka else None)
    # one thread's processor time does not count what else the machine does
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter

    def block(watched: bool) -> float:
        with recorder.recording(EVERY) if watched else nullcontext():
            wait(device)
            start = clock()
            for _ in range(EVERY):
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            wait(device)
            return (clock() - start) / EVERY

    for watched in (False, True):
        block(watched)
    best = [float("inf"), float("inf")]
    for _ in range(blocks):
        for place, watched in enumerate((False, True)):
            best[place] = min(best[place], block(watched))
    alone = float("inf")
    for _ in range(blocks * 3):
        wait(device)
        start = clock()
        recorder.snapshot()
        wait(device)
        alone = min(alone, clock() - start)
    return best[0], best[1], alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--recording", action="store_true", help="nothing else")
    parser.add_argument("--threads", type=int, help="1: processor time, for a busy machine")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    print("| recording every 10 steps | step (ms) | with it (ms) | overhead | a snapshot (ms) |")
    print("|---|---|---|---|---|")
    for cka in (False, True):
        plain, watched, alone = recording(given.device, given.blocks, cka=cka)
        kept = "quality and CKA" if cka else "quality"
        share = 100 * (watched / plain - 1)
        times = f"{1e3 * plain:.2f} | {1e3 * watched:.2f} | {share:.1f} % | {1e3 * alone:.2f}"
        print(f"| {kept} | {times} |", flush=True)
    if given.recording:
        return
    torch.manual_seed(0)
    model = CifarResNet().eval().to(given.device)
    x = torch.randn(256, 3, 32, 32, device=given.device)
    small = quantize(model, x[:64])
    for isolated in (0, 128):
        start = time.perf_counter()
        report(small, model, x, isolated=isolated)
        wait(given.device)
        took = time.perf_counter() - start
        print(f"report, isolated={isolated}: {took:.1f} s")


if __name__ == "__main__":
    main()
