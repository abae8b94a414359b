"""Networks of real integers in a Lens: what they cannot do is said, the rest works."""

import importlib.util

import pytest
import torch

import convlens as cl
from convlens.saliency import METHODS
from tests.models import SHARED, trained
from tests.widget.test_lens import arrays

BACKENDS = [
    "torch.ao",
    pytest.param(
        "torchao",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("torchao") is None, reason="pip install 'convlens[torchao]'"
        ),
    ),
]
FEATURE = {"channel": 0, "steps": 3, "seed": 0, "size": 0}


@pytest.fixture(scope="module", params=BACKENDS)
def networks(request):
    """ResNet-20 of the shared data where it is, else the demo network, and it in integers."""
    if (SHARED / "cifar10").is_dir():
        model = trained("resnet20")
        images = torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    else:
        digits = cl.demo.load()
        model, images = digits.model, digits.images[:32]
    return model, cl.compression.quantize(model, images, backend=request.param), images


def test_methods_by_gradients_are_refused_with_the_reason_and_others_run(open_lens, page, networks):
    model, int8, images = networks
    lens = open_lens(int8, images, model)
    told = page.ask("preflight", layer=lens.layer)["header"]
    for name, method in METHODS.items():
        if method.family == "perturbation":
            assert told["model"][name] is None, name
        else:
            assert "has no gradients" in told["model"][name], name
    assert told["reference"]["saliency"] is None
    asked = {"input": 0, "target": "predicted", "layer": lens.layer, "channel": -1}
    asked |= {"side": "model", "baseline": "", "settings": "{}"}
    refused = page.ask("saliency", method="saliency", **asked)
    assert "has no gradients" in refused["header"]["message"]
    shown = page.ask("saliency", method="occlusion", **asked)
    assert abs(arrays(shown)["values"]).max() > 0


@pytest.mark.parametrize("side", ["model", "reference"])
def test_features_of_the_one_that_has_gradients_are_drawn_beside_the_reason(
    open_lens, page, networks, side
):
    model, int8, images = networks
    lens = open_lens(*((int8, images, model) if side == "model" else (model, images, int8)))
    other = "reference" if side == "model" else "model"
    reply = page.ask("features", layer=lens.layer, **FEATURE)
    assert reply["status"] == "ok"
    reasons = {one["side"]: one["reason"] for one in reply["header"]["sides"]}
    assert reasons[other] is None
    assert f"{other}_picture" in arrays(reply)
    assert "passes no gradient back" in reasons[side] or "exported graph" in reasons[side]
    page_of = {k: v for k, v in FEATURE.items() if k != "channel"} | {"layer": lens.layer}
    refused = page.ask("feature_page", side=side, start=0, **page_of)
    assert refused["header"]["message"] == reasons[side]
    assert page.ask("feature_page", side=other, start=0, **page_of)["status"] == "ok"


def test_features_of_integers_alone_say_why_there_are_none(open_lens, page, networks):
    _, int8, images = networks
    lens = open_lens(int8, images)
    reply = page.ask("features", layer=lens.layer, **FEATURE)
    [side] = reply["header"]["sides"]
    assert "passes no gradient back" in side["reason"] or "exported graph" in side["reason"]
    assert reply["header"]["finished"]


def test_report_and_scales_of_integers(open_lens, page, networks):
    model, int8, images = networks
    lens = open_lens(model, images, int8, view="compression")
    header = page.ask("compression", after="auto")["header"]
    assert header["side"] == "reference", "the smaller is what came after"
    assert header["alone"] == {"model": [], "reference": []}
    assert all(row["texts"]["cost"] and row["texts"]["cka"] for row in header["layers"])
    for row in header["layers"]:
        scales = page.ask("compression_scales", model=row["model"], reference=row["reference"])
        assert scales["header"]["reference_grid"]["bits"] == 8, row
        plain = cl.compression.read_scales(int8, row["reference"])
        assert arrays(scales)["reference_scales"].tolist() == pytest.approx(plain.scales.tolist())
        assert arrays(scales)["reference_zeros"].tolist() == plain.zero_points.tolist()
    assert lens.result().layers
