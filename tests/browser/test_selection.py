"""What is clicked in a Lens can be read in the next cell, and what a cell sets is seen."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests import models
from tests.browser.cells import READ, digits, trained
from tests.browser.lens import show
from tests.browser.notebook import Notebook


@pytest.mark.parametrize(("name", "layers"), [("resnet20", 20), ("resnet32", 32)])
def test_real_network_answers_every_click(notebook: Notebook, name: str, layers: int) -> None:
    models.trained(name)
    lens = show(notebook, trained(name), READ)
    expect(lens.rail.get_by_role("option")).to_have_count(layers)

    lens.choose("layer2.1.conv2")
    lens.await_layer("layer2.1.conv2")
    expect(lens.status).to_contain_text("32 × 32 filters of 3 × 3")
    notebook.await_text(1, "quality layer2.1.conv2 None 0.01")

    lens.open("Filters")
    lens.await_layer("layer2.1.conv2")
    lens.choose("layer1.0.conv1")
    lens.await_layer("layer1.0.conv1")
    notebook.await_text(1, "filters layer1.0.conv1 None 0.01")


def test_click_on_bar_selects_layer(notebook: Notebook) -> None:
    lens = show(notebook, digits(), READ)
    box = lens.chart.bounding_box()
    assert box
    # The bars end left of the words beside the guide lines: well inside there are only bars.
    lens.chart.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    expect(lens.option("conv1")).to_have_attribute("aria-selected", "false")
    chosen = lens.chart.get_attribute("aria-valuetext")
    assert chosen is not None
    layer = chosen.split(",")[0]
    assert layer != "conv1"
    expect(lens.option(layer)).to_have_attribute("aria-selected", "true")
    notebook.await_text(1, f"quality {layer} None 0.01")


def test_click_on_filter_selects_its_output(notebook: Notebook) -> None:
    lens = show(notebook, digits(options='view="filters", layer="layer2.0.conv2"'), READ)
    lens.await_gallery("layer2.0.conv2")
    lens.gallery.click(position={"x": 120, "y": 150})
    expect(lens.card).to_contain_text("pinned")
    words = lens.card.get_by_role("heading").inner_text()
    out = int(words.split("out ")[1].split(",")[0])
    expect(lens.findings).to_contain_text(f"Output {out} of 24 is chosen.")
    notebook.await_text(1, f"filters layer2.0.conv2 {out} 0.01")


def test_cell_sets_what_is_shown(notebook: Notebook) -> None:
    set_ = (
        'lens.view = "filters"; lens.layer = "layer3.1.conv2"; lens.channel = 7; lens.sort="norm"'
    )
    lens = show(notebook, digits(), set_)
    notebook.run(1)
    lens.await_gallery("layer3.1.conv2")
    expect(lens.option("layer3.1.conv2")).to_have_attribute("aria-selected", "true")
    expect(lens.findings).to_contain_text("Output 7 of 48 is chosen.")
    expect(lens.root.get_by_role("radio", name="norm", exact=True)).to_be_checked()


def test_cell_with_wrong_layer_gets_the_nearest_names(notebook: Notebook) -> None:
    show(notebook, digits(), 'lens.layer = "layer3.1.conv9"', "lens.eps = 2", READ)
    assert "layer3.1.conv2" in notebook.run(1)
    assert "between 0 and 1" in notebook.run(2)
    assert notebook.run(3) == "quality conv1 None 0.01"
