"""Clicks while another cell runs: answered at once by ipykernel 7, queued and told by 6."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.cells import READ, digits
from tests.browser.lens import SECOND_HELLO_MS, LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually
from tests.browser.servers import Server

# Each goes on until the file is there, so that a slow machine has all the time it needs.
BUSY = """
import time, torch
from pathlib import Path
net = torch.nn.Conv2d(16, 16, 3); x = torch.randn(8, 16, 24, 24)
step, end = 0, time.monotonic() + 200
print("begun", flush=True)
while time.monotonic() < end and not Path({gate!r}).exists():
    step += 1
    {deed}
"""
DEEDS = {
    "sleeps": "time.sleep(1)",
    "trains": "net(x).square().mean().backward()",
    "sets traits": 'lens.layer = f"layer2.{step % 2}.conv1"; time.sleep(0.1)',
}

LATE = """() => {
    const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session;
    const create = kernel.requestCreateSubshell.bind(kernel);
    kernel.requestCreateSubshell = (...given) => {
        const late = answer => new Promise(done => setTimeout(() => done(answer), 700));
        return {done: create(...given).done.then(late)};
    };
}"""


def busy(deed: str, gate: Path) -> str:
    """Return a cell that runs until `gate` exists."""
    return BUSY.replace("{gate!r}", repr(str(gate))).replace("{deed}", DEEDS[deed])


def begin(notebook: Notebook, cell: int) -> None:
    """Start a cell of `busy`, and come back when the kernel is in it."""
    notebook.start(cell)

    def check() -> None:
        assert "begun" in notebook.text(cell)

    eventually(notebook.page, check)


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
    expect(lens.eps).not_to_have_attribute("aria-valuetext", "1 %")
    expect(lens.verdict).to_have_attribute("aria-busy", "false")
    still_running("a move of eps")
    expect(lens.root.get_by_text("kernel busy")).to_have_count(0)


@pytest.mark.parametrize("deed", list(DEEDS))
def test_clicks_are_answered_while_a_cell(notebook: Notebook, deed: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    lens = show(notebook, digits(), busy(deed, gate), READ)
    lens.await_distribution()
    notebook.await_subshell()
    notebook.page.wait_for_timeout(SECOND_HELLO_MS)
    begin(notebook, 1)
    try:
        if deed == "sets traits":
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
        gate.touch()
        notebook.finish(1)
    view, _, _, eps = notebook.run(2).split()
    assert view == "quality"
    assert float(eps) > 0.01


def test_clicks_are_answered_where_the_way_into_the_kernel_opened_late(
    page: Page, lab: Server, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cells = [digits(), busy("sleeps", gate)]
    notebook = Notebook.open(page, lab, cells, name="late.ipynb")
    page.evaluate(LATE)
    notebook.run(0)
    lens = LensOnScreen(notebook.output(0))
    lens.await_measured()
    notebook.await_subshell()
    page.wait_for_timeout(SECOND_HELLO_MS)
    begin(notebook, 1)
    try:
        check_clicks_are_answered(notebook, lens, 1)
    finally:
        gate.touch()


def test_ipykernel_6_says_that_it_is_busy_and_answers_after(
    page: Page, lab: Server, ipykernel6: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    cells = [digits(), busy("sleeps", gate), READ]
    notebook = Notebook.open(page, lab, cells, name="busy6.ipynb", kernel=ipykernel6)
    notebook.run(0)
    lens = LensOnScreen(notebook.output(0))
    lens.await_measured()
    begin(notebook, 1)
    try:
        lens.choose("layer3.1.conv1")
        expect(lens.root.get_by_role("status").filter(has_text="kernel busy")).to_be_visible()
        assert notebook.is_running(1)
        expect(lens.option("layer3.1.conv1")).to_have_attribute("aria-selected", "true")
    finally:
        gate.touch()
        notebook.finish(1)
    lens.await_distribution()
    expect(lens.root.get_by_text(re.compile("kernel busy"))).to_have_count(0)
    assert notebook.run(2).split()[1] == "layer3.1.conv1"
