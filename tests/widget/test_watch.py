import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from convlens.widget.watch import fingerprint


def sgd_step(conv):
    conv(torch.ones(1, 2, 5, 5)).sum().backward()
    torch.optim.SGD(conv.parameters(), lr=0.1).step()


def replace(conv):
    conv.weight = nn.Parameter(torch.zeros_like(conv.weight))


@pytest.mark.parametrize(
    "change",
    [
        sgd_step,
        replace,
        lambda conv: conv.weight.data.mul_(1.01),
        lambda conv: prune.l1_unstructured(conv, "weight", amount=0.5),
        lambda conv: conv.half(),
        lambda conv: conv.load_state_dict(nn.Conv2d(2, 3, 3).state_dict()),
    ],
    ids=["optimiser", "replaced", "through .data", "pruned", "cast", "loaded"],
)
def test_changed_weights_are_noticed(change):
    conv = nn.Conv2d(2, 3, 3)
    before = fingerprint([conv])
    change(conv)
    assert fingerprint([conv]) != before


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_unchanged_weights_keep_their_fingerprint(memory_format):
    conv = nn.Conv2d(2, 3, 3)
    conv.weight.data = conv.weight.data.to(memory_format=memory_format)
    before = fingerprint([conv, conv])
    conv(torch.ones(1, 2, 5, 5)).sum().backward()
    assert fingerprint([conv, conv]) == before


def test_nan_weights_are_no_change():
    conv = nn.Conv2d(2, 3, 3)
    nn.init.constant_(conv.weight, float("nan"))
    assert fingerprint([conv]) == fingerprint([conv])


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(2, 3, 3, device="meta"),
        nn.LazyConv2d(3, 3),
        nn.Conv2d(2, 3, 3).to(torch.bfloat16),
        torch.ao.nn.quantized.Conv2d(2, 3, 3),
        nn.ParameterList([torch.zeros(0)]),
    ],
    ids=["meta", "lazy", "bfloat16", "quantised", "empty"],
)
def test_every_sort_of_weight_can_be_watched(module):
    assert fingerprint([module]) == fingerprint([module])


def test_inference_tensor_can_be_watched():
    with torch.inference_mode():
        conv = nn.Conv2d(2, 3, 3)
    assert fingerprint([conv]) == fingerprint([conv])
