"""Receptive fields: against index arithmetic for stacks of layers, and gradients for the rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from convlens.features.receptive import ReceptiveField
from convlens.features.tap import Tap
from tests.features.nets import KINDS, make
from tests.models import CifarResNet
from tests.untouched import left_untouched


def measured(model: nn.Module, layer: str | None, x: Tensor) -> tuple[Any, ReceptiveField]:
    """The box of every position of a layer."""
    tap = Tap(model, layer)
    with left_untouched(model), tap.held():
        with torch.no_grad():
            shape = tuple(tap.emit(x.clone()).shape[2:])
        field = ReceptiveField(tap, x, shape)
        return field.boxes([(r, c) for r in range(shape[0]) for c in range(shape[1])]), field


LAYERS = st.lists(
    st.tuples(
        st.sampled_from(["conv", "max", "avg"]),
        st.tuples(st.integers(1, 4), st.integers(1, 3)),  # kernel
        st.tuples(st.integers(1, 2), st.integers(1, 3)),  # stride
        st.integers(1, 2),  # dilation
        st.integers(0, 1),  # padding
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(layers=LAYERS, height=st.integers(14, 40), width=st.integers(12, 24))
def test_stacks_of_layers_by_arithmetic(layers, height, width):
    parts: list[nn.Module] = []
    # per axis and position: the input lines that it is computed from
    seen = [[{line} for line in range(size)] for size in (height, width)]
    for kind, kernel, stride, dilation, padding in layers:
        dilation = 1 if kind == "avg" else dilation
        padding = (min(padding, kernel[0] // 2), min(padding, kernel[1] // 2))
        if kind == "conv":
            parts.append(nn.Conv2d(1, 1, kernel, stride, padding, dilation))
        elif kind == "max":
            parts.append(nn.MaxPool2d(kernel, stride, padding, dilation))
        else:
            parts.append(nn.AvgPool2d(kernel, stride, padding))
        for axis in (0, 1):
            before, reach = seen[axis], dilation * (kernel[axis] - 1)
            length = (len(before) + 2 * padding[axis] - reach - 1) // stride[axis] + 1
            if length < 1:
                return
            seen[axis] = [set() for _ in range(length)]
            for place, lines in enumerate(seen[axis]):
                for tap in range(kernel[axis]):
                    at = place * stride[axis] - padding[axis] + tap * dilation
                    if 0 <= at < len(before):
                        lines |= before[at]
    torch.manual_seed(0)
    model, x = nn.Sequential(*parts), torch.rand(1, 1, height, width)
    boxes, _ = measured(model, str(len(parts) - 1), x)
    assert len(boxes) == len(seen[0]) * len(seen[1])
    for place, box in boxes.items():
        for axis in (0, 1):
            lines = seen[axis][place[axis]]
            # a position of padding alone sees nothing, and then nothing in the other axis either
            if all(seen[other][place[other]] for other in (0, 1)):
                assert (box[axis], box[axis + 2]) == (min(lines), max(lines) + 1)


def support(model: nn.Module, layer: str, x: Tensor) -> dict[tuple[int, int], list[int]]:
    """The same by gradients: with weights and inputs above 0 no ReLU is shut."""
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.abs() + 0.01 if "weight" in name else parameter.data * 0
    x = x.abs().requires_grad_()
    tap = Tap(model, layer)
    with tap.held(), torch.enable_grad():
        emitted = tap.emit(x * 1).sum(1)[0]
    found: dict[tuple[int, int], list[int]] = {}
    for row in range(emitted.shape[0]):
        for column in range(emitted.shape[1]):
            (slope,) = torch.autograd.grad(emitted[row, column], x, retain_graph=True)
            rows, columns = slope[0].abs().sum(0).nonzero().T
            found[row, column] = [
                int(rows.min()),
                int(columns.min()),
                int(rows.max()) + 1,
                int(columns.max()) + 1,
            ]
    return found


@pytest.mark.parametrize("kind", ["residual", "depthwise"])
def test_small_networks_by_gradients(kind):
    _, colours, size, layer, _ = KINDS[kind]
    model, x = make(kind), torch.rand(1, colours, size, size + 3)
    assert measured(model, layer, x)[0] == support(model, layer, x)


@pytest.mark.parametrize("layer", ["layer1.1.conv2", "layer2.0.conv2"])
def test_resnet20_by_gradients(layer):
    torch.manual_seed(0)
    model, x = CifarResNet().eval(), torch.rand(1, 3, 24, 24)
    assert measured(model, layer, x)[0] == support(model, layer, x)


def test_coarse_strips_find_the_same_lines():
    """Pictures of more than 16 pixels are searched in two rounds."""
    model = nn.Sequential(nn.Conv2d(1, 1, 5, stride=3))
    boxes, _ = measured(model, "0", torch.rand(1, 1, 100, 70))
    for (row, column), box in boxes.items():
        assert box == [3 * row, 3 * column, 3 * row + 5, 3 * column + 5]


def test_weights_of_zero_are_seen_through():
    model = nn.Sequential(nn.Conv2d(1, 1, 3))
    model.get_parameter("0.weight").data.zero_()
    assert measured(model, "0", torch.rand(1, 1, 7, 7))[0][1, 2] == [1, 2, 4, 5]


def test_what_sees_everything_has_the_whole_picture():
    class Excited(nn.Module):
        """Squeeze and excitation: the mean over all positions weights each channel."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.last = nn.Identity()

        def forward(self, x):
            x = self.conv(x)
            return self.last(x * torch.sigmoid(x.mean((2, 3), keepdim=True)))

    x = torch.rand(1, 3, 9, 11)
    assert measured(Excited(), "last", x)[0][4, 4] == [0, 0, 9, 11]
    assert measured(Excited(), "conv", x)[0][4, 4] == [3, 3, 6, 6]


def test_what_hides_what_it_sees_says_so():
    class Hiding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x):
            return self.conv(F.relu(x.nan_to_num(0)))

    boxes, field = measured(Hiding(), "conv", torch.rand(1, 3, 9, 9))
    assert boxes[2, 2] == [0, 0, 9, 9]
    assert "boxes are the whole picture" in (field.note or "")


def test_a_model_that_refuses_nan_says_so():
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x):
            if x.isnan().any():
                raise ValueError("NaN")
            return self.conv(x)

    boxes, field = measured(Careful(), "conv", torch.rand(1, 3, 9, 9))
    assert boxes[2, 2] == [0, 0, 9, 9]
    assert field.note is not None


def test_a_layer_without_positions_sees_the_whole_picture():
    tap = Tap(make("vgg"), None)
    with tap.held():
        field = ReceptiveField(tap, torch.rand(1, 3, 16, 16), ())
        assert field.boxes([(0, 0)]) == {(0, 0): [0, 0, 16, 16]}
