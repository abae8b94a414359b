"""The effective weight: what the forward pass multiplies with, read without a trace."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune

from convlens.errors import ModelError
from convlens.layers import find_layers
from convlens.weights import effective_weight, find_source
from tests.untouched import left_untouched

legacy = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


class Symmetric(nn.Module):
    """A user's parametrisation."""

    def forward(self, weight: Tensor) -> Tensor:
        return (weight + weight.transpose(-1, -2)) / 2


class Scaled(nn.Module):
    """One with state: a parameter, a counter that every forward pass moves, random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(3.0))
        self.register_buffer("calls", torch.zeros(()))
        self.log: list[int] = []

    def forward(self, weight: Tensor) -> Tensor:
        self.calls += 1
        self.log.append(1)
        torch.rand(1)
        return self.gain * weight


class Standardised(nn.Conv2d):
    """Weight standardisation, as in timm: the forward pass uses another weight than the stored."""

    def forward(self, input: Tensor) -> Tensor:
        weight = (self.weight - self.weight.mean()) / self.weight.std()
        return F.conv2d(input, weight, self.bias)


def _conv(**options) -> Any:
    return nn.Conv2d(4, 8, 3, groups=2, **options)


def _pruned() -> Any:
    conv = prune.l1_unstructured(_conv(), "weight", 0.6)
    with torch.no_grad():
        conv.weight_orig.mul_(2)  # trained since: the cached product is stale
    return conv


def _old_weight_norm() -> Any:
    conv = nn.utils.weight_norm(_conv())
    with torch.no_grad():
        conv.weight_g.mul_(2)
    return conv


def _pruned_weight_norm() -> Any:
    return prune.random_unstructured(nn.utils.weight_norm(_conv()), "weight_v", 0.5)


def _parametrised_twice() -> Any:
    conv = _conv()
    parametrize.register_parametrization(conv, "weight", Symmetric())
    parametrize.register_parametrization(conv, "weight", Scaled())
    return conv


def _pruned_parametrisation() -> Any:
    conv: Any = parametrizations.spectral_norm(_conv())
    prune.l1_unstructured(conv.parametrizations.weight, "original", 0.5)
    return conv


CONVS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "plain": (_conv, ()),
    "bfloat16": (lambda: _conv(dtype=torch.bfloat16), ()),
    "float64": (lambda: _conv(dtype=torch.float64), ()),
    "channels_last": (lambda: _conv().to(memory_format=torch.channels_last), ()),
    "pruned": (_pruned, ("pruned: mask applied",)),
    "structured": (
        lambda: prune.ln_structured(_conv(), "weight", 0.5, 2, 0),
        ("pruned: mask applied",),
    ),
    "weight_norm": (lambda: parametrizations.weight_norm(_conv()), ("weight_norm",)),
    "spectral_norm": (lambda: parametrizations.spectral_norm(_conv()), ("spectral_norm",)),
    "orthogonal": (lambda: parametrizations.orthogonal(_conv()), ("orthogonal",)),
    "old weight_norm": (_old_weight_norm, ("weight_norm",)),
    "old spectral_norm": (lambda: nn.utils.spectral_norm(_conv()), ("spectral_norm",)),
    "pruned weight_norm": (_pruned_weight_norm, ("weight_norm", "pruned: mask applied")),
    "pruned parametrisation": (_pruned_parametrisation, ("spectral_norm",)),
    "parametrised twice": (
        _parametrised_twice,
        ("parametrised by Symmetric", "parametrised by Scaled (1 parameters of its own)"),
    ),
}


@legacy
@pytest.mark.parametrize("case", CONVS)
def test_the_effective_weight_is_the_one_that_the_forward_pass_uses(case):
    conv = CONVS[case][0]()
    dtype = find_source(conv).stored[0].dtype
    x = torch.randn(2, 4, 6, 6, dtype=dtype)
    weight = effective_weight(conv)
    assert weight.dtype == dtype
    with torch.no_grad():
        expected = conv.eval()(x)
        torch.testing.assert_close(F.conv2d(x, weight, conv.bias, groups=2), expected)


@legacy
@pytest.mark.parametrize("case", CONVS)
@pytest.mark.parametrize("training", [True, False])
def test_reading_leaves_no_trace(case, training):
    conv = CONVS[case][0]().train(training)
    with left_untouched(conv):
        weight = effective_weight(conv)
    assert not weight.requires_grad
    assert weight.grad_fn is None


@legacy
@pytest.mark.parametrize("case", CONVS)
def test_the_notes_say_what_makes_the_weight(case):
    make, notes = CONVS[case]
    assert find_source(make()).notes == notes


def test_a_plain_weight_is_read_without_a_copy():
    conv = _conv()
    assert effective_weight(conv).data_ptr() == conv.weight.data_ptr()


def test_spectral_norm_in_train_mode_iterates_no_further():
    conv: Any = parametrizations.spectral_norm(_conv()).train()
    first = effective_weight(conv)
    assert torch.equal(first, effective_weight(conv))
    assert torch.equal(first, conv.eval().weight)


@given(
    st.integers(0, 2**31 - 1),
    st.floats(0, 1),
    st.sampled_from([torch.float32, torch.float64, torch.float16]),
)
@settings(deadline=None, max_examples=30)
def test_a_mask_is_applied_to_the_weight_of_now(seed, amount, dtype):
    generator = torch.Generator().manual_seed(seed)
    linear: Any = nn.Linear(5, 3).to(dtype)
    mask = (torch.rand(3, 5, generator=generator) > amount).float()
    prune.custom_from_mask(linear, "weight", mask)
    trained = torch.randn(3, 5, generator=generator).to(dtype)
    linear.weight_orig.data.copy_(trained)
    expected = torch.where(mask.bool(), trained, torch.zeros((), dtype=dtype))
    assert torch.equal(effective_weight(linear), expected)


@pytest.mark.parametrize("case", ["weight_norm", "orthogonal", "pruned"])
def test_autocast_around_it_changes_nothing(case):
    conv = CONVS[case][0]()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = effective_weight(conv)
    assert torch.equal(inside, effective_weight(conv))


def test_pruning_taken_off_again_is_no_longer_noted():
    conv = prune.remove(prune.l1_unstructured(_conv(), "weight", 0.5), "weight")
    assert find_source(conv).notes == ()
    assert (effective_weight(conv) == 0).sum() == conv.weight.numel() // 2


def test_a_layer_read_after_pruning_was_made_permanent_gives_the_weight():
    model: Any = nn.Sequential(prune.l1_unstructured(_conv(), "weight", 0.5))
    layer = find_layers(model)[0]
    prune.remove(model[0], "weight")
    assert torch.equal(layer.weight(), model[0].weight)


@pytest.mark.parametrize(
    ("layout", "note"),
    [
        (lambda w: w.to_sparse(), "sparse_coo storage, made dense"),
        (lambda w: w.to_sparse_csr(), "sparse_csr storage, made dense"),
        (lambda w: w.to_sparse_bsr((2, 2)), "sparse_bsr storage, made dense"),
    ],
)
def test_sparse_weights_are_made_dense(layout, note):
    linear = nn.Linear(6, 4)
    dense = linear.weight.detach().clone() * (torch.rand(4, 6) > 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linear.weight = nn.Parameter(layout(dense))
    with left_untouched(linear):
        assert torch.equal(effective_weight(linear), dense)
    assert find_source(linear).notes == (note,)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: _conv(device="meta"), "meta device: no values"),
        (
            lambda: prune.identity(_conv(device="meta"), "weight"),
            "meta device: no values",
        ),
        (
            lambda: parametrizations.weight_norm(_conv(device="meta")),
            "meta device: no values",
        ),
        (
            lambda: nn.LazyConv2d(8, 3),
            "lazy: not initialised yet, run the model once on an input",
        ),
        (
            lambda: _conv(dtype=torch.complex64),
            "complex numbers: the measures are of real ones",
        ),
        (
            lambda: _with_weight(torch.ones(3, 2, dtype=torch.int8)),
            "int8 numbers without a known scale",
        ),
        (lambda: _with_weight(None), "its weight is missing, no tensor"),
        (lambda: _with_weight("w"), "its weight is a str, no tensor"),
    ],
)
def test_what_has_no_values_is_refused_with_the_reason(make, reason):
    module = make()
    assert find_source(module).reason == reason
    with pytest.raises(ModelError, match=f"^The weight of this .* cannot be read: {reason}.$"):
        effective_weight(module)


def _with_weight(weight: object) -> Any:
    linear: Any = nn.Linear(2, 3)
    del linear.weight
    if isinstance(weight, Tensor):
        linear.register_buffer("weight", weight)
    else:
        linear.weight = weight
    return linear


def test_a_parametrisation_that_raises_is_a_reason_and_no_crash():
    class Broken(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            raise ValueError("no luck")

    linear = nn.Linear(2, 3)
    parametrize.register_parametrization(linear, "weight", Broken(), unsafe=True)
    assert find_source(linear).reason == "it could not be computed (ValueError: no luck)"


def test_a_weight_that_is_a_property_of_the_users_class_is_computed():
    class Generated(nn.Linear):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.core = nn.Parameter(torch.randn(3, 2))

        @property
        def weight(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
            return self.core @ self.core.T

    linear = Generated()
    weight = effective_weight(linear)
    assert torch.equal(weight, (linear.core @ linear.core.T).detach())
    assert not weight.requires_grad


def test_float8_is_read_as_float32():
    linear = nn.Linear(4, 4)
    linear.weight = nn.Parameter(linear.weight.detach().to(torch.float8_e4m3fn), False)
    weight = effective_weight(linear)
    assert weight.dtype == torch.float32
    assert torch.equal(weight, linear.weight.detach().float())
    assert find_source(linear).notes == ("float8_e4m3fn, read as float32",)


class Marked(Tensor):
    """A subclass of Tensor that changes nothing."""


class Hidden(Tensor):
    """A subclass that answers every operation itself and offers no way to its numbers."""

    @staticmethod
    def __new__(cls, shape: tuple[int, ...]) -> Hidden:
        return Tensor._make_wrapper_subclass(cls, shape)  # pyright: ignore[reportReturnType]

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.detach.default:
            return args[0]
        raise NotImplementedError(str(func))


def test_a_harmless_tensor_subclass_is_read_as_a_plain_tensor():
    linear = nn.Linear(2, 3)
    linear.weight = nn.Parameter(linear.weight.detach().as_subclass(Marked))
    assert type(effective_weight(linear)) is Tensor


def test_an_opaque_tensor_subclass_is_a_reason():
    linear = nn.Linear(2, 3)
    linear.weight = nn.Parameter(Hidden((3, 2)), requires_grad=False)
    assert find_source(linear).reason == "Hidden: a tensor type that offers no dequantize()"


def test_reading_weights_does_not_import_torchao():
    code = (
        "import sys, torch; from convlens.layers import find_layers;"
        "find_layers(torch.nn.Conv2d(3, 8, 3))[0].weight();"
        "sys.exit(' '.join(m for m in sys.modules if m.split('.')[0] in ('torchao', 'nncf')) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
