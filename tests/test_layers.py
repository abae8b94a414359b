"""Which layers are found, in which order, under which keys, and what is said of the others."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from convlens.errors import ArgumentError, UnknownLayerError
from convlens.layers import Layers, find_layers
from tests.models import CifarResNet, ResNet50, Reused, Shapes, trained
from tests.untouched import left_untouched

# --- order and keys -------------------------------------------------------------------------------


def test_with_inputs_layers_come_in_call_order_and_uncalled_ones_last():
    layers = find_layers(Reused(), torch.randn(2, 3, 8, 8))
    assert layers.keys() == ("stem", "twice:0", "twice:1", "head", "unused")
    assert [layer.call for layer in layers] == [0, 0, 1, 0, 0]
    assert layers["unused"].notes == ("never called on these inputs",)


def test_without_inputs_layers_come_in_module_order_once_each():
    layers = find_layers(Reused())
    assert layers.keys() == ("head", "twice", "unused", "stem")
    assert all(layer.notes == () for layer in layers)


def test_the_resnet_of_the_shared_data_has_its_layers():
    layers = find_layers(trained("resnet20"), torch.randn(1, 3, 32, 32))
    assert len(layers) == 20
    assert layers.keys()[0] == "conv1"
    assert layers.keys()[-3:] == ("layer3.2.conv1", "layer3.2.conv2", "linear")
    assert layers["layer3.0.conv1"].shape == (64, 32, 3, 3)
    assert layers.notes == ("19 BatchNorm2d hold one number per channel and no filters",)


def test_a_downsampling_branch_comes_where_it_runs():
    keys = find_layers(ResNet50(), torch.randn(1, 3, 32, 32)).keys()
    assert len(keys) == 54
    first = keys.index("layer1.0.downsample.0")
    assert keys[first + 1] == "layer1.0.conv1"


def test_a_layer_is_found_by_position_key_name_and_call():
    layers = find_layers(Reused(), torch.randn(1, 3, 8, 8))
    assert layers[1] is layers["twice:0"] is layers["twice"]
    assert layers["stem:0"] is layers["stem"]
    assert layers[-1].key == "unused"
    assert [layer.key for layer in layers[1:3]] == ["twice:0", "twice:1"]
    assert "twice:1" in layers
    assert "twice:2" not in layers


def test_an_unknown_layer_is_refused_with_the_nearest_names():
    layers = find_layers(CifarResNet())
    with pytest.raises(UnknownLayerError) as caught:
        layers["layer1.0.conv3"]
    assert str(caught.value).startswith(
        "There is no layer 'layer1.0.conv3'. Did you mean 'layer1.0."
    )


def test_an_unknown_layer_near_to_none_is_refused_with_the_range():
    with pytest.raises(UnknownLayerError, match="The 20 layers run from 'conv1' to 'linear'"):
        find_layers(CifarResNet())["zzz"]


def test_a_model_that_is_one_layer_has_a_key():
    (layer,) = find_layers(nn.Conv2d(3, 8, 3), torch.randn(1, 3, 8, 8))
    assert (layer.key, layer.name) == ("(model)", "")


def test_the_repr_is_short():
    assert repr(find_layers(CifarResNet())) == "<Layers of CifarResNet: 20, 'conv1' to 'linear'>"


_BLOCKS = st.recursive(
    st.sampled_from(
        [
            lambda: nn.Conv2d(2, 2, 1),
            lambda: nn.Linear(2, 2),
            nn.ReLU,
            nn.Identity,
            lambda: nn.BatchNorm2d(2),
        ]
    ),
    lambda inner: st.lists(inner, max_size=4).map(
        lambda makers: lambda: nn.Sequential(*(make() for make in makers))
    ),
    max_leaves=12,
)


@given(_BLOCKS, st.data())
@settings(deadline=None, max_examples=40)
def test_every_conv_and_linear_of_any_tree_is_listed_once_under_its_name(make, data):
    model = nn.Sequential(nn.Conv2d(2, 2, 1), make())
    shared = data.draw(st.sampled_from([None, *model.modules()]))
    if shared is not None and shared is not model:
        model.append(shared)
    expected = [n for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    layers = find_layers(model)
    assert list(layers.keys()) == expected
    assert all(layer.module is model.get_submodule(layer.name) for layer in layers)


# --- shapes ---------------------------------------------------------------------------------------


def test_every_layout_has_its_shape_as_out_in_kernel():
    layers = find_layers(Shapes(), torch.randn(1, 4, 8, 8))
    shapes = {layer.key: (layer.shape, layer.groups, layer.transposed) for layer in layers}
    assert shapes == {
        "grouped": ((8, 2, 3, 3), 2, False),
        "depthwise": ((8, 1, 3, 5), 8, False),
        "dilated": ((6, 8, 3, 3), 1, False),
        "up": ((9, 2, 2, 2), 3, True),
        "point": ((5, 9, 1, 1), 1, False),
        "line": ((4, 5, 3), 1, False),
        "solid": ((2, 4, 1, 3, 3), 1, False),
        "head": ((3, 2), 1, False),
    }
    assert all(tuple(layer.weight().shape) == layer.shape for layer in layers)


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2)
)
@settings(deadline=None, max_examples=30)
def test_a_transposed_weight_is_the_response_to_one_input_pixel(groups, ins, outs, kernel, dims):
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d)[dims - 1]
    module = kind(ins * groups, outs * groups, kernel, groups=groups, bias=False)
    weight = find_layers(module)[0].weight()
    assert tuple(weight.shape) == (outs * groups, ins, *[kernel] * dims)
    for channel in range(ins * groups):
        pixel = torch.zeros(1, ins * groups, *[1] * dims)
        pixel[0, channel] = 1
        response = module(pixel)[0].detach()
        group, within = divmod(channel, ins)
        members = slice(group * outs, (group + 1) * outs)
        torch.testing.assert_close(response[members], weight[members, within])


def test_bilinear_is_linear_in_the_products_of_its_inputs():
    module = nn.Bilinear(3, 4, 5, bias=False)
    (layer,) = find_layers(module)
    one, two = torch.randn(7, 3), torch.randn(7, 4)
    products = torch.einsum("bi,bj->bij", one, two).flatten(1)
    assert layer.shape == (5, 12)
    torch.testing.assert_close(F.linear(products, layer.weight()), module(one, two).detach())


def test_parameters_count_those_of_the_module_itself():
    counts = {layer.key: layer.parameters for layer in find_layers(Shapes())}
    assert counts["grouped"] == 8 * 2 * 9 + 8
    assert counts["head"] == 3 * 2 + 3


def test_the_weight_of_a_plain_layer_is_no_copy():
    model = CifarResNet()
    assert find_layers(model)["conv1"].weight().data_ptr() == model.conv1.weight.data_ptr()


def test_the_weight_is_read_anew_each_time():
    model = CifarResNet()
    layer = find_layers(model)["conv1"]
    with torch.no_grad():
        model.conv1.weight.fill_(7)
    assert layer.weight().unique().tolist() == [7]


# --- what is out of the ordinary ------------------------------------------------------------------


def test_a_subclass_is_found_and_its_own_forward_is_told():
    class Same(nn.Conv2d):
        pass

    class Custom(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input * 2)

    same, custom = find_layers(nn.Sequential(Same(3, 3, 3), Custom(3, 3, 3)))
    assert (same.kind, same.notes) == ("Same", ())
    assert custom.notes == ("Custom has a forward of its own: the stored weight is shown",)


def test_parametrised_modules_keep_the_name_of_their_class():
    (layer,) = find_layers(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3)))
    assert layer.kind == "Conv2d"
    assert layer.parameters == 8 * 3 * 9 + 8 + 8


def test_lazy_layers_are_listed_and_stay_lazy():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LazyConv2d(8, 3))
    images = torch.randn(1, 3, 8, 8)
    with left_untouched(model):
        layers = find_layers(model, images)
    assert layers["1"].shape == ()
    assert layers["1"].reason == "lazy: not initialised yet, run the model once on an input"
    assert layers["0"].reason is None
    assert layers.notes[0].startswith("not run on the inputs, as that would initialise")


def test_a_lazy_layer_that_has_run_is_an_ordinary_one():
    model = nn.Sequential(nn.LazyConv2d(8, 3))
    model(torch.randn(1, 3, 8, 8))
    assert find_layers(model)["0"].shape == (8, 3, 3, 3)


def test_meta_layers_are_listed_with_their_shape_and_no_values():
    (layer,) = find_layers(nn.Conv2d(3, 8, 3, device="meta"), torch.randn(1, 3, 8, 8))
    assert (layer.shape, layer.device) == ((8, 3, 3, 3), "meta")
    assert layer.reason == "meta device: no values"
    with pytest.raises(ArgumentError, match=re.escape("(model) has no weight to read: meta")):
        layer.weight()


def test_a_module_under_two_names_is_one_layer_that_says_so():
    block = nn.Sequential(nn.Conv2d(2, 2, 1))
    model = nn.ModuleDict({"a": block, "b": block})
    (layer,) = find_layers(model)
    assert (layer.key, layer.notes) == ("a.0", ("also registered as b.0",))


def test_a_tree_with_a_cycle_is_walked_once():
    model = nn.Sequential(nn.Conv2d(2, 2, 1))
    model.back = model
    assert find_layers(model).keys() == ("0",)


def test_tied_weights_are_told_on_both_sides():
    model: Any = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10), nn.Linear(10, 4))
    model[1].weight = model[0].weight
    model[2].weight = nn.Parameter(model[0].weight.data.T)  # the same memory, transposed
    notes = {layer.key: layer.notes for layer in find_layers(model)}
    assert notes == {
        "0": ("shares its weight with 1", "shares its weight with 2"),
        "1": ("shares its weight with 0", "shares its weight with 2"),
        "2": ("shares its weight with 0", "shares its weight with 1"),
    }


def test_the_calls_of_one_module_are_not_called_tied():
    layers = find_layers(Reused(), torch.randn(1, 3, 8, 8))
    assert layers["twice:1"].notes == ()


class Holder(nn.Module):
    """Holds its own table, and parameters in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(3, 4))
        self.scale = nn.Parameter(torch.ones(4))
        self.parts = nn.ParameterList([torch.zeros(2, 2), torch.zeros(3, 3)])
        self.register_buffer("fixed", torch.zeros(5, 5))
        self.conv = nn.Conv2d(4, 4, 1)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x)) * self.scale.sum() + self.table.sum() + self.parts[0].sum()


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.Embedding(10, 4), "Embedding: a table of vectors, no filters"),
        (nn.EmbeddingBag(10, 4), "EmbeddingBag: a table of vectors, no filters"),
        (nn.LSTM(4, 5), "LSTM: recurrent weights, no filters"),
        (nn.GRUCell(4, 5), "GRUCell: recurrent weights, no filters"),
        (nn.LayerNorm([2, 3]), "LayerNorm: scales element by element, no filters"),
        (
            nn.ParameterList([torch.zeros(2, 2), torch.zeros(3)]),
            "ParameterList: uses 0 (2×2) in a way that convlens does not know",
        ),
    ],
)
def test_tables_that_are_no_filters_are_listed_with_the_reason(module, reason):
    (layer,) = find_layers(module)
    assert layer.reason == reason
    with pytest.raises(ArgumentError, match=re.escape(reason)):
        layer.weight()


def test_nothing_of_a_mixed_model_is_left_out():
    layers = find_layers(Holder(), torch.randn(1, 4, 3, 3))
    assert layers.keys() == ("(model)", "parts", "conv")
    assert layers["(model)"].reason == (
        "Holder: uses table (3×4) in a way that convlens does not know"
    )
    assert layers["parts"].notes == ()  # never called, and used all the same
    assert layers.notes == ("1 PReLU holds vectors or single numbers and no filters",)


def test_tables_in_buffers_are_told_of():
    blur = nn.Module()
    blur.register_buffer("kernel", torch.ones(1, 1, 3, 3))
    model = nn.Sequential(nn.Conv2d(3, 3, 3), blur)
    assert find_layers(model).notes == ("buffers are not looked at: 1.kernel",)


def test_a_table_beside_the_weight_of_a_layer_is_told_of():
    conv: Any = nn.Conv2d(3, 8, 3)
    conv.lora_a = nn.Parameter(torch.zeros(2, 27))
    assert find_layers(conv)[0].notes == ("also holds lora_a, not looked at",)


def test_attention_lists_its_projections_where_they_run():
    model = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    layers = find_layers(model, torch.randn(3, 2, 16))
    assert layers.keys() == ("self_attn", "self_attn.out_proj", "linear1", "linear2")
    assert layers[0].reason == (
        "MultiheadAttention: projections to queries, keys and values, no filters"
    )
    assert layers["self_attn.out_proj"].notes == ()
    assert layers["self_attn.out_proj"].shape == (16, 16)
    assert layers.notes == ("2 LayerNorm hold one number per channel and no filters",)


def test_a_projection_that_attention_reads_itself_is_one_layer_however_often_it_runs():
    attention = nn.MultiheadAttention(8, 2)
    x = torch.randn(3, 2, 8)
    layers = find_layers(attention, x, lambda m, x: m(m(x, x, x)[0], x, x))
    assert layers.keys() == ("(model):0", "out_proj", "(model):1")


def test_parameters_of_every_kind_are_listed_or_told_of():
    """Count: each parameter is in a row, or its module in a sentence of the notes."""
    model = nn.Sequential(Holder(), nn.TransformerEncoderLayer(8, 2, 16), CifarResNet(1))
    layers = find_layers(model)
    rows = {id(layer.module) for layer in layers}
    told = {word for note in layers.notes for word in note.split()}
    for name, module in model.named_modules():
        if list(module.parameters(recurse=False)) and id(module) not in rows:
            assert type(module).__name__ in told, name


def test_layers_of_nothing_can_be_shown():
    assert repr(Layers(nn.ReLU(), [])) == "<Layers of ReLU: 0>"
