"""The Compression view: measure, the worst layer, its filters in both, flipped inputs."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.cells import CIFAR, SLOWLY
from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually
from tests.models import SHARED

NETWORKS = """
import convlens as cl
from tests import models
names = "plane car bird cat deer dog frog horse ship truck".split()
model = models.trained("resnet20")
"""
DIGITS = """
import convlens as cl
digits = cl.demo.load()
model, images, labels, names = digits.model, digits.images[:256], digits.labels[:256], None
"""
LENS = """
small = cl.compression.quantize(model, images[:64], bits=3)
lens = cl.Lens(model, images, reference=small, labels=labels, classes=names,
               name="before", reference_name="int3")
lens
"""
READ = """
report = cl.compression.report(small, model, images, labels)
found = lens.result()
print(lens.layer == report.ranking()[0].reference_key, found.finished,
      found.flips == report.flips, lens.view)
"""
FLIPPED = """
report = cl.compression.report(small, model, images, labels, isolated=0)
print(lens.view, lens.input_index in [flip.index for flip in report.flips])
"""


def networks(which: str) -> str:
    if which == "demo":
        return DIGITS
    if not (SHARED / "cifar10").is_dir():
        pytest.skip("no shared data here")
    return CIFAR + NETWORKS


def ranking(lens: LensOnScreen) -> Locator:
    return lens.root.get_by_role("listbox", name="Layers by")


def rows(lens: LensOnScreen) -> Locator:
    return ranking(lens).get_by_role("option")


def measure(lens: LensOnScreen) -> None:
    """Measure to the end, and wait until it is there."""
    lens.open("Compression")
    lens.button("Measure").click()
    finish(lens)


def finish(lens: LensOnScreen) -> None:
    expect(lens.root.locator(".cl-report[data-finished=true]")).to_be_visible()
    expect(lens.button("Resume")).to_have_count(0)


@pytest.mark.parametrize("which", ["ResNet-20", "demo"])
def test_worst_layer_its_filters_in_both_and_the_flipped_inputs(
    notebook: Notebook, which: str
) -> None:
    lens = show(notebook, networks(which) + LENS, READ, FLIPPED)
    measure(lens)
    expect(lens.root.locator(".cl-sums")).to_contain_text(re.compile(r"accuracy\d.*→.*flipped"))

    # The first bar is the longest; a click chooses its layer, for Python too.
    worst = rows(lens).first
    worst.click()
    expect(worst).to_have_attribute("aria-selected", "true")
    notebook.await_text(1, "True True True compression")
    key = worst.get_attribute("data-ranked") or ""
    expect(lens.root.get_by_label("Chosen layer")).to_contain_text(key)
    expect(lens.root.get_by_label("Scales")).to_contain_text("int3 per channel")

    # One more shows its filters, before and after.
    worst.get_by_role("button", name="filters").click()
    expect(lens.tab("Filters")).to_have_attribute("aria-selected", "true")
    lens.await_gallery(key)
    group = lens.root.get_by_role("radiogroup", name="Whose filters")
    chosen = group.get_by_role("radio", name="side by side")
    expect(chosen).to_have_attribute("aria-checked", "true")

    # Of the inputs that flipped one is looked at, and the others follow by the arrow keys.
    lens.open("Compression")
    flipped = lens.root.get_by_role("listbox", name="Flipped inputs")
    pictures = flipped.get_by_role("option")
    pictures.nth(1).click()
    notebook.await_text(2, "compression True")
    lens.button("see saliency").click()
    expect(lens.tab("Saliency")).to_have_attribute("aria-selected", "true")
    strip = lens.root.get_by_role("listbox", name="Inputs")
    expect(strip).to_have_attribute("aria-busy", "false")
    sieve = lens.root.get_by_role("combobox", name="Inputs shown")
    expect(sieve).to_have_value("differ")
    first = strip.locator("[aria-selected=true]").get_attribute("aria-label") or ""
    assert "the reference says" in first
    strip.press("ArrowRight")
    other = strip.locator("[aria-selected=true]")
    expect(other).not_to_have_attribute("aria-label", first)
    expect(other).to_have_attribute("aria-label", re.compile("the reference says"))
    notebook.await_text(2, "saliency True")


def test_stops_resumes_and_a_reload_brings_it_back(notebook: Notebook) -> None:
    cells = (
        DIGITS
        + SLOWLY
        + LENS.replace("lens = cl.Lens(model, images,",
                       "inputs = Slowly(zip(images.split(32), labels.split(32)))\n"
                       "lens = cl.Lens(model, inputs,").replace(" labels=labels,", ""),
        "inputs.seconds = 0",
        "print(lens.result().finished, lens.result().overall.n)",
    )  # fmt: skip
    lens = show(notebook, *cells)
    lens.open("Compression")
    lens.button("Measure").click()
    expect(rows(lens).first).to_be_visible()
    lens.button("Stop").click()
    expect(lens.button("Resume")).to_be_visible()
    expect(lens.root.get_by_text("stopped before the end")).to_be_visible()
    notebook.run(1)
    lens.button("Resume").click()
    finish(lens)
    notebook.await_text(2, "True 256")

    notebook.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    notebook.reload()
    lens = LensOnScreen(notebook.output(0))
    expect(rows(lens)).to_have_count(16)
    finish(lens)


def test_another_order_the_other_way_round_and_the_copied_lines(notebook: Notebook) -> None:
    lens = show(notebook, DIGITS + LENS, "print(lens.compression_by, lens.compression_after)", "")
    measure(lens)
    worst = rows(lens).first.get_attribute("data-ranked")
    lens.root.get_by_label("rank by").select_option("cka")
    expect(ranking(lens)).to_have_attribute("aria-label", "Layers by representation (CKA)")
    assert worst
    ranking(lens).press("Home")
    lens.pick("Compressed", "before")
    finish(lens)
    notebook.await_text(1, "cka model")
    expect(lens.root.locator(".cl-sums")).to_contain_text("larger")
    code = lens.copied()
    assert "cl.compression.report(model, small, images, labels)" in code
    notebook.write(2, f"{code}\nprint(report.flips == lens.result().flips)")
    assert notebook.run(2).endswith("True")


def test_without_a_reference_it_says_how_to_get_one(notebook: Notebook) -> None:
    lens = show(notebook, DIGITS + "lens = cl.Lens(model, images)\nlens", "")
    lens.open("Compression")
    expect(lens.root.get_by_text("Compression needs a second network")).to_be_visible()
    expect(lens.root.get_by_text("reference=original")).to_be_visible()
    expect(lens.button("Measure")).to_have_count(0)


def test_quantised_reference_says_which_methods_it_cannot_have(notebook: Notebook) -> None:
    lens = show(
        notebook,
        DIGITS + LENS.replace("bits=3", "backend='torch.ao'").replace("int3", "int8"),
        "lens.channel = 0",
    )
    lens.open("Saliency")
    expect(
        lens.root.get_by_text(re.compile("has no gradients: its quantised layers"))
    ).to_be_visible()
    lens.open("Features")
    notebook.run(1)

    def said() -> None:
        expect(lens.root.get_by_text(re.compile("passes no gradient back")).first).to_be_visible()

    eventually(notebook.page, said)
