"""Time `attribute` against direct calls of Captum, in one run and on the same images.

Integrated gradients with 50 steps on 8 CIFAR-10 images, with the trained ResNet-20 of the shared
data or a seeded one. Runs are interleaved, and the quickest of each counts; times are one thread's
processor time, so that a busy machine disturbs little. Memory is the peak of a process of its own,
beyond what it held before. Then what a person waits for: the first map of one image.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, Saliency
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from convlens import attribute  # noqa: E402
from convlens.saliency import Attribution, preflight  # noqa: E402
from tests.models import SHARED, CifarResNet, trained  # noqa: E402

STEPS, IMAGES = 50, 8


def given() -> tuple[nn.Module, Tensor]:
    """Return the model and the images."""
    torch.manual_seed(0)
    if not (SHARED / "cifar10" / "resnet20.pt").exists():
        return CifarResNet().eval(), torch.randn(IMAGES, 3, 32, 32)
    images = np.load(SHARED / "cifar10" / "test_256.npz")["images"][:IMAGES]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (torch.from_numpy(images).float() / 255 - mean[:, None, None]) / std[:, None, None]
    return trained("resnet20"), x


def ways(model: nn.Module, x: Tensor, batch: int) -> dict[str, Callable[[], Any]]:
    """Return the same attribution by several calls."""
    with torch.no_grad():
        target = model(x).argmax(1)
    direct = IntegratedGradients(model)

    def captum(internal: int | None) -> Tensor:
        return direct.attribute(
            x,
            target=target,
            n_steps=STEPS,
            internal_batch_size=internal,
            return_convergence_delta=True,
        )[0]

    return {
        f"captum, {batch} at once": lambda: captum(batch),
        "captum, all at once": lambda: captum(None),
        f"convlens, {batch} at once": lambda: attribute(model, x, target, batch_size=batch).values,
        "convlens, as it chooses": lambda: attribute(model, x, target).values,
        "convlens, step by step": lambda: stepwise(model, x, target),
    }


def stepwise(model: nn.Module, x: Tensor, target: Tensor) -> Any:
    run = Attribution(model, x, target)
    for _ in run.steps():
        pass
    return run.result().values


def quickest(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return seconds of processor time of each call: the least of interleaved rounds."""
    best = dict.fromkeys(calls, float("inf"))
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.thread_time()
            call()
            best[name] = min(best[name], time.thread_time() - start)
    return best


def peak(name: str, batch: int) -> float:
    """Return the peak memory of one call in a process of its own, in MB."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from benchmarks import saliency as s; "
        f"print(s.peak_here({name!r}, {batch}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def peak_here(name: str, batch: int) -> float:
    """Measure it in this process."""
    quiet()
    model, x = given()
    call = ways(model, x, batch)[name]
    leaf = x[:1].clone().requires_grad_()
    model(leaf)[:, 0].sum().backward()  # what every backward pass loads
    before = held("VmRSS")
    call()
    return max(0.0, held("VmHWM") - before)


def held(kind: str) -> float:
    """Return what the system says this process holds (VmRSS) or held at most (VmHWM), in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1000


def quiet() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=25)
    options = parser.parse_args()
    quiet()
    model, x = given()
    calls = ways(model, x, options.batch)
    maps = [np.asarray(call()) for call in calls.values()]
    furthest = max(float(np.abs(one - maps[0]).max()) for one in maps)
    found = quickest(calls, options.rounds)
    base = found[f"captum, {options.batch} at once"]
    print(
        f"integrated gradients, {STEPS} steps, {IMAGES} images, ResNet-20; maps differ by "
        f"{furthest:.1g} of {np.abs(maps[0]).max():.2g}"
    )
    print("| call | time (ms) | of captum's | extra memory (MB) |")
    print("|---|--:|--:|--:|")
    for name, seconds in found.items():
        print(
            f"| {name} | {seconds * 1e3:.0f} | {seconds / base:.3f} "
            f"| {peak(name, options.batch):.0f} |"
        )
    first_map(model, x[:1], options.rounds)


def first_map(model: nn.Module, x: Tensor, rounds: int) -> None:
    """Print what a click waits for, in milliseconds."""
    target = torch.tensor([0])

    def until_progress() -> None:
        steps = Attribution(model, x, target).steps()
        next(steps)
        steps.close()

    found = quickest(
        {
            "saliency, captum": lambda: Saliency(model).attribute(x, target),
            "saliency, convlens": lambda: stepwise_saliency(model, x),
            "integrated gradients, first progress": until_progress,
            "preflight of every method, known model": lambda: preflight(model, x),
        },
        rounds * 3,
    )
    print("\n| one image | ms |\n|---|--:|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds * 1e3:.1f} |")


def stepwise_saliency(model: nn.Module, x: Tensor) -> None:
    run = Attribution(model, x, method="saliency")
    for _ in run.steps():
        pass
    run.result().map()


if __name__ == "__main__":
    main()
