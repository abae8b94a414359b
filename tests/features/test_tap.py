"""A forward pass that ends at a layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from convlens.errors import ArgumentError, ForwardError, UnknownLayerError
from convlens.features.tap import OUTPUT, Tap
from tests.features.nets import Functional, make
from tests.models import Raising, Reused
from tests.untouched import left_untouched


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def emitted(model: nn.Module, layer: str | None, x: torch.Tensor, **options: bool) -> torch.Tensor:
    tap = Tap(model, layer)
    with left_untouched(model), tap.held(), torch.no_grad():
        return tap.emit(x.clone(), **options)


def test_nothing_after_the_layer_is_computed(x):
    # it would raise, were it to go on
    model = Raising()
    assert emitted(model, "conv", x).shape == (2, 4, 10, 10)
    with pytest.raises(ForwardError, match="bad luck inside the model"):
        emitted(model, None, x)


def test_later_operations_in_place_change_nothing(x):
    model = make("residual")
    before = model.get_submodule("bn")(model.get_submodule("stem")(x))
    torch.testing.assert_close(emitted(model, "bn", x), before)
    torch.testing.assert_close(emitted(model, "relu:0", x), before.relu())


def test_each_call_of_a_module_is_a_layer_of_its_own(x):
    torch.manual_seed(0)
    model = Reused().eval()
    first, second = (emitted(model, f"twice:{call}", x) for call in (0, 1))
    assert not torch.equal(first, second)
    torch.testing.assert_close(second, model.get_submodule("twice")(first.relu()))
    torch.testing.assert_close(emitted(model, "twice", x), first)
    with pytest.raises(ArgumentError, match="calls 'twice:2' only 2 times"):
        emitted(model, "twice:2", x)


def test_a_model_that_catches_exceptions_is_stopped_all_the_same(x):
    class Careful(Functional):
        def forward(self, x):
            try:
                return super().forward(x)
            except Exception:  # noqa: BLE001 - what some models do
                return x

    model = Careful()
    torch.testing.assert_close(emitted(model, "one", x), model.one(x))


def test_no_layer_is_what_the_model_returns(x):
    model = make("vgg")
    torch.testing.assert_close(emitted(model, None, x), model(x))
    assert Tap(model).key == OUTPUT


def test_channels_come_second(x):
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(3)

        def forward(self, x):
            return self.norm(x.flatten(2).transpose(1, 2))

    assert emitted(Tokens(), "norm", x).shape == (2, 3, 144)


def test_a_relu_under_observation_leaks_gradient_and_no_value(x):
    model = make("residual")
    model.get_parameter("bn.bias").data.fill_(-50)  # nothing passes
    tap = Tap(model, "relu")
    x = x.requires_grad_()
    with tap.held(), torch.enable_grad():
        plain, leaky = tap.emit(x * 1), tap.emit(x * 1, leak=True)
        assert torch.equal(plain, leaky)
        assert float(plain.detach().abs().max()) == 0
        assert float(torch.autograd.grad(plain.sum(), x)[0].abs().max()) == 0
        assert float(torch.autograd.grad(leaky.sum(), x)[0].abs().max()) > 0


@pytest.mark.parametrize(
    ("layer", "error", "said"),
    [
        ("twise", UnknownLayerError, "No layer is called 'twise'. Did you mean 'twice'"),
        ("*", ArgumentError, "means 5 layers; name one of them: 'head', 'twice'"),
        ("unused", ArgumentError, "calls 'unused' never on these inputs"),
        (99, UnknownLayerError, "There is no layer 99"),
    ],
)
def test_bad_layers(layer, error, said, x):
    with pytest.raises(error, match=said.replace("*", r"\*")):
        emitted(Reused(), layer, x)


def test_inputs_that_do_not_fit_are_named():
    with pytest.raises(ForwardError, match="on inputs of 2 x 12 x 12"):
        emitted(make("vgg"), "3", torch.zeros(2, 2, 12, 12))


def test_outputs_that_are_no_channels(x):
    class Odd(nn.Module):
        def __init__(self, output) -> None:
            super().__init__()
            self.output = output

        def forward(self, x):
            return self.output(x)

    for output, said in (
        (lambda x: "text", "returns a str, no tensor"),
        (lambda x: x.argmax(1), "returns int64 numbers"),
        (lambda x: x.mean(), "returns a single number"),
    ):
        with pytest.raises(ArgumentError, match=said):
            emitted(Odd(output), None, x)


def test_wrappers_are_taken_off(x):
    model = make("vgg")
    tap = Tap(nn.DataParallel(model), "3")
    assert tap.model is model
    assert any("DataParallel" in note for note in tap.notes)


def test_two_at_once_do_not_end_each_other(x):
    """A hook of the model's own that runs another model up to a layer."""
    inner, model = make("functional"), make("vgg")
    seen = []

    def look(*_):
        seen.append(emitted(inner, "one", x).shape)

    handle = model.get_submodule("0").register_forward_hook(look)
    assert emitted(model, "3", x).shape == (2, 8, 6, 6)
    handle.remove()
    assert seen == [(2, 6, 12, 12)]
