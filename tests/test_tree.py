"""What is no model is refused, each with what to do instead."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from convlens.errors import ModelError
from convlens.layers import find_layers
from tests.models import CifarResNet, trained

_STATE = nn.Conv2d(3, 4, 3).state_dict()


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (None, "got None: pass the model itself."),
        ("net.pt", "got the path 'net.pt': build the model, load the file into it with"),
        (_STATE, "got a state dict (OrderedDict of 2 tensors): build the model, call"),
        ({"state_dict": _STATE, "epoch": 3}, "load_state_dict(checkpoint['state_dict'])"),
        ({"model": nn.Linear(2, 2)}, "got a dict: pass its ['model']."),
        ({}, "got a dict: pass the model itself."),
        (CifarResNet, "got the class CifarResNet: make one of it, CifarResNet(...), and pass that"),
        (trained, "got the function trained: pass the model that it returns or uses."),
        (nn.Linear(2, 2).forward, "got the function forward"),
        ([nn.Linear(2, 2)], "got a list of modules: pass one of them, or torch.nn.Sequential"),
        (torch.zeros(3, 4), "got a tensor of shape (3, 4): pass the module that holds it."),
        (3, "got an int."),
    ],
)
def test_what_is_no_module_is_refused_with_what_to_do(given_, message):
    with pytest.raises(ModelError) as caught:
        find_layers(given_)
    assert str(caught.value).startswith("convlens expects a torch.nn.Module, but got ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_object_around_a_model_is_refused_with_where_the_model_is():
    class Trainer:
        model = nn.Linear(2, 2)

    with pytest.raises(ModelError, match=r"got a Trainer: pass its \.model\.$"):
        find_layers(Trainer())  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.ReLU(), "This ReLU has no convolution, linear layer or other table of weights."),
        (
            nn.BatchNorm2d(4),
            (
                "This BatchNorm2d has no convolution, linear layer or other table of weights "
                "(1 BatchNorm2d holds one number per channel and no filters)."
            ),
        ),
    ],
)
def test_a_module_without_weights_is_refused(model, message):
    with pytest.raises(ModelError, match=f"^{re.escape(message)}$"):
        find_layers(model)
