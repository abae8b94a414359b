"""Every analysis leaves the model as it was found, whatever comes of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import convlens as cl
from convlens.errors import ConvlensError
from tests.untouched import differences, fingerprint


class Fails(nn.Module):
    """A parametrisation that raises when it is told to."""

    broken = False

    def forward(self, weight: Tensor) -> Tensor:
        if Fails.broken:
            raise RuntimeError("broken inside the model")
        return weight


class Net(nn.Module):
    """In training mode, with all that a careless analysis would disturb."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.spectral = parametrizations.spectral_norm(nn.Conv2d(8, 8, 3))
        self.pruned = nn.Conv2d(8, 4, 3)
        prune.l1_unstructured(self.pruned, "weight", amount=0.3)
        self.fragile = nn.Conv2d(4, 4, 1)
        parametrize.register_parametrization(self.fragile, "weight", Fails())
        self.drop.eval()
        self.fragile.requires_grad_(False)
        self.first.register_forward_hook(lambda *_: None)
        self(torch.ones(2, 3, 9, 9)).sum().backward()

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.relu(self.norm(self.first(x))))
        return self.fragile(self.relu(self.pruned(self.relu(self.spectral(x)))))


def never(*_: object) -> bool:
    return False


def total(outputs: Tensor) -> Tensor:
    """Give one number per input."""
    return outputs.mean((1, 2, 3))


def pooled(model: nn.Module, x: Tensor) -> Tensor:
    """Make classes of the channels."""
    return model(x).mean((2, 3))


def in_lens(kind: str, **params: object) -> Callable[..., Any]:
    """Ask a Lens, as its front end does."""

    def ask(model: nn.Module, images: Tensor, lens: Any, front: Any, **changes: object) -> None:
        broken, Fails.broken = Fails.broken, False
        lens(model, images)
        Fails.broken = broken  # not before there is a Lens to ask
        reply = front.ask(kind, **(params | changes))
        if reply["status"] == "error":
            raise ConvlensError(reply["header"]["message"])

    return ask


@dataclass
class Analysis:
    """One way to look at a model: how to run it, what it refuses, and how to stop it."""

    run: Callable[..., Any]
    bad: dict[str, Any]
    stop: dict[str, Any] | None = None
    in_lens: bool = False


ALIKE = {"measure": "cka", "comparison": "self", "layer_set": "all", "settings": "{}"}
CLIMB = {"layer": "fragile", "steps": 2, "seed": 0, "size": 12}
ANALYSES = {
    "find_layers": Analysis(
        lambda m, x, **k: cl.find_layers(m, k.pop("inputs", x)), {"inputs": []}
    ),
    "measure_quality": Analysis(
        lambda m, x, **k: cl.measure_quality(m, **({"inputs": x} | k)),
        {"eps": 2},
        {"progress": never},
    ),
    "measure_distribution": Analysis(
        lambda m, x, layer="fragile": cl.measure_distribution(m, layer), {"layer": "nothing"}
    ),
    "read_filters": Analysis(
        lambda m, x, layer="fragile": cl.read_filters(m, layer, inputs=x), {"layer": "nothing"}
    ),
    "attribute": Analysis(
        lambda m, x, **k: cl.attribute(m, x[:4], total, batch_size=4, steps=k.pop("steps", 4), **k),
        {"steps": 0},
        {"progress": never},
    ),
    **{
        f"attribute {name}": Analysis(
            lambda m, x, name=name, **k: cl.attribute(m, x[:2], total, name, **k),
            {"baseline": "nothing"},
            {"progress": never},
        )
        for name in ("deep_lift", "guided_backprop", "layer_grad_cam", "occlusion", "smoothgrad")
    },
    "preflight": Analysis(lambda m, x, **k: cl.preflight(m, k.pop("inputs", x)), {"inputs": []}),
    "predict": Analysis(
        lambda m, x, **k: cl.predict(m, x, forward=pooled, **k), {"top": 0}, {"progress": never}
    ),
    "sanity_check": Analysis(
        lambda m, x, **k: cl.sanity_check(m, x[:2], "saliency", total, layers="first", **k),
        {"how": "all"},
        {"progress": never},
    ),
    "compare": Analysis(
        lambda m, x, **k: cl.compare(m, x, layers="all", batch_size=8, **k),
        {"measure": "ckaa"},
        {"progress": never},
    ),
    "drift": Analysis(
        lambda m, x, **k: cl.filterdb.drift(m, inputs=x, **k),
        {"group": "nothing"},
        {"progress": never},
    ),
    "quantize": Analysis(lambda m, x, **k: cl.compression.quantize(m, x[:4], **k), {"bits": 1}),
    "imp": Analysis(
        lambda m, x, **k: list(
            cl.compression.imp(m, lambda net: net(x), k.pop("rounds", 1), 0.5, layers="first", **k)
        ),
        {"rounds": -1},
        {"progress": never},
    ),
    "compression report": Analysis(
        lambda m, x, **k: cl.compression.report(m, m, x, **k), {"eps": 2}, {"progress": never}
    ),
    "recorder": Analysis(lambda m, x, **k: cl.Recorder(m, x, **k).snapshot(), {"limit": 1}),
    "visualize_features": Analysis(
        lambda m, x, **k: cl.visualize_features(m, "fragile", [0, 1], size=12, steps=2, **k),
        {"tv": -1},
        {"progress": never},
    ),
    "top_inputs": Analysis(
        lambda m, x, **k: cl.top_inputs(m, x, "fragile", batch_size=8, **k),
        {"k": 0},
        {"progress": never},
    ),
    "activation_maps": Analysis(
        lambda m, x, **k: cl.activation_maps(m, x, "fragile", **k), {"channels": 99}
    ),
    "lens quality": Analysis(in_lens("quality", eps=0.01), {"eps": 2}, in_lens=True),
    "lens distribution": Analysis(
        in_lens("distribution", layer="fragile"), {"layer": "nothing"}, in_lens=True
    ),
    "lens filters": Analysis(
        in_lens("filters", layer="fragile", start=0), {"start": 99}, in_lens=True
    ),
    "lens cluster": Analysis(
        in_lens("cluster", layer="fragile", start=0), {"start": 99}, in_lens=True
    ),
    "lens similarity": Analysis(in_lens("similarity", **ALIKE), {"measure": "ckaa"}, in_lens=True),
    "lens drift": Analysis(
        in_lens("drift", against="shipped", group="all"), {"group": "nothing"}, in_lens=True
    ),
    "lens features": Analysis(
        in_lens("features", **CLIMB, channel=0), {"channel": 99}, in_lens=True
    ),
    "lens feature_page": Analysis(
        in_lens("feature_page", **CLIMB, side="model", start=0), {"side": "other"}, in_lens=True
    ),
    "lens top_inputs": Analysis(
        in_lens("top_inputs", layer="fragile", channel=0), {"channel": 99}, in_lens=True
    ),
    "lens activations": Analysis(
        in_lens("activations", layer="fragile", channel=0, input=0), {"input": 99}, in_lens=True
    ),
    "lens refresh": Analysis(in_lens("refresh"), {"now": True}, in_lens=True),
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    Fails.broken = False
    yield Net().train()
    Fails.broken = False


@pytest.fixture
def images():
    return torch.randn(32, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def run(request, model, images):
    """Run an analysis by name; those of the Lens with a front end."""

    def go(name: str, **changes: Any) -> None:
        analysis = ANALYSES[name]
        if analysis.in_lens:
            ends = (request.getfixturevalue("open_lens"), request.getfixturevalue("page"))
            analysis.run(model, images, *ends, **changes)
        else:
            analysis.run(model, images, **changes)

    return go


@pytest.mark.parametrize("name", ANALYSES)
def test_after_success(name, run, model):
    before = fingerprint(model)
    run(name)
    assert differences(before, fingerprint(model)) == []


@pytest.mark.parametrize("name", ANALYSES)
def test_after_a_bad_argument(name, run, model):
    before = fingerprint(model)
    with pytest.raises(ConvlensError):
        run(name, **ANALYSES[name].bad)
    assert differences(before, fingerprint(model)) == []


@pytest.mark.parametrize("name", ANALYSES)
def test_after_an_exception_inside_the_model(name, run, model):
    Fails.broken = True
    before = fingerprint(model)
    # of one layer that cannot be read quality says so in its row, drift leaves it out; refresh
    # reads no weights
    if name in ("lens quality", "lens drift", "lens refresh"):
        run(name)
    else:
        with pytest.raises((ConvlensError, RuntimeError)) as caught:
            run(name)
        assert "broken inside the model" in f"{caught.value} {caught.value.__cause__}"
    assert differences(before, fingerprint(model)) == []


@pytest.mark.parametrize("name", [name for name, a in ANALYSES.items() if a.stop])
def test_after_cancelling(name, run, model):
    before = fingerprint(model)
    with contextlib.suppress(cl.Cancelled):
        run(name, **(ANALYSES[name].stop or {}))
    assert differences(before, fingerprint(model)) == []


@pytest.mark.parametrize("kind", ["quality", "similarity", "drift"])
def test_after_stop_is_pressed(kind, model, images, open_lens, page):
    before = fingerprint(model)
    open_lens(model, images)
    drift = {"against": "shipped", "group": "all"}
    params = {"quality": {"eps": 0.01}, "similarity": ALIKE, "drift": drift}[kind]
    number = page.send(kind, params=params)
    page.send("cancel", id=number)
    assert page.answer(number)["status"] in ("cancelled", "ok")
    assert differences(before, fingerprint(model)) == []


def test_after_an_offline_page(model, images, open_lens, tmp_path):
    before = fingerprint(model)
    open_lens(model, images).to_html(tmp_path / "lens.html")
    assert differences(before, fingerprint(model)) == []


def test_the_fingerprint_would_notice():
    """The check can fail: each of these is what some tool does to a model."""
    for harm in (
        lambda m: m.eval(),
        lambda m: m.first.register_forward_hook(lambda *_: None),
        lambda m: m(torch.ones(2, 3, 9, 9)),
        lambda m: m.zero_grad(),
        lambda m: m.first.requires_grad_(False),
        lambda m: torch.rand(1),
    ):
        torch.manual_seed(0)
        model = Net().train()
        before = fingerprint(model)
        harm(model)
        assert differences(before, fingerprint(model)), json.dumps(str(harm))
