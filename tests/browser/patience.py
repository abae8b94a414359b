"""Waiting for what comes late on a slow or busy machine, instead of looking once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from playwright.sync_api import Page

T = TypeVar("T")

SECONDS = 60
"""How long a machine with all its cores taken may need; a failure takes so long to be one."""


def eventually(page: Page, check: Callable[[], T]) -> T:
    """Return what `check` returns as soon as it raises no AssertionError; else raise its last."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        page.wait_for_timeout(100)
