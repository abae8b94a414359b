"""Time `measure_quality` against torchconvquality, and compare what they find.

Both measure the 3 x 3 convolutions of a ResNet-18 and a ResNet-50 as they are for ImageNet, with
seeded weights whose structure is like that of trained ones. All figures of convlens are computed,
orthogonality included. Each tool runs in a process of its own that has loaded the weights, as its
user's would, and the passes that numba compiles, and the processes take turns. Needs the `bench`
and `fast` extras.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor, nn

GOAL = 10.0
TOLERANCE = 1e-5
STAGES = {"ResNet-18": (4, 4, 4, 4), "ResNet-50": (3, 4, 6, 3)}
TOOLS = (
    "torchconvquality",
    "convlens",
    "convlens-without-numba",
    "convlens-without-orthogonality",
    "read",
)


def shapes(net: str) -> list[tuple[int, int]]:
    """Return (out, in) of each 3 x 3 convolution of an ImageNet ResNet."""
    found: list[tuple[int, int]] = []
    for width, count in zip((64, 128, 256, 512), STAGES[net], strict=True):
        found += [(width, width)] * count
    if net == "ResNet-18":  # its stages begin with twice the width of the one before
        for first, width in ((4, 128), (8, 256), (12, 512)):
            found[first] = (width, width // 2)
    return found


def trained_like(out: int, inputs: int, depth: float, generator: torch.Generator) -> Tensor:
    """Draw a weight whose patterns are uneven, whose sizes are spread, of which some are dead.

    `depth` runs from 0 to 1: the deeper, the less diverse.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    basis = torch.linalg.qr(normal(9, 9)).Q
    strength = torch.exp(-(0.15 + 0.35 * depth) * torch.arange(9.0))
    size = torch.exp(0.6 * normal(out * inputs, 1))
    size[torch.rand(out * inputs, generator=generator) < 0.03] *= 1e-4
    rows = (normal(out * inputs, 9) * strength) @ basis * size
    # What outputs have in common: a part of low rank.
    common = (normal(out, 8) @ normal(8, inputs * 9)).view_as(rows) * 0.05 * rows.std()
    rows = torch.where(size > 0.01, rows + common, rows)
    return rows.view(out, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5


def empty(net: str) -> nn.Sequential:
    """Return the convolutions of a network, to be loaded."""
    return nn.Sequential(*(nn.Conv2d(i, o, 3, bias=False) for o, i in shapes(net)))


def drawn(net: str) -> nn.Sequential:
    """Return the convolutions of a network with seeded weights."""
    generator = torch.Generator().manual_seed(0)
    model = empty(net)
    with torch.no_grad():
        for place, weight in enumerate(model.parameters()):
            depth = place / (len(model) - 1)
            weight.copy_(trained_like(weight.shape[0], weight.shape[1], depth, generator))
    return model


def call_of(tool: str, model: nn.Module) -> Callable[[], object]:
    """Return what is timed."""
    if tool == "torchconvquality":
        from torchconvquality import (  # pyright: ignore[reportMissingImports]
            measure_quality as measure_theirs,
        )

        return lambda: measure_theirs(model)
    if tool == "read":  # every weight once: the limit for anything that looks at them
        return lambda: [torch.aminmax(weight.detach()) for weight in model.parameters()]
    if tool == "convlens-without-numba":
        sys.modules["numba"] = None  # pyright: ignore[reportArgumentType]
    from convlens import compiled, measure_quality

    compiled.load()  # as who measures more than once has it
    everything = tool != "convlens-without-orthogonality"
    return lambda: measure_quality(model, orthogonality=everything)


def work(tool: str, net: str, weights: str) -> None:
    """Time one call for each line that comes in."""
    model = empty(net)
    model.load_state_dict(torch.load(weights, weights_only=True))
    call = call_of(tool, model)
    for _ in sys.stdin:
        start = time.perf_counter()
        call()
        print(time.perf_counter() - start, flush=True)


def timed(net: str, weights: str, runs: int, threads: int) -> dict[str, list[float]]:
    """Let the tools take turns, each in its own process; return all seconds of each."""
    times: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with ExitStack() as stack:
        workers: dict[str, subprocess.Popen[str]] = {}
        for tool in TOOLS:
            command = [sys.executable, __file__, "--work", tool, net, weights]
            worker = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            workers[tool] = stack.enter_context(worker)
        for _ in range(runs + 1):
            for tool, worker in workers.items():
                assert worker.stdin is not None
                assert worker.stdout is not None
                print("go", file=worker.stdin, flush=True)
                times[tool].append(float(worker.stdout.readline()))
        for worker in workers.values():
            assert worker.stdin is not None
            worker.stdin.close()
    return times


def largest_difference(model: nn.Module) -> float:
    """Compare all that torchconvquality reports; relative, but of values below 1e-3 absolute."""
    from torchconvquality import (  # pyright: ignore[reportMissingImports]
        measure_quality as measure_theirs,
    )

    from convlens import compiled, measure_quality

    if missing := compiled.load():
        raise SystemExit(f"The compiled passes are not there ({missing}): install convlens[fast].")
    theirs, ours = measure_theirs(model), measure_quality(model).to_dict()
    assert list(theirs) == list(ours), "the layers differ"
    worst = 0.0
    for name, row in theirs.items():
        assert list(row) == list(ours[name]), "the keys differ"
        for figure, value in row.items():
            found = ours[name][figure]
            assert found is not None
            worst = max(worst, abs(found - float(value)) / max(abs(float(value)), 1e-3))
    return worst


def processor() -> str:
    """Name the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(*chosen.work)
        return
    print(
        f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; torch "
        f"{torch.__version__} with {chosen.threads} threads; median (best) of {chosen.runs} runs\n"
    )
    heads = (
        "3 x 3 convolutions of",
        "weights",
        "torchconvquality",
        "convlens",
        "without numba",
        "without orthogonality",
        "one read",
        "times faster",
        "largest difference",
    )
    print(f"| {' | '.join(heads)} |\n|---|{'--:|' * (len(heads) - 1)}")
    wrong: list[str] = []
    for net in STAGES:
        model = drawn(net)
        difference = largest_difference(model)
        with tempfile.TemporaryDirectory() as folder:
            weights = f"{folder}/weights.pt"
            torch.save(model.state_dict(), weights)
            times = timed(net, weights, chosen.runs, chosen.threads)
        middle = {tool: statistics.median(taken[1:]) for tool, taken in times.items()}
        best = {tool: min(taken[1:]) for tool, taken in times.items()}
        ratio, ratio_of_best = (of["torchconvquality"] / of["convlens"] for of in (middle, best))
        cells = [
            f"{net}, {len(shapes(net))} layers",
            f"{sum(weight.numel() for weight in model.parameters()) / 1e6:.1f} M",
            *(f"{1e3 * middle[tool]:.3g} ({1e3 * best[tool]:.3g}) ms" for tool in TOOLS),
            f"{ratio:.1f} ({ratio_of_best:.1f})",
            f"{difference:.0e}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
        if ratio < GOAL:
            print(f"\n{net}: {ratio:.1f} times as fast, short of the goal of {GOAL:g}\n")
        if difference > TOLERANCE:
            wrong.append(f"{net}: figures differ by {difference:.0e}")
    if wrong:
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    main()
