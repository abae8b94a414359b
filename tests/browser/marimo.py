"""A notebook on the screen of marimo's editor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.notebook import KERNEL_SECONDS
from tests.browser.servers import Server

CELL = """
@app.cell
def _({inputs}):
    {body}
    return {outputs}

"""


def write_marimo(file: Path, cells: Sequence[tuple[str, str, str]]) -> None:
    """Write a marimo notebook of (names read, source, names defined) cells."""
    parts = [
        CELL.format(
            inputs=inputs,
            body=source.replace("\n", "\n    "),
            outputs=f"({outputs},)" if outputs else "",
        )
        for inputs, source, outputs in cells
    ]
    file.write_text("import marimo\n\napp = marimo.App()\n\n" + "".join(parts))


class Marimo:
    """Drives the one notebook that a marimo server shows."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    def open(cls, page: Page, server: Server) -> Marimo:
        """Open the notebook and wait for its kernel. Its cells have not run yet."""
        page.goto(server.url)
        # A click on "run" before this has no effect.
        page.locator("[data-testid=backend-status] .lucide-circle-check").wait_for()
        return cls(page)

    def run(self, index: int) -> None:
        """Run a cell, and those it reads from, to its end."""
        cell = self._cell(index)
        cell.hover()
        cell.get_by_test_id("run-button").first.click()
        expect(cell.get_by_test_id("cell-status")).to_have_attribute(
            "data-status", "idle", timeout=KERNEL_SECONDS * 1000
        )

    def output(self, index: int) -> Locator:
        """Return the output area of a cell on the page."""
        return self._cell(index).locator(".output-area")

    def _cell(self, index: int) -> Locator:
        return self.page.locator(".marimo-cell").nth(index)
