"""Fixtures: one browser and one server of each kind for the whole run, a page for each test."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from scripts.browser import ADVICE, find_browser
from tests.browser import servers
from tests.browser.chromium import open_chromium
from tests.browser.notebook import Notebook
from tests.browser.patience import SECONDS
from tests.browser.servers import IPYKERNEL_6, ROOT, Server

ARTIFACTS = Path(os.environ.get("CONVLENS_ARTIFACTS", ROOT / ".cache" / "artifacts"))
LOCAL = ("127.0.0.1", "localhost", "")
TIDY = """
import sys
if "convlens" in sys.modules:
    import ipywidgets
    from ipywidgets.widgets import widget
    for one in list(widget._instances.values()):
        one.close()  # a Lens ends its thread
        ipywidgets.Widget.close(one)  # and goes from the page
get_ipython().run_line_magic("reset", "-f")
"""
FAILED = pytest.StashKey[bool]()
expect.set_options(timeout=SECONDS * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    if find_browser() is None:
        pytest.fail(ADVICE, pytrace=False)
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A JupyterLab with the kernels "python3" (ipykernel 7) and "ipykernel6"."""
    with servers.jupyter("lab", tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="session")
def notebook7(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with servers.jupyter("notebook", tmp_path_factory.mktemp("notebook7")) as server:
        yield server


@pytest.fixture(scope="session")
def ipykernel6() -> str:
    """The name of the kernel that runs ipykernel 6."""
    if not (IPYKERNEL_6 / "ipykernel").is_dir():
        folder = IPYKERNEL_6.relative_to(ROOT)
        pytest.fail(f"No ipykernel 6 in {folder}: run `make {folder}/installed`.", pytrace=False)
    return "ipykernel6"


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where screenshots go: `.cache/artifacts`, or CONVLENS_ARTIFACTS."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    return ARTIFACTS


@dataclass
class Window:
    """A browser window, and the requests made from it that leave this machine."""

    context: BrowserContext
    elsewhere: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, browser: Browser) -> Window:
        window = cls(browser.new_context(viewport={"width": 1280, "height": 900}))
        window.context.set_default_timeout(SECONDS * 1000)
        window.context.grant_permissions(["clipboard-read", "clipboard-write"])
        window.context.on("request", window._note)
        return window

    def check(self, request: pytest.FixtureRequest, artifacts: Path) -> None:
        """Keep the screen of a failed test, and fail one that asked another machine."""
        if request.node.stash.get(FAILED, False):
            name = re.sub(r"\W+", "-", request.node.name).strip("-")
            for i, page in enumerate(self.context.pages):
                page.screenshot(path=artifacts / f"failed-{name}-{i}.png")
        elsewhere, self.elsewhere = self.elsewhere, []
        assert not elsewhere, f"requests left this machine: {elsewhere}"

    def _note(self, sent: Request) -> None:
        if not is_local(sent.url):
            self.elsewhere.append(sent.url)


@pytest.fixture
def context(
    browser: Browser, artifacts: Path, request: pytest.FixtureRequest
) -> Generator[BrowserContext]:
    """A fresh browser window; a request that leaves this machine fails the test."""
    window = Window.open(browser)
    yield window.context
    try:
        window.check(request, artifacts)
    finally:
        window.context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture(scope="session")
def bench(browser: Browser, lab: Server) -> Generator[tuple[Window, Notebook]]:
    """One notebook in JupyterLab whose kernel (ipykernel 7) many tests use one after the other."""
    window = Window.open(browser)
    yield window, Notebook.open(window.context.new_page(), lab, [TIDY], name="bench.ipynb")
    window.context.close()


@pytest.fixture
def notebook(
    bench: tuple[Window, Notebook], artifacts: Path, request: pytest.FixtureRequest
) -> Generator[Notebook]:
    """The shared notebook: no cells, no Lens open, the light theme, a mouse that points nowhere."""
    window, notebook = bench
    notebook.replace([TIDY])
    notebook.run(0)
    notebook.use_theme("JupyterLab Light")
    notebook.page.mouse.move(0, 0)
    yield notebook
    try:
        window.check(request, artifacts)
    finally:
        if request.node.stash.get(FAILED, False):
            notebook.reload()


def is_local(url: str) -> bool:
    """Whether fetching `url` stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "file", "about") or parts.hostname in LOCAL
