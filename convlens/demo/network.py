"""The demo network: a small residual CNN for 8 x 8 images."""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (12, 24, 48)
"""Channels of the three stages."""

BLOCKS = 2
"""Residual blocks in a stage."""


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al. 2015).

    Each ReLU is a module of its own, used once and not in place, so that methods which put hooks
    on it (DeepLift, guided backpropagation) see every call apart.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(residual + self.shortcut(x))


class DigitNet(nn.Module):
    """A residual CNN of 13 3 x 3 convolutions in three stages, for (n, 1, 8, 8) images.

    The stages work at 8 x 8, 8 x 8 and 4 x 4 pixels: a digit of 8 x 8 pixels has little to spare.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], stride=1)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(WIDTHS[2], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, 1, 8, 8) to logits (n, classes)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.flatten(self.pool(x)))


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    first = ResidualBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(ResidualBlock(outputs, outputs, 1) for _ in range(BLOCKS - 1)))
