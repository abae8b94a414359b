"""The slider of eps: live without the kernel, exact after it."""

from __future__ import annotations

import numpy as np
from playwright.sync_api import expect

from convlens import demo, measure_quality
from tests.browser.cells import digits
from tests.browser.lens import show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually

LAYER = "layer3.1.conv2"


def test_figures_follow_slider_while_kernel_is_not_asked(notebook: Notebook) -> None:
    lens = show(notebook, digits("redundant", f'layer="{LAYER}"'), "print(lens.eps)")
    model = demo.load("redundant").model
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

    def eps_shown() -> float:
        return float((lens.eps.get_attribute("aria-valuetext") or "").removesuffix(" %")) / 100

    def moved() -> None:
        shown = float(lens.status.inner_text().split("sparsity ")[1].split()[0])
        exact = measure_quality(model, eps=eps_shown())[LAYER].sparsity
        assert exact is not None
        assert exact > 0.1
        assert abs(shown - exact) < 6e-4, "the status line did not follow"
        assert np.abs(lens.chart_pixels() - chart).max() > 30, "the bars did not follow"

    eventually(notebook.page, moved)
    # a second hello comes a second after the first, whatever is dragged
    sent = [message["content"]["kind"] for message in notebook.messages()]
    asked = [kind for kind in sent if kind != "hello"]
    assert asked == [], "the kernel was asked during the drag"

    mouse.up()
    notebook.page.wait_for_function("() => window.sentToKernel.length > 0")
    expect(lens.verdict).to_have_attribute("aria-busy", "false")

    def told() -> None:
        assert abs(float(notebook.run(1)) / eps_shown() - 1) < 0.01

    eventually(notebook.page, told)
