"""Small networks that the tests share, and those of the shared data where it is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Beside the checkout, where there is one: nothing of it belongs to the project.
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; a shortcut without parameters (option A of He et al. 2015)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.pad = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        out += F.pad(shortcut, (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(out)


class CifarResNet(nn.Module):
    """ResNet-20 (3 blocks a stage) or ResNet-32 (5) for 3 x 32 x 32; keys as in the shared data."""

    def __init__(self, blocks: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, 1, blocks)
        self.layer2 = self._stage(16, 32, 2, blocks)
        self.layer3 = self._stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
        first = BasicBlock(inputs, outputs, stride)
        return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def trained(name: str) -> CifarResNet:
    """Return the trained ``"resnet20"`` or ``"resnet32"`` of the shared data, or skip the test."""
    path = SHARED / "cifar10" / f"{name}.pt"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    model = CifarResNet({"resnet20": 3, "resnet32": 5}[name])
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * 4)
        self.relu = nn.ReLU(inplace=True)  # called three times a block
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != width * 4:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, width * 4, 1, stride, bias=False), nn.BatchNorm2d(width * 4)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x += shortcut
        return self.relu(x)


class ResNet50(nn.Module):
    """The shape of ImageNet's ResNet-50: 54 layers, 25.6 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        stages: list[nn.Sequential] = []
        for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            first = Bottleneck(inputs, width, stride)
            inputs = width * 4
            stages.append(
                nn.Sequential(first, *(Bottleneck(inputs, width) for _ in range(blocks - 1)))
            )
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class Reused(nn.Module):
    """Registered in another order than it runs; one conv runs twice; in-place ReLU comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.unused = nn.Conv2d(4, 4, 1)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        x = self.relu(self.stem(x))
        x = self.relu(self.twice(x))
        x = self.relu(self.twice(x))
        return self.head(x.mean((2, 3)))


class Shapes(nn.Module):
    """Every plain layout: grouped, depthwise, dilated, 1-D, 3-D, transposed, 1x1, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, groups=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, (3, 5), groups=8, padding=(1, 2))
        self.dilated = nn.Conv2d(8, 6, 3, dilation=2, padding=2)
        self.up = nn.ConvTranspose2d(6, 9, 2, groups=3)
        self.point = nn.Conv2d(9, 5, 1)
        self.line = nn.Conv1d(5, 4, 3, padding=1)
        self.solid = nn.Conv3d(4, 2, (1, 3, 3), padding=(0, 1, 1))
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.point(self.up(self.dilated(self.depthwise(self.grouped(x)))))
        x = self.line(x.flatten(2)).unflatten(2, (1, x.shape[2], x.shape[3]))
        return self.head(self.solid(x).mean((2, 3, 4)))


class Structured(nn.Module):
    """Takes two tensors and an option, and returns a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3)
        self.second = nn.Linear(5, 2)

    def forward(self, image: Tensor, table: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
        return {"out": self.second(table) + scale * self.first(image).mean((2, 3))}


class Raising(nn.Module):
    """Raises in the middle of its forward pass, after the first convolution has run."""

    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.last = nn.Conv2d(4, 4, 3)
        self.error = error or ValueError("bad luck inside the model")

    def forward(self, x: Tensor) -> Tensor:
        self.relu(self.bn(self.conv(x)))
        raise self.error


class Unruly(nn.Module):
    """Changes in its forward pass everything that a forward pass can change, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.clipped = nn.Conv2d(4, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("swapped", torch.zeros(2))
        self.history: list[float] = []
        self.nested = [[1, 2], [3]]
        self.table = {"a": 1}
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        # The max-norm constraint of many EEG networks: another memory behind the same parameter.
        self.conv.weight.data = torch.renorm(self.conv.weight.data, 2, 0, 0.1)
        self.clipped.weight.data.clamp_(-0.01, 0.01)  # WGAN
        with torch.no_grad():
            self.clipped.get_parameter("bias").add_(1)
        self.seen += 1
        self.swapped = torch.ones(2)
        x = F.dropout(x, 0.5, training=True) + torch.randn(1)
        x = self.conv(x)
        x = F.batch_norm(x, self.bn.running_mean, self.bn.running_var, training=True)
        self.bn.train()
        self.clipped.weight.requires_grad_(False)
        self.calls += 1
        self.history.append(x.detach().mean().item())
        self.nested[0].append(3)
        self.table["a"] = 4
        self.cache = x
        torch.set_grad_enabled(True)
        return self.clipped(self.bn(x))


def nets() -> dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]]:
    """Return name -> (make the model, make an input): what every analysis must leave untouched."""
    return {
        "resnet20": (CifarResNet, lambda: torch.randn(2, 3, 32, 32)),
        "reused": (Reused, lambda: torch.randn(2, 3, 8, 8)),
        "shapes": (Shapes, lambda: torch.randn(2, 4, 8, 8)),
        "unruly": (Unruly, lambda: torch.randn(2, 3, 8, 8)),
    }
