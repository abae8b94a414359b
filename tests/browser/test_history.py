"""Training in a cell, followed by a slider: bars of each step, told apart from now."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from playwright.sync_api import BrowserContext, expect

from tests.browser.lens import SECOND_HELLO_MS, LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually

NET = """
import torch, time
from pathlib import Path
import convlens as cl
torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3), torch.nn.Flatten()
)
images = torch.randn(16, 3, 8, 8)
lens = cl.Lens(model, images, name="Net")
lens
"""
# goes on until the file is there, so that a slow machine has all the time it needs
TRAIN = """
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
end = time.monotonic() + 200
with lens.recording(every=5, cka=True, limit=20):
    for step in range(10):
        optimizer.zero_grad(); model(images).square().mean().backward(); optimizer.step()
    lens.snapshot("early")
    while time.monotonic() < end and not Path({gate!r}).exists():
        optimizer.zero_grad(); model(images).square().mean().backward(); optimizer.step()
        time.sleep(0.02)
cl.compression.prune(model, 0.6, inplace=True)
lens.snapshot("pruned")
"""


def slider(lens: LensOnScreen):
    return lens.root.get_by_role("slider", name="Snapshot of training")


def test_a_slider_follows_training(notebook: Notebook, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    cells = (NET, TRAIN.replace("{gate!r}", repr(str(gate))), "print(repr(lens.step))")
    set_step = "lens.step = 'early'; print(list(lens.result().index))"
    lens = show(notebook, *cells, set_step, "lens.step = 11")
    expect(slider(lens)).to_have_count(0)
    notebook.await_subshell()
    notebook.page.wait_for_timeout(SECOND_HELLO_MS)
    notebook.start(1)
    try:
        # it comes and grows while the cell runs
        expect(slider(lens)).to_be_visible()
        first = int(slider(lens).get_attribute("max") or 0)

        def grown() -> None:
            assert int(slider(lens).get_attribute("max") or 0) > max(first, 3)

        eventually(notebook.page, grown)
        assert notebook.is_running(1)
        expect(slider(lens)).to_have_attribute("aria-valuetext", re.compile("latest: step"))
    finally:
        gate.touch()
        notebook.finish(1)
    assert not notebook.errors()

    # from the last, pruned, to the first, which was not
    def at_the_end() -> None:
        slider(lens).press("End")
        slider(lens).press("ArrowLeft")
        said = slider(lens).get_attribute("aria-valuetext")
        assert said
        assert "pruned" in said

    eventually(notebook.page, at_the_end)
    expect(lens.status).to_contain_text("pruned")
    pruned = lens.chart_pixels_at_rest()
    slider(lens).press("Home")
    expect(slider(lens)).to_have_attribute("aria-valuetext", "at step 0")
    expect(lens.status).to_contain_text("at step 0")

    def moved() -> None:
        assert not np.array_equal(pruned, lens.chart_pixels())

    eventually(notebook.page, moved)
    expect(lens.root.locator(".cl-moment")).to_contain_text("CKA to first1.000")
    expect(lens.root.locator(".cl-moment")).to_contain_text("CKA to last")
    expect(lens.rail.get_by_role("img", name="entropy over training")).to_have_count(2)
    notebook.await_text(2, "0")
    assert lens.copied() == "lens.history.at(0)"

    # and the other way
    assert notebook.run(3) == "['0', '2']"
    expect(slider(lens)).to_have_attribute("aria-valuetext", "at step 10 · early")
    notebook.run(4)
    assert "There is no snapshot of step 11" in notebook.errors()[-1]
    lens.button("Back to now").click()
    notebook.await_text(2, "None")


def test_a_saved_page_keeps_the_slider(context: BrowserContext, tmp_path: Path) -> None:
    import torch

    from convlens import Lens

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 8, 3))
    lens = Lens(net, name="Net")
    for label in ("start", "", "end"):
        lens.snapshot(label)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter[0] *= 0.001
    file = lens.to_html(tmp_path / "lens.html")
    lens.close()
    context.set_offline(True)
    page = context.new_page()
    page.goto(file.as_uri())
    shown = LensOnScreen(page.locator("body"))
    shown.await_measured()
    expect(slider(shown)).to_have_attribute("aria-valuetext", "now")
    now = shown.chart_pixels_at_rest()
    slider(shown).press("Home")
    expect(shown.status).to_contain_text("at step 0 · start")

    def moved() -> None:
        assert not np.array_equal(now, shown.chart_pixels())

    eventually(page, moved)
    shown.open("Filters")
    expect(shown.status).not_to_contain_text("at step")
    expect(shown.root.get_by_role("alert")).to_have_count(0)
