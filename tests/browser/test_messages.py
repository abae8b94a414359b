"""Long work can be stopped, and no message from the page ends a Lens."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.cells import digits
from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually

# One weight in many layers: long to measure, and no more memory than one layer.
BIG = """
import torch
from torch import nn
from convlens import Lens
first = nn.Conv2d(1024, 1024, 3)
model = nn.Sequential(first, *(nn.Conv2d(1024, 1024, 3, device="meta") for _ in range(199)))
for layer in model[1:]: layer.weight, layer.bias = first.weight, first.bias
lens = Lens(model)
lens
"""
NAN = """
from convlens import Lens, demo
model = demo.load().model
model.layer2[0].conv2.weight.data[3, 1] = float("nan")
lens = Lens(model, view="filters", layer="layer2.0.conv2")
lens
"""
MALFORMED: list[Any] = [
    None,
    "text",
    {"id": 5},
    {"id": "a", "client": "b", "kind": "no such kind", "params": {}},
    {"id": "b", "client": "b", "kind": "filters", "params": {"layer": "no such layer", "start": 0}},
    {"id": "c", "client": "b", "kind": "filters", "params": {"layer": "conv1", "start": 1e12}},
    {"id": "d", "client": "b", "kind": "quality", "params": {"eps": "0.1"}},
    {"id": "e", "client": "b", "kind": "cancel", "params": {}},
    {"id": "f" * 100_000, "client": "b", "kind": "hello", "params": {}},
]


def test_stop_ends_a_running_measurement(notebook: Notebook) -> None:
    notebook.replace([BIG])
    notebook.run(0)
    lens = LensOnScreen(notebook.output(0))
    lens.button("Stop").click()
    expect(lens.root.get_by_role("progressbar")).to_have_count(0)
    expect(lens.notice("not measured")).to_be_visible()
    waiting = lens.rail.locator(".cl-wait").count()
    assert waiting > 0, "all was measured before it was stopped"
    lens.choose("5")
    lens.await_distribution()
    assert lens.rail.locator(".cl-wait").count() == waiting, "the measurement went on"


@pytest.mark.parametrize("method", ["custom", "update"])
def test_malformed_messages_leave_the_lens_alive(notebook: Notebook, method: str) -> None:
    lens = show(
        notebook, digits(), "print(lens.model_id)", "print(lens.layer, lens.eps, lens.stale)"
    )
    states = [{"layer": 5}, {"eps": "much"}, {"eps": 7}, {"stale": True, "_structure": {}}]
    data = (
        [{"method": "custom", "content": content} for content in MALFORMED]
        if method == "custom"
        else [{"method": "update", "state": state, "buffer_paths": []} for state in states]
    )
    notebook.send_to_widget(notebook.run(1), data)
    assert notebook.run(2) == "conv1 0.01 False"
    lens.choose("layer3.1.conv1")
    lens.await_layer("layer3.1.conv1")
    notebook.await_text(2, "layer3.1.conv1 0.01 False")


def test_nan_weights_are_marked_and_the_rest_is_shown(notebook: Notebook) -> None:
    lens = show(notebook, NAN)
    lens.await_gallery("layer2.0.conv2")
    expect(lens.findings).to_contain_text("1 filter holds NaN or infinite weights")

    def drawn() -> None:
        assert len({tuple(p) for p in lens.gallery_pixels().reshape(-1, 3).tolist()}) > 100

    eventually(notebook.page, drawn)
    expect(lens.option("layer2.0.conv2")).to_contain_text("NaN")
    lens.open("Quality")
    expect(lens.verdict).to_contain_text("NaN")
    lens.choose("layer2.1.conv1")
    lens.await_layer("layer2.1.conv1")
    expect(lens.status).to_contain_text("sparsity")
