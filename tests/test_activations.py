"""Running a model leaves it, the inputs and the process as they were, however the run ends."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from convlens.activations import call_order, hooked, run, untouched
from convlens.errors import ArgumentError, Cancelled, ForwardError
from convlens.layers import find_layers
from tests.models import Raising, Reused, Structured, Unruly, nets
from tests.untouched import differences, fingerprint, left_untouched

# --- the fingerprint itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda m: m.train(not m.training), "training"),
        (lambda m: m.head.register_forward_hook(print), "_forward_hooks"),
        (lambda m: m.head.register_forward_pre_hook(print), "_forward_pre_hooks"),
        (lambda m: m.head.register_full_backward_hook(print), "_backward_hooks"),
        (lambda m: m.head.register_state_dict_post_hook(lambda *_: None), "_state_dict_hooks"),
        (lambda m: m.head.weight.data.zero_(), "head.weight: values"),
        (lambda m: m.head.weight.detach().mul_(1), "head.weight: version"),
        (lambda m: setattr(m.head.weight, "data", m.head.weight.data.clone()), "memory"),
        (lambda m: m.head.requires_grad_(False), "requires_grad"),
        (lambda m: setattr(m.head.weight, "grad", torch.ones(2, 4)), "grad"),
        (lambda m: setattr(m, "extra", 1), "extra"),
        (lambda m: m.head.double(), "dtype"),
        (lambda m: torch.rand(1), "torch rng"),
        (lambda m: random.random(), "python rng"),
        (lambda m: np.random.rand(), "numpy rng"),  # noqa: NPY002
    ],
)
def test_the_fingerprint_notices(change, place):
    model = Reused()
    with untouched(model):  # puts the generators back for the other tests
        before = fingerprint(model)
        change(model)
        assert any(place in line for line in differences(before, fingerprint(model)))


def test_the_fingerprint_of_an_idle_model_is_steady():
    model = Unruly()
    assert differences(fingerprint(model), fingerprint(model)) == []


# --- untouched ------------------------------------------------------------------------------------


def _with_history(make: Callable[[], nn.Module]) -> nn.Module:
    """A model in the middle of training: gradients, mixed modes, a frozen part, user's hooks."""
    model: Any = make()
    for index, module in enumerate(model.modules()):
        module.training = index % 2 == 0
    first = next(model.parameters())
    first.requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    model.register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize("name", nets())
def test_a_run_that_succeeds_leaves_no_trace(name):
    make, images = nets()[name]
    model, x = _with_history(make), images()
    with left_untouched(model):
        find_layers(model, x)


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyboardInterrupt(), Cancelled("stopped"), SystemExit(1)]
)
def test_a_run_that_is_cut_short_leaves_no_trace(error):
    model, x = _with_history(lambda: Raising(error)), torch.randn(2, 3, 8, 8)
    expected = ForwardError if isinstance(error, ValueError) else type(error)
    with left_untouched(model), pytest.raises(expected):
        find_layers(model, x)


def test_a_run_of_an_unruly_model_that_then_raises_leaves_no_trace():
    model = _with_history(Unruly)

    def forward(model: nn.Module, images: Any) -> None:
        model(images)
        raise RuntimeError("late")

    x = torch.randn(2, 3, 8, 8)
    with left_untouched(model), pytest.raises(ForwardError, match="late"):
        find_layers(model, x, forward)


def test_bad_inputs_leave_no_trace():
    model = _with_history(Reused)
    with left_untouched(model), pytest.raises(ArgumentError):
        find_layers(model, [])


def test_a_backward_pass_inside_leaves_no_trace():
    model, x = _with_history(Reused), torch.randn(2, 3, 8, 8)
    with left_untouched(model), untouched(model):
        model(x).sum().backward()
        torch.optim.SGD(model.parameters(), 0.1).step()
        model.zero_grad(set_to_none=True)


def test_what_user_code_does_to_tables_of_hooks_is_undone():
    model = _with_history(Reused)
    with left_untouched(model), untouched(model):
        for module in model.modules():
            module._forward_hooks.clear()
            module.register_full_backward_hook(lambda *_: None)
        nn.modules.module.register_module_forward_hook(lambda *_: None)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        random.random()
        np.random.rand()  # noqa: NPY002


def test_containers_of_every_kind_are_put_back_in_place():
    model: Any = nn.Linear(2, 2)
    model.ordered = OrderedDict(a=1, b=2)
    model.members = {1, 2}
    ordered, members = model.ordered, model.members
    with untouched(model):
        model.ordered.move_to_end("a")
        model.members.add(3)
        model.members = set()
    assert model.ordered is ordered
    assert list(ordered) == ["a", "b"]
    assert model.members is members
    assert members == {1, 2}


def test_weights_are_copied_only_when_written(monkeypatch):
    model, x = nn.Linear(1000, 1000), torch.randn(1, 1000)
    copied: list[int] = []
    clone = Tensor.clone

    def counting(tensor: Tensor, **options: Any) -> Tensor:
        copied.append(tensor.numel())
        return clone(tensor, **options)

    monkeypatch.setattr(Tensor, "clone", counting)
    with untouched(model), torch.no_grad():
        model(x)
    assert copied == []
    with untouched(model), torch.no_grad():
        model.weight.zero_()
        model.weight.zero_()
    assert copied == [1_000_000]


@pytest.mark.parametrize("width", [4, 1100], ids=["small", "large"])
def test_writes_of_every_kind_are_undone_in_models_of_every_size(width: int):
    """Small models are copied beforehand, large ones are watched."""

    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(width, width)
            self.norm = nn.BatchNorm1d(width)
            self.register_buffer("calls", torch.zeros(3))
            self.seen = [torch.zeros(2)]

        def forward(self, x: Tensor) -> Tensor:
            self.get_buffer("calls").data.add_(1)
            self.seen[0].neg_()  # only the sign of zero
            self.dense.weight.data[0].fill_(float("nan"))
            self.dense.bias.detach().view(2, -1).mul_(2)
            self.norm.train()
            return self.norm(self.dense(x))

    model = _with_history(Writing)
    with left_untouched(model), untouched(model), torch.no_grad():
        for _ in range(3):
            model(torch.randn(4, width))
    seen: list[Tensor] = vars(model)["seen"]
    assert seen[0].signbit().sum() == 0


def test_compiled_functions_run_uncompiled_in_large_models_too(monkeypatch: pytest.MonkeyPatch):
    def backend(graph: Any, inputs: Any) -> Any:
        raise NotImplementedError("a look at a model should not wait for a compiler")

    monkeypatch.setattr("convlens.untouched._SMALL", 0)
    inner = nn.Conv2d(3, 4, 3)
    inner.compile(backend=backend)
    assert find_layers(nn.Sequential(inner), torch.zeros(1, 3, 8, 8)).keys() == ("0",)


def test_a_model_made_in_inference_mode_can_be_looked_at():
    with torch.inference_mode():
        model = Reused()
    layers = find_layers(model, torch.randn(1, 3, 8, 8))
    assert layers["stem"].weight().shape == (4, 3, 3, 3)


# --- hooks ----------------------------------------------------------------------------------------


def test_hooks_see_the_output_before_a_later_in_place_operation():
    model, seen = Reused(), list[Tensor]()
    with (
        untouched(model),
        hooked([model.stem], after=lambda m, a, k, out: seen.append(out.clone())),
    ):
        run(model, torch.randn(1, 3, 8, 8))
    assert seen[0].min() < 0  # the in-place ReLU after it has no negative values left


def test_hooks_ignore_forward_passes_of_other_threads():
    model, x = Reused(), torch.randn(1, 3, 8, 8)

    def forward(model: nn.Module, images: Any) -> None:
        other = threading.Thread(target=model, args=(images.clone(),))
        other.start()
        other.join()
        model(images)

    order = call_order(model, [model.stem, model.head], x, forward)
    assert order == [model.stem, model.head]


def test_hooks_are_gone_after_an_error():
    model = Reused()
    with pytest.raises(RuntimeError), hooked(model.modules(), before=lambda *_: None):
        raise RuntimeError
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_model_that_is_compiled_runs_uncompiled():
    def backend(graph: Any, inputs: Any) -> Any:
        raise NotImplementedError("a look at a model should not wait for a compiler")

    inner: Any = nn.Conv2d(4, 4, 3)
    in_place = nn.Conv2d(4, 4, 3)
    in_place.compile(backend=backend)
    compiled: Any = torch.compile(inner, backend=backend)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), compiled, in_place)
    with left_untouched(model):
        layers = find_layers(model, torch.zeros(1, 3, 8, 8))
    assert layers.keys() == ("0", "1", "2")
    assert layers.notes == (
        "1: unwrapped from torch.compile",
        "2: compiled in place, run uncompiled here",
    )


# --- inputs ---------------------------------------------------------------------------------------

_X = torch.randn(4, 3, 8, 8)
_Y = torch.zeros(4, dtype=torch.long)
_TABLE = torch.randn(4, 5)


class Pair(NamedTuple):
    image: Tensor
    table: Tensor


class Items(Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return _X[index], int(_Y[index])


class Stream(IterableDataset[Any]):
    def __iter__(self):
        yield from zip(_X, _Y, strict=True)


@pytest.mark.parametrize(
    "inputs",
    [
        _X,
        (_X,),
        {"x": _X},
        [_X, _X],
        [(_X, _Y)],
        [[_X, _Y]],
        [{"x": _X, "label": _Y}],
        iter([_X]),
        DataLoader(TensorDataset(_X, _Y), batch_size=2, shuffle=True),
        DataLoader(TensorDataset(_X, _Y), batch_size=2, generator=torch.Generator()),
        TensorDataset(_X, _Y),
        Items(),
        Stream(),
    ],
    ids=lambda inputs: type(inputs).__name__,
)
def test_every_kind_of_inputs_is_run(inputs):
    model = Reused()
    with left_untouched(model):
        assert find_layers(model, inputs).keys()[0] == "stem"


@pytest.mark.parametrize(
    "inputs",
    [
        (_X, _TABLE),
        Pair(_X, _TABLE),
        {"image": _X, "table": _TABLE, "scale": 2.0},
        [(_X, _TABLE, _Y)],
        [{"image": _X, "table": _TABLE, "label": _Y}],
    ],
)
def test_models_of_several_inputs_get_all_of_them_and_no_label(inputs):
    assert find_layers(Structured(), inputs).keys() == ("second", "first")


def test_forward_runs_what_calling_the_model_would_not():
    model = Structured()
    layers = find_layers(model, _X, lambda m, x: m(x, table=torch.zeros(4, 5)))
    assert layers.keys() == ("second", "first")
    assert find_layers(model, forward=lambda m, x: m.get_submodule("first")(_X)).keys() == (
        "first",
        "second",
    )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "inputs is empty: it must hold at least one batch."),
        (iter([]), "inputs is empty: it must hold at least one batch."),
        (np.zeros((1, 3, 8, 8)), "inputs is a ndarray: pass torch.as_tensor"),
        ("images", "inputs must be a batch or a loader of batches, not 'images'."),
    ],
)
def test_inputs_without_a_batch_are_refused(inputs, message):
    with pytest.raises(ArgumentError) as caught:
        find_layers(Reused(), inputs)
    assert str(caught.value).startswith(message)


def test_a_data_set_of_no_tensors_is_refused():
    class Pictures(Items):
        def __getitem__(self, index: int) -> Any:
            return object()

    with pytest.raises(ArgumentError, match="inputs is a data set whose items are no tensors"):
        find_layers(Reused(), Pictures())


def test_forward_must_be_callable():
    with pytest.raises(ArgumentError, match=r"forward must be a callable\(model, inputs\)"):
        find_layers(Reused(), _X, forward=3)  # pyright: ignore[reportArgumentType]


def test_inputs_are_left_as_they_are():
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    before = x.detach().clone()
    find_layers(Reused(), x)  # starts with an in-place ReLU
    assert torch.equal(x, before)
    assert x.grad is None
    assert x._version == 0


def test_a_loader_gives_the_same_batch_afterwards():
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(TensorDataset(_X, _Y), batch_size=1, shuffle=True, generator=generator)
    state = generator.get_state()
    find_layers(Reused(), loader)
    assert torch.equal(generator.get_state(), state)


def test_the_error_of_the_model_is_told_in_one_sentence():
    with pytest.raises(ForwardError) as caught:
        find_layers(Raising(), _X)
    assert str(caught.value) == (
        "The model raised ValueError on these inputs (bad luck inside the model): pass inputs that "
        "it takes, or forward=, a callable(model, inputs) that runs it."
    )
    assert isinstance(caught.value.__cause__, ValueError)


def test_few_rows_of_many_are_run():
    rows: list[int] = []

    class Counting(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            rows.append(len(input))
            return super().forward(input)

    find_layers(Counting(2, 2), torch.zeros(1000, 2))
    assert rows == [8]


def test_all_rows_are_run_where_the_model_wants_exactly_so_many():
    class Fixed(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input.view(20, 2))

    assert find_layers(Fixed(2, 2), torch.zeros(20, 2)).keys() == ("(model)",)
