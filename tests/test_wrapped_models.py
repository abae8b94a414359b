"""Models that somebody wrapped, compiled, scripted, traced, exported or sharded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from convlens.errors import ModelError
from convlens.layers import find_layers
from tests.models import Shapes
from tests.untouched import left_untouched

_X = torch.randn(2, 4, 8, 8)
_SHAPES = {layer.key: layer.shape for layer in find_layers(Shapes(), _X)}


def _assert_same_layers(wrapped: Any, model: nn.Module) -> None:
    """Compare keys, shapes, groups and weights with those of the model that was wrapped."""
    with left_untouched(wrapped):
        layers = find_layers(wrapped, _X)
    expected = find_layers(model, _X)
    assert layers.keys() == expected.keys()
    for layer, plain in zip(layers, expected, strict=True):
        assert (layer.shape, layer.groups, layer.transposed) == (
            plain.shape,
            plain.groups,
            plain.transposed,
        )
        assert torch.equal(layer.weight(), plain.weight())
        assert layer.kind == plain.kind


# --- wrappers -------------------------------------------------------------------------------------


def test_data_parallel_is_unwrapped_and_told_of():
    model = Shapes()
    wrapped = nn.DataParallel(model)
    _assert_same_layers(wrapped, model)
    layers = find_layers(wrapped)
    assert layers.model is model
    assert layers.notes == ("unwrapped from DataParallel",)


def test_wrappers_inside_the_model_are_unwrapped_and_told_of():
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3), nn.DataParallel(nn.Conv2d(4, 4, 3)))
    model.append(torch.compile(nn.Conv2d(4, 4, 3)))
    layers = find_layers(model, torch.randn(1, 3, 9, 9))
    assert layers.keys() == ("0", "1", "2")
    assert layers["1"].module is model[1].module
    assert layers.notes == ("1: unwrapped from DataParallel", "2: unwrapped from torch.compile")


def test_wrappers_of_wrappers_are_unwrapped():
    model = Shapes()
    wrapped: Any = torch.compile(nn.DataParallel(model))
    assert find_layers(wrapped).model is model
    assert find_layers(wrapped).notes == (
        "unwrapped from torch.compile",
        "unwrapped from DataParallel",
    )


@pytest.fixture(scope="module")
def one_process():
    """A process group of one, without a network."""
    dist: Any = pytest.importorskip("torch.distributed")
    if not dist.is_available() or dist.is_initialized():
        pytest.skip("torch.distributed is not to be had here")
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    yield dist
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_distributed_data_parallel_is_unwrapped():
    model = Shapes()
    wrapped = nn.parallel.DistributedDataParallel(model)
    _assert_same_layers(wrapped, model)
    assert find_layers(wrapped).notes == ("unwrapped from DistributedDataParallel",)


@pytest.mark.usefixtures("one_process")
def test_sharded_weights_are_listed_with_the_reason():
    fsdp: Any = pytest.importorskip("torch.distributed.fsdp")
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3))
    fsdp.fully_shard(model[0])
    fsdp.fully_shard(model)
    for layer in find_layers(model):
        assert layer.kind == "Conv2d"
        assert layer.reason == (
            "DTensor: sharded over processes, gather it with full_tensor() first"
        )


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("original", [True, False])
def test_fully_sharded_data_parallel_is_unwrapped_and_its_weights_have_a_reason(original):
    fsdp: Any = pytest.importorskip("torch.distributed.fsdp")
    model = fsdp.FullyShardedDataParallel(
        nn.Sequential(nn.Conv2d(3, 8, 3)), device_id=torch.device("cpu"), use_orig_params=original
    )
    layers = find_layers(model)
    assert layers["0"].reason == "sharded by FullyShardedDataParallel: gather it first"
    assert layers.notes[0] == "unwrapped from FullyShardedDataParallel"


# --- TorchScript ----------------------------------------------------------------------------------

deprecated = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Straight(nn.Sequential):
    """Something that torch.jit takes."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(4, 8, 3, groups=2),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 6, 2, groups=2),
            nn.Flatten(),
            nn.LazyLinear(3),
        )
        self(_X)


@deprecated
@pytest.mark.parametrize("compile_it", [torch.jit.script, lambda m: torch.jit.trace(m, _X)])
def test_torchscript_models_have_the_layers_of_their_source(compile_it):
    model = Straight().eval()
    _assert_same_layers(compile_it(model), model)


@deprecated
def test_the_training_flags_of_torchscript_are_put_back():
    script = torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Dropout()).train())
    with left_untouched(script):
        find_layers(script, _X)
    assert script.training


@deprecated
def test_torchscript_inside_a_model_comes_where_it_runs():
    model = nn.Sequential()
    model.last = torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)))
    model.first = nn.Conv2d(4, 4, 1)
    layers = find_layers(
        model, _X, lambda m, x: m.get_submodule("last")(m.get_submodule("first")(x))
    )
    assert layers.keys() == ("first", "last.0", "last.1")


@deprecated
def test_a_saved_and_loaded_trace_is_read(tmp_path):
    model = Straight().eval()
    torch.jit.save(torch.jit.trace(model, _X), tmp_path / "model.pt")
    _assert_same_layers(torch.jit.load(tmp_path / "model.pt"), model)


@deprecated
def test_a_frozen_script_is_refused_with_what_to_do():
    frozen = torch.jit.freeze(torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3)).eval()))
    with pytest.raises(ModelError, match=r"torch\.jit\.freeze makes constants of them"):
        find_layers(frozen)


# --- graphs ---------------------------------------------------------------------------------------


def test_a_symbolic_trace_keeps_its_modules():
    model = Shapes()
    _assert_same_layers(fx.symbolic_trace(model), model)


def test_an_exported_program_has_the_layers_of_its_source():
    model = Shapes().eval()
    exported = torch.export.export(model, (_X,)).module()
    _assert_same_layers(exported, model)
    layers = find_layers(exported)
    assert layers["up"].notes == ("a call in the graph",)
    assert {layer.key: layer.parameters for layer in layers} == {
        layer.key: layer.parameters for layer in find_layers(model)
    }


def test_an_exported_program_itself_is_refused_with_what_to_do():
    program: Any = torch.export.export(nn.Linear(2, 2), (torch.randn(1, 2),))
    with pytest.raises(
        ModelError, match=r"an ExportedProgram: pass its module, program\.module\(\)"
    ):
        find_layers(program)


class Functional(nn.Module):
    """Convolutions without modules; one weight twice, one computed, one from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 2, 3, 3))
        self.raw = nn.Parameter(torch.randn(5, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.kernel, padding=1, groups=2)
        x = F.conv2d(x, self.kernel, padding=1, groups=2)
        x = F.conv2d(x, x.mean((0, 2, 3), keepdim=True))
        return F.linear(x.mean((2, 3)).repeat(1, 4), torch.tanh(self.raw))


def test_functional_convolutions_of_a_graph_are_layers():
    model = Functional()
    graph = fx.symbolic_trace(model)
    with left_untouched(graph):
        layers = find_layers(graph, _X)
    assert layers.keys() == ("kernel:0", "kernel:1", "raw")
    assert [layer.kind for layer in layers] == ["Conv2d", "Conv2d", "Linear"]
    assert layers["kernel:1"].shape == (4, 2, 3, 3)
    assert layers["kernel:1"].groups == 2
    assert torch.equal(layers["raw"].weight(), torch.tanh(model.raw).detach())


def test_functional_convolutions_that_no_graph_shows_are_listed_with_the_reason():
    (layer,) = find_layers(Functional(), _X)
    assert layer.reason == (
        "Functional: uses kernel (4×2×3×3), raw (5×4) in a way that convlens does not know"
    )


def test_int8_graphs_of_torchao_are_dequantised():
    pt2e: Any = pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e")
    x86: Any = pytest.importorskip(
        "torchao.quantization.pt2e.quantizer.x86_inductor_quantizer",
    )
    model: Any = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 3, 1)).eval()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = pt2e.prepare_pt2e(torch.export.export(model, (_X,)).module(), quantizer)
    prepared(_X)
    with left_untouched(prepared):  # its observers learn from what they see
        observed = find_layers(prepared)
    assert torch.equal(observed["0"].weight(), model[0].weight)
    layers = find_layers(pt2e.convert_pt2e(prepared), _X)
    assert layers.keys() == ("0", "2")
    for key in layers.keys():  # noqa: SIM118 - Layers is a sequence, its keys are no mapping's
        weight, original = layers[key].weight(), model[int(key)].weight
        assert 0 < (weight - original).abs().max() < 0.01
        assert layers[key].notes[1].startswith("int8 per channel, symmetric, scales 0.00")
    assert layers.notes == ()


# --- pruned and parametrised models in wrappers ---------------------------------------------------


def test_effective_weights_are_found_through_wrappers():
    model: Any = nn.Sequential(
        prune.l1_unstructured(nn.Conv2d(4, 4, 3), "weight", 0.5),
        parametrizations.weight_norm(nn.Conv2d(4, 4, 3)),
    )
    layers = find_layers(nn.DataParallel(model), _X)
    assert [layer.notes for layer in layers] == [("pruned: mask applied",), ("weight_norm",)]
    assert torch.equal(layers[0].weight(), model[0].weight.detach())
