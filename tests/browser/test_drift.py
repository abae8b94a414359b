"""The Drift view: export two nets, open them, compare with them, click, open the filters."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from playwright.sync_api import Locator, Position, expect

from tests.browser.lens import LensOnScreen, read_png, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually

EXPORTED = """
import tempfile
import convlens as cl
from convlens import demo
nets = {name: demo.load(name).model for name in demo.VARIANTS}
path = tempfile.mkdtemp() + "/two.h5"
print(len(cl.filterdb.export(nets, path).models))
model = nets["redundant"]
lens = cl.Lens(model, database=cl.filterdb.open(path), name="DigitNet")
lens
"""
READ = """
found = lens.result()
plain = cl.filterdb.drift(model, cl.filterdb.open(path), group=lens.drift_group)
print(lens.view, lens.layer, lens.drift_against, type(found).__name__,
      [layer.drift for layer in found.layers] == [layer.drift for layer in plain.layers])
"""
COPIED = "exec({code!r}); print(type(drift).__name__, drift.summary.title)"


def tracks(lens: LensOnScreen) -> Locator:
    return lens.root.get_by_role("slider", name="Drift, entropy and sparsity of the layers")


def settle(lens: LensOnScreen) -> None:
    """Wait until what is drawn is what is chosen."""
    expect(tracks(lens)).to_be_visible()
    expect(lens.root.locator(".cl-past")).to_have_count(0)


def spot(lens: LensOnScreen, place: int, total: int) -> Position:
    """Where the bar of a layer stands: the axis takes 44 pixels, the right edge 4."""
    box = tracks(lens).bounding_box()
    assert box
    return {"x": 44 + (place + 0.5) * (box["width"] - 48) / total, "y": box["height"] * 0.2}


def test_exported_nets_are_compared_with_and_a_click_is_read_back(notebook: Notebook) -> None:
    lens = show(notebook, EXPORTED, READ, "print(lens.view, lens.layer)")
    assert "2" in notebook.text(0)
    lens.open("Drift")
    settle(lens)
    expect(lens.root.get_by_text("21,336 filters", exact=True)).to_be_visible()

    # Pointing at a layer tells its figures, a click chooses it.
    tracks(lens).hover(position=spot(lens, 9, 13))
    tip = lens.root.locator(".cl-tip")
    expect(tip).to_contain_text("layer3.0.conv1")
    expect(tip).to_contain_text(re.compile(r"drift \d\.\d{3}, noise up to \d\.\d{3}"))
    tracks(lens).click(position=spot(lens, 9, 13))
    expect(lens.option("layer3.0.conv1")).to_have_attribute("aria-selected", "true")
    card = lens.root.get_by_label("Chosen layer", exact=True)
    expect(card).to_contain_text(
        re.compile(r"Your layer3\.0\.conv1 is (less|more) diverse than \d+% of layers at this")
    )
    notebook.await_text(1, "drift layer3.0.conv1 database ModelDrift True")

    # By keys too; and from the card to the filters.
    tracks(lens).press("ArrowRight")
    expect(card).to_contain_text("layer3.0.conv2")
    card.get_by_role("button", name="Open its filters").click()
    lens.await_gallery("layer3.0.conv2")
    notebook.await_text(2, "filters layer3.0.conv2")


def test_double_click_opens_the_filters(notebook: Notebook) -> None:
    lens = show(notebook, "from convlens import Lens, demo\nlens = Lens(demo.load().model)\nlens")
    lens.open("Drift")
    settle(lens)
    tracks(lens).dblclick(position=spot(lens, 4, 13))
    lens.await_gallery("layer1.1.conv2")


def test_shipped_summary_says_whose_it_is_and_groups_are_chosen(notebook: Notebook) -> None:
    cells = EXPORTED, "print(lens.drift_against, lens.drift_group)", "lens.drift_group = 'depth'"
    lens = show(notebook, *cells)
    lens.open("Drift")
    settle(lens)
    lens.root.get_by_role("combobox", name="against").select_option("shipped")
    expect(lens.root.get_by_text("made by the project from 24 small nets")).to_be_visible()
    about = lens.root.get_by_label("About", exact=True)
    expect(about).to_contain_text("not a sample of the world")
    about.get_by_text("Layers not compared: 3").click()
    expect(about).to_contain_text("linear Linear: no filters")
    ridges = lens.root.get_by_role("slider", name="Patterns")
    before = lens.pixels(ridges.locator("canvas"))
    lens.root.get_by_role("combobox", name="Layers compared with").select_option("memorising")
    notebook.await_text(1, "shipped memorising")

    def changed() -> None:
        now = lens.pixels(ridges.locator("canvas"))
        assert now.shape != before.shape or (now != before).any(), "the same ridges"

    eventually(notebook.page, changed)
    notebook.run(2)
    chosen = lens.root.get_by_role("combobox", name="Layers compared with")
    expect(chosen).to_have_value("depth")


def test_copied_lines_run_and_the_picture_is_saved(notebook: Notebook, tmp_path: Path) -> None:
    lens = show(notebook, EXPORTED, "pass")
    lens.open("Drift")
    settle(lens)
    notebook.write(1, COPIED.format(code=lens.copied()))
    assert notebook.run(1).endswith("ModelDrift two.h5")
    with notebook.page.expect_download() as saved:
        lens.button("PNG").click()
    saved.value.save_as(tmp_path / "drift.png")
    pixels = read_png((tmp_path / "drift.png").read_bytes())
    assert pixels.shape[0] > 800
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


def test_changed_weights_are_said_and_measured_anew(notebook: Notebook) -> None:
    zero = "import torch\nwith torch.no_grad(): model.layer3[0].conv1.weight.zero_()"
    chosen = EXPORTED.replace('"DigitNet"', '"DigitNet", layer="layer3.0.conv1"')
    lens = show(notebook, chosen, zero)
    lens.open("Drift")
    settle(lens)
    card = lens.root.get_by_label("Chosen layer", exact=True)
    before = card.text_content()
    notebook.run(1)
    lens.notice("Weights changed").get_by_role("button", name="Refresh").click()
    expect(card).not_to_have_text(before or "")
    settle(lens)
    expect(card).to_contain_text("less diverse")
