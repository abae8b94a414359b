"""Narrow cells, the dark theme, full screen, and what can be taken away: Python, PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.cells import digits
from tests.browser.lens import read_png, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually

LUMA = np.array([0.299, 0.587, 0.114])


def test_narrow_cell_folds_the_rail(notebook: Notebook) -> None:
    lens = show(notebook, digits(), "lens.layout.width = '420px'")
    notebook.run(1)
    expect(lens.unfold).to_be_visible()
    expect(lens.rail).to_have_count(0)

    def inside() -> None:
        fits = lens.root.evaluate("lens => lens.scrollWidth <= lens.clientWidth")
        assert fits, "something is wider than the cell"

    eventually(notebook.page, inside)
    lens.choose("layer2.0.conv1")
    lens.await_layer("layer2.0.conv1")
    expect(lens.rail).to_have_count(0)
    # by keys: the list has them once it is unfolded, and the button has them back
    lens.unfold.press("Enter")
    expect(lens.rail).to_be_focused()
    notebook.page.keyboard.press("ArrowDown")
    expect(lens.status).to_contain_text("layer2.0.conv2")
    notebook.page.keyboard.press("ArrowUp")
    notebook.page.keyboard.press("Escape")
    expect(lens.rail).to_have_count(0)
    expect(lens.unfold).to_be_focused()
    lens.open("Filters")
    lens.await_gallery("layer2.0.conv1")

    def fits() -> None:
        box = lens.root.bounding_box()
        gallery = lens.gallery.bounding_box()
        assert box
        assert gallery
        assert gallery["width"] > 200
        assert gallery["x"] + gallery["width"] <= box["x"] + box["width"]

    eventually(notebook.page, fits)


def test_narrow_cell_has_the_chosen_tab_in_sight(notebook: Notebook) -> None:
    narrow = "lens.layout.width = '420px'"
    choices = [f"lens.view = '{view}'" for view in ("compression", "quality", "drift")]
    lens = show(notebook, digits(), narrow, *choices)
    notebook.run(1)
    expect(lens.unfold).to_be_visible()
    tabs = lens.root.get_by_role("tablist")
    assert tabs.evaluate("tabs => tabs.scrollWidth > tabs.clientWidth"), "all of them fit"
    for cell, name in enumerate(("Compression", "Quality", "Drift"), start=2):
        notebook.run(cell)
        expect(lens.tab(name)).to_have_attribute("aria-selected", "true")

        def seen(name: str = name) -> None:
            box, tab = tabs.bounding_box(), lens.tab(name).bounding_box()
            assert box
            assert tab
            assert tab["x"] >= box["x"]
            assert tab["x"] + tab["width"] <= box["x"] + box["width"], f"{name} is cut"

        eventually(notebook.page, seen)


def test_pictures_of_channels_keep_their_shape_in_a_narrow_cell(notebook: Notebook) -> None:
    chosen = 'view="features", layer="layer2.0.conv2", channel=3, feature_steps=8'
    options = f'reference=demo.load("redundant").model, {chosen}'
    lens = show(notebook, digits(options=options), "lens.layout.width = '420px'")
    notebook.run(1)
    expect(lens.unfold).to_be_visible()
    pictures = lens.root.get_by_label("Synthesised input").locator("canvas.cl-crisp")
    expect(pictures).to_have_count(2)

    def square() -> None:
        for picture in pictures.all():
            box = picture.bounding_box()
            assert box
            assert box["height"] == pytest.approx(box["width"], abs=1)

    eventually(notebook.page, square)


def test_legend_of_filters_has_its_words_whole_or_not_at_all(notebook: Notebook) -> None:
    widths = (700, 420, 330, 300, 240)
    lens = show(
        notebook,
        digits(options='view="filters", layer="layer2.0.conv2"'),
        *(f"lens.layout.width = '{width}px'" for width in widths),
    )
    lens.await_gallery("layer2.0.conv2")
    hint = lens.root.locator(".cl-legend > .cl-hint")
    # what of the words is in sight: "whole", "none", or "cut"
    state = """hint => {
        const words = document.createRange();
        words.selectNodeContents(hint);
        const [own, box] = [words.getBoundingClientRect(), hint.getBoundingClientRect()];
        if (own.top >= box.bottom) return 'none';
        return own.right <= box.right + 0.5 ? 'whole' : 'cut';
    }"""
    found: list[str] = []
    for cell, width in enumerate(widths, start=1):
        notebook.run(cell)
        expect(lens.root).to_have_css("width", f"{width}px")
        found.append(hint.evaluate(state))
    assert found[0] == "whole"
    assert found[-1] == "none"
    assert "cut" not in found


def test_theme_follows_the_host(notebook: Notebook) -> None:
    lens = show(notebook, digits(options='view="filters", layer="layer1.0.conv2"'))
    lens.await_gallery("layer1.0.conv2")
    light = lens.gallery_pixels()
    notebook.use_theme("JupyterLab Dark")
    expect(lens.root).to_have_css("color-scheme", "dark")
    assert np.median(light @ LUMA) > 180

    def darkened() -> None:
        assert np.median(lens.gallery_pixels() @ LUMA) < 110, "the gallery stayed light"

    eventually(notebook.page, darkened)
    notebook.use_theme("JupyterLab Light")
    expect(lens.root).to_have_css("color-scheme", "light")

    def back() -> None:
        assert (lens.gallery_pixels() == light).all(), "back in the light, it is another picture"

    eventually(notebook.page, back)


def test_full_screen_and_back(notebook: Notebook) -> None:
    lens = show(notebook, digits())
    before = lens.root.bounding_box()
    assert before is not None
    lens.button("Full screen").click()
    expect(lens.button("Leave full screen")).to_be_visible()
    notebook.page.wait_for_function(
        "({clientHeight, clientWidth}) =>"
        " clientHeight > innerHeight - 3 && clientWidth > innerWidth - 3",
        arg=lens.root.element_handle(),
    )
    lens.choose("layer3.1.conv2")
    lens.await_layer("layer3.1.conv2")
    lens.button("Leave full screen").click()
    expect(lens.button("Full screen")).to_be_visible()

    def back() -> None:
        assert lens.root.bounding_box() == before

    eventually(notebook.page, back)


@pytest.mark.parametrize("view", ["Quality", "Filters"])
def test_copied_python_runs_in_the_next_cell(notebook: Notebook, view: str) -> None:
    lens = show(notebook, digits(options='layer="layer2.1.conv1", eps=0.05'), "")
    lens.open(view)
    expect(lens.tab(view)).to_have_attribute("aria-selected", "true")
    code = lens.copied()
    assert "model" in code
    assert "0.05" in code
    notebook.write(1, code)
    notebook.run(1)
    assert notebook.errors() == []
    expect(notebook.output(1).first).to_be_visible()


def test_copied_python_names_what_an_object_holds(notebook: Notebook) -> None:
    cell = "from convlens import Lens, demo\ndigits = demo.load()\nlens = Lens(digits.model)\nlens"
    lens = show(notebook, cell, "")
    notebook.write(1, lens.copied().replace("quality.plot()\n", ""))
    assert "sparsity" in notebook.run(1)
    assert notebook.errors() == []


@pytest.mark.parametrize("view", ["Quality", "Filters"])
def test_png_is_a_picture_of_the_view(notebook: Notebook, view: str, tmp_path: Path) -> None:
    lens = show(notebook, digits(options='layer="layer2.1.conv1"'))
    lens.open(view)
    lens.await_layer("layer2.1.conv1")
    with notebook.page.expect_download() as download:
        lens.button("PNG").click()
    assert download.value.suggested_filename == f"DigitNet_{view.lower()}_layer2.1.conv1.png"
    download.value.save_as(tmp_path / "view.png")
    pixels = read_png((tmp_path / "view.png").read_bytes())
    assert pixels.shape[0] > 400
    assert pixels.shape[1] > 900
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 60
