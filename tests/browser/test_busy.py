"""Clicks while another cell runs: answered at once by ipykernel 7, queued and told by 6."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cells import READ, digits
from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.servers import Server

SLEEPS = "import time\ntime.sleep(10)\nprint('done')"
TRAINS = """
import time, torch
net = torch.nn.Conv2d(16, 16, 3); x = torch.randn(8, 16, 24, 24)
end = time.monotonic() + 10
while time.monotonic() < end:
    net(x).square().mean().backward()
"""
SETS = """
import time
for step in range(100):
    lens.layer = f"layer2.{step % 2}.conv1"
    time.sleep(0.1)
"""


SUBSHELL_MS = 1500
"""JupyterLab opens a second way into the kernel for a widget only after it is shown."""

LATE = """() => {
    const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session;
    const create = kernel.requestCreateSubshell.bind(kernel);
    kernel.requestCreateSubshell = (...given) => {
        const late = answer => new Promise(done => setTimeout(() => done(answer), 700));
        return {done: create(...given).done.then(late)};
    };
}"""


def check_clicks_are_answered(notebook: Notebook, lens: LensOnScreen, cell: int) -> None:
    def still_running(what: str) -> None:
        assert notebook.is_running(cell), f"{what} was answered only after the cell"

    lens.choose("layer3.1.conv1")
    lens.await_distribution()
    still_running("a click on a layer")

    lens.open("Filters")
    lens.choose("layer3.0.conv2")
    lens.await_gallery("layer3.0.conv2")
    still_running("a click on a layer of the Filters view")

    lens.open("Quality")
    lens.eps.focus()
    lens.eps.press("ArrowRight")
    lens.root.page.wait_for_timeout(50)
    expect(lens.verdict).to_have_attribute("aria-busy", "false")
    still_running("a move of eps")
    expect(lens.root.get_by_text("kernel busy")).to_have_count(0)


@pytest.mark.parametrize("busy", [SLEEPS, TRAINS, SETS], ids=["sleeps", "trains", "sets traits"])
def test_clicks_are_answered_while_a_cell(notebook: Notebook, busy: str) -> None:
    lens = show(notebook, digits(), busy, READ)
    lens.await_distribution()
    notebook.page.wait_for_timeout(SUBSHELL_MS)
    notebook.start(1)
    notebook.page.wait_for_timeout(300)
    try:
        if busy is SETS:
            # Its own choice goes on: a click changes nothing for long, but must not queue.
            lens.open("Filters")
            expect(lens.gallery).to_have_attribute("aria-busy", "false")
            assert notebook.is_running(1), "a view was shown only after the cell"
            lens.open("Quality")
            lens.eps.focus()
            lens.eps.press("ArrowRight")
            expect(lens.verdict).to_have_attribute("aria-busy", "false")
            assert notebook.is_running(1), "a move of eps was answered only after the cell"
        else:
            check_clicks_are_answered(notebook, lens, 1)
    finally:
        notebook.interrupt()
        notebook.finish(1)
    view, _, _, eps = notebook.run(2).split()
    assert view == "quality"
    assert float(eps) > 0.01


def test_clicks_are_answered_where_the_way_into_the_kernel_opened_late(
    page: Page, lab: Server
) -> None:
    notebook = Notebook.open(page, lab, [digits(), SLEEPS], name="late.ipynb")
    page.evaluate(LATE)
    notebook.run(0)
    lens = LensOnScreen(notebook.output(0))
    lens.await_measured()
    page.wait_for_timeout(SUBSHELL_MS)
    notebook.start(1)
    page.wait_for_timeout(300)
    check_clicks_are_answered(notebook, lens, 1)


def test_ipykernel_6_says_that_it_is_busy_and_answers_after(
    page: Page, lab: Server, ipykernel6: str
) -> None:
    cells = [digits(), "import time; time.sleep(4)", READ]
    notebook = Notebook.open(page, lab, cells, name="busy6.ipynb", kernel=ipykernel6)
    notebook.run(0)
    lens = LensOnScreen(notebook.output(0))
    lens.await_measured()
    notebook.start(1)
    page.wait_for_timeout(300)
    lens.choose("layer3.1.conv1")
    expect(lens.root.get_by_role("status").filter(has_text="kernel busy")).to_be_visible()
    assert notebook.is_running(1)
    expect(lens.option("layer3.1.conv1")).to_have_attribute("aria-selected", "true")
    notebook.finish(1)
    lens.await_distribution()
    expect(lens.root.get_by_text(re.compile("kernel busy"))).to_have_count(0)
    assert notebook.run(2).split()[1] == "layer3.1.conv1"
