"""What a model cannot have is said before anything runs; what is rewritten stays the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import convlens as cl
from convlens.saliency import METHODS
from convlens.saliency.preflight import prepare
from convlens.saliency.relevance import relevance_copy
from convlens.saliency.rewrite import modular_copy
from tests.saliency.nets import NETS, make

WITHOUT_GRADIENTS = {name for name, m in METHODS.items() if m.family == "perturbation"}


@pytest.mark.parametrize("name", NETS)
def test_the_copy_gives_identical_outputs_and_leaves_the_model(name):
    model, x = make(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copied, _ = modular_copy(model)
    assert torch.equal(copied(x), model(x))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    if name != "depthwise":
        relevance, _ = relevance_copy(model, x[:1])
        assert torch.equal(relevance(x), model(x))
        own = {id(parameter) for parameter in model.parameters()}
        assert not own & {id(parameter) for parameter in relevance.parameters()}


def test_a_fit_model_is_not_copied():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2)).eval()
    x = torch.randn(1, 3, 10, 10)
    for name in ("guided_backprop", "deep_lift"):
        assert prepare(name, model, x, None, None).model is model
    assert prepare("guided_backprop", *make("functional"), None, None).note


class Branching(nn.Module):
    """Whose path depends on the data: torch.fx cannot write it down."""

    def __init__(self, modules: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4, 3)
        self.modules_only = modules

    def forward(self, x):
        x = self.conv(x)
        if x.mean() > 1e9:
            x = -x
        x = self.relu(x) if self.modules_only else F.relu(x)
        return self.fc(x.mean((2, 3)))


def test_what_cannot_be_rewritten_is_refused_and_what_need_not_be_is_not():
    x = torch.randn(2, 3, 8, 8)
    said: Any = cl.preflight(Branching(), x)
    refused = {"guided_backprop", "deconvolution", "guided_grad_cam", "deep_lift", "lrp"}
    refused |= {"deep_lift_shap"}
    assert {name for name, reason in said.items() if reason} == refused
    assert said["guided_backprop"].startswith(
        "Branching calls 1 ReLU as functions, which Guided backpropagation cannot see into, and it "
        "cannot be rewritten exactly: torch.fx cannot follow its forward pass ("
    )
    said: Any = cl.preflight(Branching(modules=True), x)
    assert {name for name, reason in said.items() if reason} == {"lrp"}


@pytest.mark.parametrize("name", sorted(set(METHODS) - WITHOUT_GRADIENTS))
def test_the_sentence_of_the_menu_is_that_of_the_exception(name):
    x = torch.randn(2, 3, 10, 10)
    for model in (make("depthwise")[0], Branching(), Detached()):
        reason = cl.preflight(model, x)[name]
        if reason is None:
            assert cl.attribute(model, x, method=name).finished
        else:
            with pytest.raises(cl.ArgumentError) as caught:
                cl.attribute(model, x, method=name)
            assert str(caught.value) == reason
            assert reason.endswith(".")


class Detached(nn.Module):
    """No gradient gets through, as in a quantised network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        with torch.no_grad():
            return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


def test_a_model_without_gradients_is_offered_occlusion():
    said: Any = cl.preflight(Detached(), torch.randn(1, 3, 8, 8))
    assert {name for name, reason in said.items() if reason is None} == WITHOUT_GRADIENTS
    assert said["saliency"].startswith("Detached has no gradients: no gradient of its output")
    assert "occlusion" in said["saliency"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_quantised_model():
    engines = [e for e in torch.backends.quantized.supported_engines if e != "none"]
    if not engines:
        pytest.skip("this torch quantises nothing")
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engines[-1]
    try:
        from torch.ao import quantization

        tools: Any = quantization  # deprecated, and still what people have

        model: Any = nn.Sequential(
            tools.QuantStub(), nn.Conv2d(3, 4, 3), nn.ReLU(), tools.DeQuantStub(), nn.Flatten()
        ).eval()
        model.qconfig = tools.get_default_qconfig(engines[-1])
        x = torch.randn(2, 3, 6, 6)
        observed = tools.prepare(model)
        observed(x)
        quantised = tools.convert(observed)
        for given in (None, x):
            said: Any = cl.preflight(quantised, given)
            assert "quantised layers" in said["integrated_gradients"]
            assert said["occlusion"] is None
        found: Any = cl.attribute(quantised, x, 1, "occlusion", window=3)
        assert np.abs(found.values).max() > 0
    finally:
        torch.backends.quantized.engine = before


def test_what_is_known_is_forgotten_when_the_model_changes():
    model, x = make("vgg")
    assert cl.preflight(model, x)["guided_backprop"] is None
    first = cl.attribute(model, x, 0, "deep_lift").values
    with torch.no_grad():
        model[3].weight.mul_(-1)
    assert not np.allclose(first, cl.attribute(model, x, 0, "deep_lift").values)
    model[1] = model[4] = model[8] = nn.GELU()
    assert str(cl.preflight(model, x)["guided_backprop"]).startswith("Sequential has no ReLU")


def test_a_missing_scikit_learn_is_said(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "sklearn" else find(name, *a)
    )
    model, x = make("vgg")
    assert cl.preflight(model, x)["lime"] == (
        "Lime needs scikit-learn: install it with pip install scikit-learn."
    )


def test_a_layer_without_positions_has_no_grad_cam():
    model, x = make("vgg")
    said: Any = cl.preflight(model, x, layer="7")
    assert said["layer_grad_cam"] == (
        "7 emits one number per channel and no map: Grad-CAM needs a convolution or another layer "
        "with positions."
    )
    with pytest.raises(cl.ArgumentError, match="7 emits one number per channel"):
        cl.attribute(model, x, method="layer_grad_cam", layer="7")


def test_products_of_activations_have_no_deep_lift():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.fc = nn.Linear(4, 3)

        def forward(self, x):
            x = self.conv(x)
            return self.fc((x * torch.sigmoid(x.mean((2, 3), keepdim=True))).mean((2, 3)))

    said: Any = cl.preflight(Gated(), torch.randn(1, 3, 8, 8))
    assert "a product of two activations" in said["deep_lift"]
    assert said["integrated_gradients"] is None
