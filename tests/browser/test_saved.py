"""The quickstart, saved with its widgets: a small file that shows them when opened again."""

from __future__ import annotations

import json
from collections.abc import Generator
from shutil import copy

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.browser.lens import LensOnScreen
from tests.browser.notebook import Notebook
from tests.browser.servers import ROOT, Server

NAME = "quickstart.ipynb"
STATE = "application/vnd.jupyter.widget-state+json"


@pytest.fixture
def quickstart(page: Page, lab: Server) -> Generator[Notebook]:
    """The quickstart as a person leaves it: run to its end, with widget state saved."""
    copy(ROOT / "notebooks" / NAME, lab.folder / NAME)
    notebook = Notebook.reopen(page, lab, NAME)
    notebook.keep_widget_state(True)
    notebook.run_all()
    assert notebook.errors() == []
    yield notebook
    notebook.keep_widget_state(False)


def shown_lenses(page: Page) -> list[LensOnScreen]:
    outputs = page.locator(".jp-OutputArea-output").filter(has=page.locator("section.convlens"))
    return [LensOnScreen(output) for output in outputs.all()]


def test_saved_quickstart_is_small_and_shows_its_lenses_when_reopened(
    quickstart: Notebook, lab: Server
) -> None:
    page, file = quickstart.page, lab.folder / NAME
    expect(page.locator("section.convlens")).to_have_count(2)
    lenses = shown_lenses(page)
    for lens in lenses:
        lens.await_measured()
        # bars fill in before the measurement ends, and what is saved is told at its end
        expect(lens.root.get_by_role("button", name="Stop: quality")).to_have_count(0)
    figures = [lens.status.text_content() for lens in lenses]
    quickstart.save()

    saved = nbformat.read(file, as_version=4)
    state = saved.metadata.widgets[STATE]["state"]
    sizes = [len(json.dumps(one)) for one in state.values() if one["model_name"] == "AnyModel"]
    assert len(sizes) == 2
    assert max(sizes) < 200_000, f"a Lens adds {max(sizes):,} bytes to the file"
    without = {**saved.metadata}
    del without["widgets"]
    bare = nbformat.writes(nbformat.from_dict({**saved, "metadata": without}))
    grown = file.stat().st_size - len(bare)
    assert grown / 2 < 200_000, f"the file grew by {grown / 2:,.0f} bytes for each Lens"

    quickstart.end_kernel()
    # JupyterLab starts another kernel, which knows nothing of what the file shows.
    Notebook.reopen(page, lab, NAME)
    expect(page.locator("section.convlens")).to_have_count(2)
    for lens, figure in zip(shown_lenses(page), figures, strict=True):
        lens.await_measured()
        expect(lens.status).to_have_text(figure or "")
        expect(lens.notice("The kernel is gone")).to_be_visible()
        lens.open("Quality")
        lens.await_bars()
        lens.choose("layer2.1.conv1")
        expect(lens.status).to_contain_text("layer2.1.conv1")
        lens.open("Filters")
        expect(lens.root.get_by_text("These filters were not saved")).to_be_visible()
