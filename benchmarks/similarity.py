"""Time `compare` against torch_cka and pytorch-cka, in one run and on the same batches.

Real ResNet-20 x ResNet-32 on CIFAR-10 images where the shared data are there, and seeded
ResNet-18 x ResNet-34 at 224 x 224. Runs are interleaved, so that a busy machine slows all alike,
and the quickest of each counts. Memory is the peak of a process of its own, beyond that of the bare
forward passes. `make setup` installs the peers with the other tools of development.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from convlens import compare, compiled  # noqa: E402
from tests.models import SHARED, trained  # noqa: E402

Pair = tuple[nn.Module, nn.Module, Tensor]


class Basic(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """ResNet-18 or -34 as they are for ImageNet, seeded."""

    def __init__(self, blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        torch.manual_seed(sum(blocks))
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList()
        inputs = 64
        for stage, count in enumerate(blocks):
            outputs = 64 << stage
            first = Basic(inputs, outputs, 1 if stage == 0 else 2)
            rest = [Basic(outputs, outputs, 1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            inputs = outputs
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = stage(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def cifar() -> Pair:
    pixels = np.load(SHARED / "cifar10" / "test_256.npz")["images"]
    x = torch.from_numpy(pixels).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    return trained("resnet20"), trained("resnet32"), x


def imagenet() -> Pair:
    x = torch.randn(64, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    return ResNet((2, 2, 2, 2)).eval(), ResNet((3, 4, 6, 3)).eval(), x


PAIRS: dict[str, Callable[[], Pair]] = {
    "ResNet-20 x ResNet-32, 256 of 32 x 32": cifar,
    "ResNet-18 x ResNet-34, 64 of 224 x 224": imagenet,
}


def names(model: nn.Module, layers: str) -> list[str]:
    return [
        name
        for name, module in model.named_modules()
        # peers fail on a module that never runs
        if name
        and not isinstance(module, nn.ModuleList)
        and (layers == "all" or isinstance(module, nn.Conv2d))
    ]


def tools(pair: Pair, layers: str, device: str) -> dict[str, Callable[[], Any]]:
    """Return what is timed, by name."""
    one, other, x = pair
    one, other = one.to(device), other.to(device)
    loader: Any = DataLoader(TensorDataset(x), batch_size=32)

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    def bare() -> None:
        with torch.no_grad():
            for (batch,) in loader:
                one(batch.to(device))
                other(batch.to(device))
        wait()

    def ours() -> Any:
        return compare(one, loader, other, layers=layers).matrix

    def by_torch() -> Any:
        passes, compiled.SAMPLES.passes = compiled.SAMPLES.passes, None
        try:
            return ours()
        finally:
            compiled.SAMPLES.passes = passes

    found: dict[str, Callable[[], Any]] = {"bare forward": bare, "convlens": ours}
    # loaded ahead, as who measures more than once has it
    if device == "cpu" and compiled.load(compiled.SAMPLES) is None:
        found["without numba"] = by_torch
    if importlib.util.find_spec("cka") is not None:
        from cka import compute_cka  # type: ignore[import-not-found]

        chosen: dict[str, Any] = {
            "layers": names(one, layers),
            "model2_layers": names(other, layers),
            "progress": False,
            "device": device,
        }
        found["pytorch-cka"] = lambda: compute_cka(one, other, loader, **chosen)[0].cpu().numpy()
    if importlib.util.find_spec("torch_cka") is not None:
        from torch_cka import CKA  # type: ignore[import-not-found]

        def theirs() -> Any:
            titles = ("one", "other")
            chosen = (names(one, layers), names(other, layers))
            peer = CKA(one, other, *titles, *chosen, device=device)
            try:
                with redirect_stderr(io.StringIO()):  # its progress bar
                    peer.compare(loader)
            finally:
                for model in (one, other):  # it leaves its hooks
                    for module in model.modules():
                        module._forward_hooks.clear()
            return peer.hsic_matrix.cpu().numpy()

        found["torch_cka"] = theirs
    return found


def interleaved(runs: int, calls: dict[str, Callable[[], Any]], once: Iterable[str]) -> Any:
    """Return the quickest time of each; those in `once` are too slow to be run again.

    The first turn, which sets up what is set up once, is not the quickest of several.
    """
    # one thread's processor time does not count what else the machine does
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    best: dict[str, float] = {}
    for turn in range(runs):
        for name, call in calls.items():
            if turn and name in once:
                continue
            start = clock()
            try:
                call()
            except AssertionError as error:  # torch_cka's own, on layers that emit no variation
                print(f"{name} failed: {error}", file=sys.stderr)
                continue
            best[name] = min(best.get(name, float("inf")), clock() - start)
    return best


def high_water(reset: bool = False) -> float:
    """Return the peak resident memory in MB since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def memory_of(pair: str, layers: str, tool: str) -> str:
    """Return the peak memory beyond the bare forward, measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--memory", pair, layers, tool],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip().split("\n")[-1] if done.returncode == 0 else "failed"


def measure_memory(pair: str, layers: str, tool: str) -> None:
    calls = tools(PAIRS[pair](), layers, "cpu")
    # one pass more than is measured: what is imported and set up once is not counted
    compare(nn.Conv2d(1, 1, 1), torch.randn(8, 1, 2, 2))
    calls["bare forward"]()
    high_water(reset=True)
    calls["bare forward"]()
    base = high_water()
    high_water(reset=True)
    calls[tool]()
    print(f"{max(0.0, high_water() - base):.0f}")


def families() -> None:
    """Time mean CCA of all pairs of layers against one pair after the other."""
    from convlens.similarity.evaluate import evaluate
    from convlens.similarity.measures import find_measure
    from convlens.similarity.profiles import Sample

    one, other, x = cifar()
    sides: list[list[Sample]] = []
    for model in (one, other):
        kept: list[Sample] = []

        def keep(module: Any, args: Any, out: Tensor, kept: list[Sample] = kept) -> None:
            pooled = out.mean((2, 3))
            kept.append(Sample(*pooled.shape, features=pooled))

        handles = [m.register_forward_hook(keep) for m in model.modules() if type(m) is nn.Conv2d]
        with torch.no_grad():
            model(x)
        for handle in handles:
            handle.remove()
        sides.append(kept)
    measure = find_measure("mean_cca")

    def together() -> Tensor:
        return evaluate(measure, sides[0], sides[1], {})[0]

    def pair_by_pair() -> Tensor:
        def mean_cca(x: Tensor, y: Tensor) -> float:
            x, y = (layer.double() - layer.double().mean(0) for layer in (x, y))
            bases: list[Tensor] = []
            for layer in (x, y):
                q, strength, _ = torch.linalg.svd(layer, full_matrices=False)
                # dead channels span nothing
                bases.append(q[:, strength > strength[0] * max(layer.shape) * 1.2e-7])
            qx, qy = bases
            return float(torch.linalg.svd(qx.T @ qy)[1].mean())

        rows: list[list[float]] = []
        for row in sides[0]:
            assert row.features is not None
            rows.append(
                [mean_cca(row.features, c.features) for c in sides[1] if c.features is not None]
            )
        return torch.tensor(rows)

    times = interleaved(9, {"together": together, "pairs": pair_by_pair}, ())
    away = (together() - pair_by_pair()).abs().max().item()
    print(
        f"\nMean CCA of {len(sides[0])} x {len(sides[1])} pooled layers: {times['together']:.3f} s "
        f"against {times['pairs']:.3f} s pair by pair ({times['pairs'] / times['together']:.0f} "
        f"times), largest difference {away:.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="1: processor time, for a busy machine")
    parser.add_argument("--only", default="", help="pairs of networks whose title holds this")
    parser.add_argument("--layers", default="convs,all", help="one or both of these")
    parser.add_argument("--quick", action="store_true", help="without torch_cka on all modules")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.memory:
        measure_memory(*given.memory)
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| networks | layers | tool | time (s) | of bare forward | extra memory (MB) |")
    print("|---|---|---|---|---|---|")
    for title, make in PAIRS.items():
        if given.only not in title or (make is cifar and not (SHARED / "cifar10").exists()):
            continue
        for layers in given.layers.split(","):
            calls = tools(make(), layers, given.device)
            if layers == "all" and given.quick:
                calls.pop("torch_cka", None)
            times = interleaved(given.runs, calls, ("torch_cka",))
            for tool, seconds in times.items():
                # measured for those whose memory is compared, on the CPU
                weighed = tool not in ("bare forward", "torch_cka") and given.device == "cpu"
                extra = memory_of(title, layers, tool) if weighed else "–"
                share = seconds / times["bare forward"]
                print(
                    f"| {title} | {layers} | {tool} | {seconds:.2f} | {share:.2f} | {extra} |",
                    flush=True,
                )
    if (SHARED / "cifar10").exists():
        families()


if __name__ == "__main__":
    main()
