"""Time `visualize_features` against torch-lucent and flashtorch: per step and channel, same size.

The real ResNet-20 on CIFAR-10 where the shared data are there (a seeded one elsewhere), and seeded
VGG-11 and ResNet-18 at 224 x 224. lucent runs as its documentation has it (one channel a call), and
with all channels in one batch, which it can also do; its images are kept at the network's size by
`fixed_image_size`, where its default would enlarge them to 224. flashtorch knows only plain stacks
of layers and one channel. Each tool makes its usual transformations. Runs are interleaved, so that
a busy machine slows all alike, and the quickest of each counts. `make bench` installs the peers.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
sys.path.append(str(ROOT / ".cache" / "feature-peers"))

from convlens import Visualization  # noqa: E402
from tests.models import SHARED, CifarResNet, trained  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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


class ResNet18(nn.Module):
    """ImageNet's ResNet-18, seeded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage in range(4):
            outputs = 64 << stage
            first = Basic(inputs, outputs, 1 if stage == 0 else 2)
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, Basic(outputs, outputs, 1)))
            inputs = outputs
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(4):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def vgg11() -> nn.Sequential:
    """Return the convolutional part of VGG-11, the only form of network that flashtorch takes."""
    parts: list[nn.Module] = []
    inputs = 3
    for outputs in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if outputs:
            parts += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = outputs
        else:
            parts.append(nn.MaxPool2d(2))
    return nn.Sequential(*parts)


def resnet20() -> nn.Module:
    return trained("resnet20") if SHARED.exists() else CifarResNet().eval()


# name -> (make the model, pixels, layers, channels at once)
CASES: dict[str, tuple[Callable[[], nn.Module], int, tuple[str, ...], int]] = {
    "ResNet-20, 32 x 32": (
        resnet20,
        32,
        ("conv1", "layer1.2.conv1", "layer2.1.conv1", "layer3.2.conv1"),
        16,
    ),
    "VGG-11, 224 x 224": (vgg11, 224, ("3", "8", "18"), 4),
    "ResNet-18, 224 x 224": (
        ResNet18,
        224,
        ("layer1.0.conv1", "layer2.1.conv1", "layer4.1.conv1"),
        4,
    ),
}


def declare_operators() -> None:
    """Let a torchvision for CUDA load beside a torch without: the peers use none of its kernels."""
    try:
        import torchvision  # type: ignore[import-not-found]  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        KEPT.append(library)
    except ImportError:
        pass


KEPT: list[Any] = []


def ours(model: nn.Module, size: int, layer: str, channels: int) -> Callable[[int], None]:
    def call(steps: int) -> None:
        run = Visualization(
            model,
            layer,
            range(channels),
            size=size,
            steps=steps,
            batch_size=channels,
            mean=MEAN,
            std=STD,
        )
        with run.held():
            for _ in run.steps():
                pass

    return call


def lucent(
    model: nn.Module, size: int, layer: str, channels: int, batch: bool
) -> Callable[[int], None]:
    from lucent.optvis import objectives, param, render  # type: ignore[import-not-found]

    name = layer.replace(".", "_")

    def call(steps: int) -> None:
        wanted = objectives.channel(name, 0)
        if batch:
            wanted = sum(objectives.channel(name, c, batch=c) for c in range(channels))
        render.render_vis(
            model,
            wanted,
            lambda: param.image(size, batch=channels if batch else 1),
            thresholds=(steps,),
            progress=False,
            show_image=False,
            fixed_image_size=size,
        )
        for module in model.modules():  # it leaves its hooks
            module._forward_hooks.clear()

    return call


def flashtorch(model: nn.Module, size: int, layer: str) -> Callable[[int], None]:
    from flashtorch.activmax import GradientAscent  # type: ignore[import-not-found]

    def call(steps: int) -> None:
        tool = GradientAscent(model, img_size=size)
        tool.optimize(model.get_submodule(layer), 0, num_iter=steps)
        for handle in tool.handlers:
            handle.remove()

    return call


def tools(
    model: nn.Module, size: int, layer: str, channels: int
) -> dict[str, tuple[Callable[[int], None], int]]:
    """Return what is timed, by name: a call that makes so many steps, and its channels."""
    found = {"convlens": (ours(model, size, layer, channels), channels)}
    for name, make, count in (
        ("lucent", lambda: lucent(model, size, layer, channels, False), 1),
        ("lucent, batch", lambda: lucent(model, size, layer, channels, True), channels),
        ("flashtorch", lambda: flashtorch(model, size, layer), 1),
    ):
        if name == "flashtorch" and not isinstance(model, nn.Sequential):
            continue
        try:
            call = make()
            call(1)
        except Exception as error:  # noqa: BLE001 - a peer that does not run is reported
            print(f"    {name} does not run here: {type(error).__name__}: {str(error)[:110]}")
            continue
        found[name] = (call, count)
    return found


def seconds(call: Callable[[int], None], steps: int) -> float:
    # one thread's processor time does not count what else the machine does
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    call(steps)
    return clock() - start


def per_step(timed: dict[str, tuple[Callable[[int], None], int]], runs: int, steps: int) -> Any:
    """Return milliseconds per step and channel, what is done once a call left out."""
    best = {(name, n): float("inf") for name in timed for n in (1, 1 + steps)}
    for _ in range(runs):
        for name, n in best:
            best[name, n] = min(best[name, n], seconds(timed[name][0], n))
    return {
        name: 1e3 * (best[name, 1 + steps] - best[name, 1]) / steps / count
        for name, (_, count) in timed.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help="part of a network's name")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    declare_operators()
    print(f"torch {torch.__version__}, {options.threads} threads; ms per step and channel")
    for case, (make, size, layers, channels) in CASES.items():
        if options.only not in case:
            continue
        torch.manual_seed(0)
        model = make().eval()
        for layer in layers:
            print(f"{case}, {layer}, {channels} channels")
            timed = tools(model, size, layer, channels)
            best = per_step(timed, options.runs, 24 if size < 100 else 3)
            for name, value in best.items():
                print(f"    {name:14} {value:8.2f}   {value / best['convlens']:5.1f} x")


if __name__ == "__main__":
    main()
