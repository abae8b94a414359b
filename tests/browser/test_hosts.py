"""A real click in Notebook 7 and in marimo."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser import servers
from tests.browser.cells import READ, digits
from tests.browser.lens import LensOnScreen
from tests.browser.marimo import Marimo, write_marimo
from tests.browser.notebook import Notebook
from tests.browser.servers import Server


def test_notebook_7(page: Page, notebook7: Server) -> None:
    notebook = Notebook.open(page, notebook7, [digits(), READ], application="notebook")
    notebook.run(0)
    lens = LensOnScreen(notebook.output(0))
    lens.await_measured()
    lens.choose("layer2.1.conv1")
    lens.await_layer("layer2.1.conv1")
    notebook.await_text(1, "quality layer2.1.conv1 None 0.01")


def test_marimo(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "lens.py"
    source = digits().strip().replace("import Lens, demo", "import Lens, demo as demo_")
    source = source.replace("demo.load", "demo_.load")
    write_marimo(file, [("", source, "lens"), ("lens", READ, "")])
    with servers.marimo(file, tmp_path / "home") as server:
        notebook = Marimo.open(page, server)
        notebook.run(0)
        lens = LensOnScreen(notebook.output(0))
        lens.await_measured()
        lens.choose("layer2.1.conv1")
        lens.await_layer("layer2.1.conv1")
        notebook.run(1)
        expect(page.get_by_text("quality layer2.1.conv1 None 0.01")).to_be_visible()
