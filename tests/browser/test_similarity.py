"""The Similarity view: start, watch it fill, stop, resume, hover, click, read back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Position, expect

from tests.browser.cells import CIFAR, SLOWLY
from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually
from tests.models import SHARED

RESNETS = f"""
{CIFAR}
from convlens import Lens, compare
from tests import models
model, reference = models.trained("resnet20"), models.trained("resnet32")
{SLOWLY}
inputs = Slowly(images.split(32))
lens = Lens(model, inputs, reference, name="ResNet-20", reference_name="ResNet-32")
first = inputs.drawn
lens
"""
DIGITS = f"""
from convlens import Lens, compare, demo
good, redundant = demo.load(), demo.load("redundant")
model, reference, images = good.model, redundant.model, good.images[:256]
{SLOWLY}
inputs = Slowly(images.split(32))
lens = Lens(model, inputs, reference, name="good", reference_name="redundant")
first = inputs.drawn
lens
"""
READ = """
found = lens.result()
plain = compare(model, images, reference, batch_size=32)
print(lens.layer, lens.reference_layer, inputs.drawn - first, found.finished,
      abs(found.matrix - plain.matrix).max() < 1e-6)
"""
VALUE = "print(f'{lens.result().value(lens.layer, lens.reference_layer):.3f}')"


def heatmap(lens: LensOnScreen):
    return lens.root.get_by_role("application", name="Similarity of")


def finish(lens: LensOnScreen) -> None:
    """Wait until no comparison is under way and none is left to resume."""
    expect(lens.root.get_by_role("button", name="Stop: similarity")).to_have_count(0)
    expect(lens.button("Resume")).to_have_count(0)


@pytest.mark.parametrize("networks", ["ResNet-20 x ResNet-32", "demo"])
def test_fills_stops_resumes_and_is_read_back(notebook: Notebook, networks: str) -> None:
    if networks != "demo" and not (SHARED / "cifar10").is_dir():
        pytest.skip("no shared data here")
    cells = DIGITS if networks == "demo" else RESNETS, READ, VALUE, "inputs.seconds = 0"
    lens = show(notebook, *cells)
    lens.open("Similarity")
    lens.button("Compare").click()

    # It is there while it runs, and stops where it is.
    expect(heatmap(lens)).to_be_visible()
    lens.root.get_by_role("button", name="Stop").click()
    stopped = lens.root.get_by_text(re.compile(r"stopped after \d of 8 batches"))
    expect(stopped).to_be_visible()
    part = lens.pixels(heatmap(lens).locator("canvas").first)

    notebook.run(3)
    lens.button("Resume").click()
    finish(lens)
    expect(lens.root.get_by_text(re.compile("stopped after"))).to_have_count(0)

    def changed() -> None:
        whole = lens.pixels(heatmap(lens).locator("canvas").first)
        assert (part != whole).any(), "the picture did not change from part to whole"

    eventually(notebook.page, changed)

    # Pointing at a cell reads it; a click chooses both layers.
    box = heatmap(lens).bounding_box()
    assert box
    spot: Position = {"x": box["width"] * 0.6, "y": box["height"] * 0.4}
    heatmap(lens).hover(position=spot)
    tip = lens.root.locator(".cl-tip")
    expect(tip).to_contain_text("±")
    heatmap(lens).click(position=spot)
    expect(lens.root.get_by_label("Chosen layers")).to_contain_text("in 8 batches of 32")
    said = (tip.text_content() or "").split("±")[0].strip()

    def told() -> str:
        row, column, drawn, finished, alike = notebook.run(1).split()
        assert (finished, alike) == ("True", "True")
        assert int(drawn) == expected, "a batch was drawn twice, or left out"
        for layer in (row, column):
            assert layer in (tip.text_content() or "")
        return row

    # to match layers of another depth the Lens runs the first batch, once
    expected = 8 if networks == "demo" else 9
    row = eventually(notebook.page, told)
    assert float(notebook.run(2)) == pytest.approx(float(said.replace("−", "-")), abs=0.0011)
    expect(lens.option(row)).to_have_attribute("aria-selected", "true")


def test_switching_the_measure_that_needs_another_run_says_so_by_filling_again(
    notebook: Notebook,
) -> None:
    lens = show(
        notebook,
        DIGITS.replace("0, 4", "0, 0"),
        "print(lens.measure, lens.result().measure)",
    )
    lens.open("Similarity")
    lens.button("Compare").click()
    expect(heatmap(lens)).to_be_visible()
    finish(lens)
    lens.root.get_by_role("combobox", name="Measure").select_option("procrustes")
    expect(lens.root.get_by_label("Measure").get_by_text("0 = same").first).to_be_visible()
    finish(lens)
    notebook.await_text(1, "procrustes procrustes")


def test_page_reload_brings_the_comparison_back_with_its_settings(notebook: Notebook) -> None:
    lens = show(
        notebook,
        DIGITS.replace("0, 4", "0, 0"),
        "lens.measure = 'svcca'; lens.measure_settings = {'variance': 0.9}",
        "print(inputs.drawn - first, lens.measure_settings, lens.result().parameters['variance'])",
    )
    lens.open("Similarity")
    notebook.run(1)
    lens.button("Compare").click()
    expect(heatmap(lens)).to_be_visible()
    finish(lens)
    notebook.await_text(2, "8 {'variance': 0.9} 0.9")
    notebook.save()
    notebook.reload()
    lens = LensOnScreen(notebook.output(0))
    expect(heatmap(lens)).to_be_visible()
    expect(lens.root.get_by_label("variance")).to_have_value("0.9")
    notebook.await_text(2, "8 {'variance': 0.9} 0.9")


def test_without_inputs_the_view_says_what_to_pass(notebook: Notebook) -> None:
    lens = show(notebook, "from convlens import Lens, demo\nLens(demo.load().model)")
    lens.open("Similarity")
    expect(lens.root.get_by_text("inputs=").first).to_be_visible()


def test_refusal_of_the_kernel_is_said_in_the_view_and_the_lens_goes_on(
    notebook: Notebook,
) -> None:
    few = DIGITS.replace("good.images[:256]", "good.images[:3]")
    lens = show(notebook, few, "print(lens.layer)")
    lens.open("Similarity")
    lens.button("Compare").click()
    expect(lens.root.get_by_text("at least 4 samples").first).to_be_visible()
    lens.choose("layer1.0.conv1")
    notebook.await_text(1, "layer1.0.conv1")
