"""What happens to a Lens on the screen: restart, close, training, reload, a second view."""

from __future__ import annotations

import numpy as np
from playwright.sync_api import expect

from tests.browser.cells import READ, digits
from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually

TRAINS = """
import torch
for weight in model.parameters(): weight.grad = torch.ones_like(weight)
torch.optim.SGD(model.parameters(), lr=0.05).step()
"""
LAYER = "layer2.1.conv1"


def test_kernel_restart_keeps_the_picture_and_says_so(notebook: Notebook) -> None:
    lens = show(notebook, digits(options=f'layer="{LAYER}"'))
    lens.await_distribution()
    figures = lens.status.inner_text()
    notebook.restart_kernel()
    expect(lens.notice("The kernel is gone")).to_be_visible()
    expect(lens.eps).to_be_disabled()
    lens.choose("layer1.0.conv1")
    lens.choose(LAYER)
    expect(lens.status).to_have_text(figures, use_inner_text=True)
    lens.await_distribution()
    lens.await_bars()

    notebook.run(0)
    lens.await_measured()
    lens.choose("layer1.0.conv1")
    lens.await_layer("layer1.0.conv1")
    expect(lens.notice("The kernel is gone")).to_have_count(0)


def test_closed_lens_keeps_the_picture_and_says_so(notebook: Notebook) -> None:
    lens = show(notebook, digits(), "lens.close()", "lens.layer = 'conv1'")
    notebook.run(1)
    expect(lens.notice("This Lens was closed in Python")).to_be_visible()
    expect(lens.eps).to_be_disabled()
    expect(lens.rail.get_by_role("option")).to_have_count(16)
    expect(lens.root.get_by_role("alert")).to_have_count(0)
    assert "This Lens is closed" in notebook.run(2)


def test_all_widgets_closed_and_the_page_reloaded_keeps_the_picture(notebook: Notebook) -> None:
    close = "import ipywidgets; lens.layout.width = '900px'; ipywidgets.Widget.close_all()"
    lens = show(notebook, digits(options=f'layer="{LAYER}"'), close)
    figures = lens.status.inner_text()
    notebook.run(1)
    expect(lens.notice("This Lens was closed in Python")).to_be_visible()
    notebook.save()
    notebook.reload()
    lens = LensOnScreen(notebook.output(0))
    expect(lens.notice("This Lens was closed in Python")).to_be_visible()
    expect(lens.status).to_have_text(figures, use_inner_text=True)
    expect(lens.root).to_have_css("width", "900px")


def test_training_makes_it_stale_until_refresh_is_clicked(notebook: Notebook) -> None:
    lens = show(notebook, digits(options=f'layer="{LAYER}"'), TRAINS)
    before = lens.status.inner_text()
    notebook.run(1)
    expect(lens.notice("Weights changed")).to_be_visible()
    assert lens.status.inner_text() == before, "figures changed before they were asked to"
    lens.button("Refresh").click()
    expect(lens.notice("Weights changed")).to_have_count(0)
    lens.await_measured()
    expect(lens.status).not_to_have_text(before, use_inner_text=True)


def test_refresh_from_a_cell_draws_the_new_weights(notebook: Notebook) -> None:
    lens = show(
        notebook, digits(options=f'layer="{LAYER}", view="filters"'), TRAINS + "lens.refresh()"
    )
    lens.await_gallery(LAYER)
    notebook.page.mouse.move(0, 0)
    before = lens.card.inner_text()
    notebook.run(1)
    expect(lens.card).not_to_have_text(before, use_inner_text=True)
    expect(lens.notice("Weights changed")).to_have_count(0)


def test_page_reload_brings_the_picture_back(notebook: Notebook) -> None:
    lens = show(notebook, digits(), READ)
    lens.choose(LAYER)
    lens.await_layer(LAYER)
    notebook.page.mouse.move(0, 0)
    before = lens.chart_pixels_at_rest()
    notebook.save()
    notebook.reload()
    lens = LensOnScreen(notebook.output(0))
    lens.await_measured()
    lens.await_layer(LAYER)

    def same() -> None:
        after = lens.chart_pixels()
        assert after.shape == before.shape
        assert np.abs(after - before).max() == 0, "another picture came back"

    eventually(notebook.page, same)
    lens.choose("layer1.0.conv1")
    lens.await_layer("layer1.0.conv1")
    notebook.await_text(1, "quality layer1.0.conv1 None 0.01")


def test_two_views_of_a_lens_show_the_same_choice(notebook: Notebook) -> None:
    first = show(notebook, digits(), "lens")
    notebook.run(1)
    second = LensOnScreen(notebook.output(1))
    second.await_measured()
    first.choose(LAYER)
    for view in (first, second):
        expect(view.status).to_contain_text(LAYER)
        view.await_distribution()
    second.open("Filters")
    for view in (first, second):
        view.await_gallery(LAYER)
