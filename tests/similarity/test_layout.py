"""Images with channels innermost in memory: quicker forward passes, the same figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convlens.similarity import compare
from tests.similarity.test_compare import noise
from tests.untouched import left_untouched


class Viewing(nn.Module):
    """Flattens as it should, or in a way that takes channels as the outer dimension only."""

    def __init__(self, flat: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn, self.head = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6 * 49, 4)
        self.flat = flat

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x)).relu()
        return self.head(x.view(x.shape[0], -1) if self.flat else x.flatten(1))


def layouts_of(model: nn.Module, x: Tensor) -> list[bool]:
    """Return, call by call, whether the model was given its images as they were."""
    seen: list[bool] = []

    def look(model: nn.Module, batch: Tensor) -> Any:
        seen.append(batch.is_contiguous())
        return model(batch)

    compare(model, x, layers="all", batch_size=16, forward=look)
    return seen


@pytest.mark.parametrize("flat", [False, True])
def test_the_order_in_memory_changes_speed_only(
    flat: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    model, x = Viewing(flat).eval(), noise(48, 3, 9, 9)
    with left_untouched(model):
        quick = compare(model, x, layers="all", batch_size=16)
        # one that does not take it is asked once
        mixed = torch.backends.mkldnn.is_available()
        expected = ([False, True, True, True] if flat else [False] * 3) if mixed else [True] * 3
        assert layouts_of(model, x) == expected
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert layouts_of(model, x) == [True] * 3
    plain = compare(model, x, layers="all", batch_size=16)
    assert quick.rows == plain.rows
    assert quick.notes == plain.notes
    np.testing.assert_allclose(quick.matrix, plain.matrix, atol=1e-6)
