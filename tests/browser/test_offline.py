"""The page of `to_html`, opened from a file with no network."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from convlens import Lens, demo
from tests.browser.lens import LensOnScreen
from tests.browser.patience import eventually


@pytest.fixture
def offline(context: BrowserContext) -> Page:
    """A page whose network is cut."""
    context.set_offline(True)
    return context.new_page()


@pytest.fixture
def lens() -> Generator[Lens]:
    lens = Lens(demo.load("redundant").model, name="DigitNet, redundant")
    yield lens
    lens.close()


def open_page(page: Page, file: Path) -> LensOnScreen:
    page.goto(file.as_uri())
    shown = LensOnScreen(page.locator("body"))
    shown.await_measured()
    return shown


def test_both_views_answer_clicks(offline: Page, lens: Lens, tmp_path: Path) -> None:
    shown = open_page(offline, lens.to_html(tmp_path / "lens.html"))
    expect(shown.root.get_by_text("saved page")).to_be_visible()
    shown.await_distribution()
    shown.choose("layer3.0.conv1")
    shown.await_layer("layer3.0.conv1")
    shown.await_bars()
    expect(shown.verdict).not_to_have_text("")
    shown.open("Filters")
    shown.await_gallery("layer3.0.conv1")
    shown.choose("layer2.0.conv2")
    shown.await_gallery("layer2.0.conv2")
    shown.pick("Order", "cluster")
    expect(shown.root.get_by_text("finding clusters")).to_have_count(0)

    def drawn() -> None:
        assert len(np.unique(shown.gallery_pixels().reshape(-1, 3), axis=0)) > 50

    eventually(offline, drawn)
    expect(shown.root.get_by_role("alert")).to_have_count(0)


def test_eps_slider_moves_bars(offline: Page, lens: Lens, tmp_path: Path) -> None:
    lens.layer = "layer3.1.conv2"
    shown = open_page(offline, lens.to_html(tmp_path / "lens.html"))
    before = shown.status.inner_text()
    shown.eps.focus()
    for _ in range(20):
        shown.eps.press("ArrowRight")
    expect(shown.status).not_to_have_text(before, use_inner_text=True)
    expect(shown.root.get_by_role("alert")).to_have_count(0)


def test_layer_left_out_says_so(offline: Page, lens: Lens, tmp_path: Path) -> None:
    lens.layer, lens.view = "layer3.1.conv2", "filters"
    # Room for the chosen layer only: 48 * 48 * 9 weights of 4 bytes.
    shown = open_page(offline, lens.to_html(tmp_path / "lens.html", max_mb=0.083))
    shown.await_gallery("layer3.1.conv2")
    shown.choose("layer3.0.conv2")
    alert = shown.root.get_by_role("alert")
    expect(alert).to_contain_text("was not recorded in this page")
    shown.choose("layer3.1.conv2")
    shown.await_gallery("layer3.1.conv2")


def test_page_is_small_and_names_no_other_machine(lens: Lens, tmp_path: Path) -> None:
    text = lens.to_html(tmp_path / "lens.html").read_text("utf-8")
    assert len(text) < 1_500_000
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", text)
