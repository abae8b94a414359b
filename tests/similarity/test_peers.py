"""Side by side with torch_cka and pytorch-cka: the same where they are right; where not, why.

In float64: in float32 the peers, which do not centre, are off by up to 3e-3.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from convlens.similarity import compare
from tests.models import BasicBlock
from tests.similarity.test_compare import by_hand, noise

N = 32


@pytest.fixture(autouse=True)
def float64() -> Generator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def peer(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        pytest.fail(f"{name} is not installed: `make setup` does it", pytrace=False)


def loader(x: Tensor) -> Any:
    return DataLoader(TensorDataset(x), batch_size=N)


def torch_cka(
    one: nn.Module, other: nn.Module, x: Tensor, layers: Sequence[str] | None = None
) -> tuple[Any, tuple[str, ...]]:
    """Return its matrix and what it calls the rows."""
    chosen = None if layers is None else list(layers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cka = peer("torch_cka").CKA(one, other, "one", "other", chosen, chosen)
        cka.compare(loader(x))
    for model in (one, other):  # it leaves its hooks
        for module in model.modules():
            module._forward_hooks.clear()
    told = cka.export()
    return told["CKA"].detach().numpy(), tuple(told["model1_layers"])


def pytorch_cka(one: nn.Module, other: nn.Module, x: Tensor, layers: Sequence[str]) -> Any:
    found = peer("cka").compute_cka(
        one, other, loader(x), layers=list(layers), device="cpu", progress=False
    )
    return found[0].numpy()


def plain(seed: int) -> nn.Sequential:
    """Registered as it runs, every module called once, nothing in place."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(12 * 7 * 7, 10),
    ).eval()  # fmt: skip


def test_all_agree_on_one_batch_of_a_plain_network() -> None:
    one, other, x = plain(0), plain(1), noise(N, 3, 16, 16)
    names = [name for name, _ in one.named_modules() if name]
    ours = compare(one, x, other, layers="all").matrix
    theirs, rows = torch_cka(one, other, x, names)
    assert list(rows) == names
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(ours.clip(0, 1), pytorch_cka(one, other, x, names), atol=1e-6)


def test_pytorch_cka_agrees_on_several_batches_too() -> None:
    one, other, x = plain(0), plain(1), noise(3 * N, 3, 16, 16)
    ours = compare(one, x, other, layers="all", batch_size=N).matrix
    names = [name for name, _ in one.named_modules() if name]
    np.testing.assert_allclose(ours.clip(0, 1), pytorch_cka(one, other, x, names), atol=1e-6)


def far(found: Any, exact: Any) -> bool:
    return bool(np.abs(found - exact).max() > 0.01)


def test_peers_see_what_a_shortcut_left_of_an_output() -> None:
    """BasicBlock: ``out = bn2(...)``, then ``out += shortcut``."""
    torch.manual_seed(0)
    block, x = BasicBlock(4, 4).eval(), noise(N, 4, 8, 8)
    with torch.no_grad():
        first = block.conv1(x)
        exact = by_hand([first, block.bn2(block.conv2(block.bn1(first).relu()))], N)
    layers = ("conv1", "bn2")
    np.testing.assert_allclose(compare(block, x, layers=layers).matrix, exact, atol=1e-6)
    assert far(torch_cka(block, block, x, layers)[0], exact)
    assert far(pytorch_cka(block, block, x, layers), exact)


def test_peers_see_what_an_in_place_relu_left_of_an_output() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3)).eval()
    x = noise(N, 3, 8, 8)
    with torch.no_grad():
        first = model[0](x)
        exact = by_hand([first, model[2](first.relu())], N)
    layers = ("0", "2")
    np.testing.assert_allclose(compare(model, x, layers=layers).matrix, exact, atol=1e-6)
    assert far(torch_cka(model, model, x, layers)[0], exact)
    assert far(pytorch_cka(model, model, x, layers), exact)


class Twice(nn.Module):
    """One ReLU, called twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv2(self.relu(self.conv1(x))))


def test_peers_know_the_last_call_of_a_reused_module_only() -> None:
    model, x = Twice().eval(), noise(N, 3, 8, 8)
    with torch.no_grad():
        first = model.conv1(x).relu()
        exact = by_hand([first, model.conv2(first).relu()], N)
    found = compare(model, x, layers="relu")
    assert found.rows == ("relu:0", "relu:1")
    np.testing.assert_allclose(found.matrix, exact, atol=1e-6)
    assert exact[0, 1] < 0.98
    assert pytorch_cka(model, model, x, ["relu"]).shape == (1, 1)
    # torch_cka keeps the place of the first call, and puts the last call's features there
    matrix, rows = torch_cka(model, model, x, ["conv2", "relu"])
    assert rows == ("conv2", "relu")
    with torch.no_grad():
        ends = by_hand([model.conv2(first), model.conv2(first).relu()], N)
    assert matrix[0, 1] == pytest.approx(ends[0, 1], abs=1e-6)


class Reversed(nn.Module):
    """Registered from the last layer to the first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(6, 4)
        self.second, self.first = nn.Conv2d(6, 6, 3), nn.Conv2d(3, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x).relu()).mean((2, 3)))


def test_torch_cka_puts_wrong_names_to_layers_registered_in_another_order() -> None:
    model, x = Reversed().eval(), noise(N, 3, 8, 8)
    with torch.no_grad():
        first = model.first(x)
        second = model.second(first.relu())
        exact = by_hand([first, second, model.head(second.mean((2, 3)))], N)
    found = compare(model, x, layers="all")
    assert found.rows == ("first", "second", "head")
    np.testing.assert_allclose(found.matrix, exact, atol=1e-6)
    registered = ("head", "second", "first")
    matrix, rows = torch_cka(model, model, x, registered)
    assert rows == registered  # the names of the rows, which are first, second, head
    np.testing.assert_allclose(matrix, exact, atol=1e-6)
    assert far(matrix, exact[::-1, ::-1])
    # pytorch-cka looks each up by its name
    np.testing.assert_allclose(
        exact[::-1, ::-1].clip(0, 1), pytorch_cka(model, model, x, registered), atol=1e-6
    )
