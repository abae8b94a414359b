"""The browser that the tests drive."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from scripts.browser import ADVICE, find_browser

ARGUMENTS = (
    "--no-sandbox",  # many containers run as root, where Chromium's sandbox cannot
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def open_chromium() -> Generator[Browser]:
    """Start a headless Chromium, and stop it at the end."""
    executable = find_browser()
    if executable is None:
        raise RuntimeError(ADVICE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
