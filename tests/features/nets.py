"""Five kinds of small network, and others that are difficult in one way each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Vgg(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )


class Residual(nn.Module):
    """One in-place ReLU, used three times; the sum is made in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.conv = nn.Conv2d(6, 6, 3, padding=1, stride=2)
        self.short = nn.Conv2d(6, 6, 1, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.stem(x)))
        out = self.conv(x)
        out += self.short(x)
        return self.head(self.relu(out).mean((2, 3)))


class Functional(nn.Module):
    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, 6, 3, padding=1)
        self.two = nn.Conv2d(6, 5, 3, padding=1)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.one(x)), 2)
        return self.head(F.relu(self.two(x)).mean((2, 3)))


class Depthwise(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1, groups=1),
            nn.SiLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.BatchNorm2d(8),
            nn.SiLU(),
            nn.Conv2d(8, 4, 1, groups=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


class LeNet(nn.Module):
    """One colour, 28 pixels and no other size, and `view` where channels_last cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 5), nn.Conv2d(4, 6, 5)
        self.fc = nn.Linear(6 * 4 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.view(x.size(0), -1))


# name -> (make it, colours, size, a layer, channels of it)
KINDS: dict[str, tuple[Callable[[], nn.Module], int, int, str, int]] = {
    "vgg": (Vgg, 3, 16, "3", 8),
    "residual": (Residual, 3, 17, "relu:1", 6),
    "functional": (Functional, 3, 12, "two", 5),
    "depthwise": (Depthwise, 3, 9, "2", 8),
    "one channel": (LeNet, 1, 28, "conv2", 6),
}


def make(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return KINDS[kind][0]().eval()
