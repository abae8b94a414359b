"""The slider of eps: live without the kernel, exact after it."""

from __future__ import annotations

import numpy as np
from playwright.sync_api import expect

from convlens import demo, measure_quality
from tests.browser.cells import digits
from tests.browser.lens import show
from tests.browser.notebook import Notebook

LAYER = "layer3.1.conv2"


def test_figures_follow_slider_while_kernel_is_not_asked(notebook: Notebook) -> None:
    lens = show(notebook, digits("redundant", f'layer="{LAYER}"'), "print(lens.eps)")
    lens.await_distribution()
    before = lens.status.text_content() or ""
    chart = lens.chart_pixels()
    notebook.watch_messages()

    box = lens.eps.bounding_box()
    assert box
    mouse, y = notebook.page.mouse, box["y"] + box["height"] / 2
    mouse.move(box["x"] + 0.45 * box["width"], y)
    mouse.down()
    mouse.move(box["x"] + 0.75 * box["width"], y, steps=5)
    expect(lens.status).not_to_have_text(before)
    shown = float(lens.status.inner_text().split("sparsity ")[1].split()[0])
    eps = float(lens.eps.get_attribute("aria-valuetext").removesuffix(" %")) / 100  # type: ignore[union-attr]
    assert notebook.messages() == [], "the kernel was asked during the drag"
    assert shown > 0.1, "the status line did not follow"
    assert np.abs(lens.chart_pixels() - chart).max() > 30, "the bars did not follow"

    mouse.up()
    sent = [message["method"] for message in notebook.messages()]
    assert sent
    expect(lens.verdict).to_have_attribute("aria-busy", "false")
    told = float(notebook.run(1))
    assert abs(told / eps - 1) < 0.01
    exact = measure_quality(demo.load("redundant").model, eps=told)[LAYER].sparsity
    assert exact is not None
    assert abs(shown - exact) < 6e-4
