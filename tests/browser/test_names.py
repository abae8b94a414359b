"""Names of models and layers are text: no markup of theirs becomes part of a page."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect
from torch import nn

from convlens import Lens
from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook

TITLE = "</script><script>window.harmed = 1</script><img src=x onerror='window.harmed=1'>\"&amp;"
LAYERS = ["</script><b>x", "a\"'b", "{eps} ${1}", "<!--", "&lt;i&gt;", "ü 層 \u202eabc", "\\n%s"]
CELL = f"""
from torch import nn
from convlens import Lens
model = nn.Module()
for name in {LAYERS!r}: model.add_module(name, nn.Conv2d(2, 3, 3))
lens = Lens(model, name={TITLE!r})
lens
"""


def check(lens: LensOnScreen) -> None:
    lens.await_measured()
    expect(lens.root.locator(".cl-title")).to_have_text(TITLE)
    shown = [option.get_attribute("data-key") for option in lens.rail.get_by_role("option").all()]
    assert shown == LAYERS
    for index, layer in enumerate(LAYERS):
        lens.rail.get_by_role("option").nth(index).click()
        expect(lens.status).to_contain_text(layer)
        lens.await_distribution()
    lens.open("Filters")
    expect(lens.gallery).to_have_attribute("aria-busy", "false")
    assert lens.root.locator("script, img, b:not(.cl-formulas b), i:not([class]) i").count() == 0
    assert lens.page.evaluate("() => window.harmed") is None


def test_hostile_names_do_no_harm_in_a_notebook(notebook: Notebook) -> None:
    lens = show(notebook, CELL, "print(lens.layer)")
    check(lens)
    notebook.await_text(1, LAYERS[-1])


def test_copied_python_names_a_hostile_layer_right(notebook: Notebook) -> None:
    lens = show(notebook, CELL, "")
    lens.open("Filters")
    for index, layer in enumerate(LAYERS):
        lens.rail.get_by_role("option").nth(index).click()
        expect(lens.status).to_contain_text(layer)
        code = lens.copied()
        before, plot, _ = code.partition("filters.plot")
        assert plot
        notebook.write(1, f"{before}lens.layer == {layer!r} and filters.weights.shape")
        assert notebook.run(1) == "(3, 2, 3, 3)"


def test_hostile_names_do_no_harm_in_an_offline_page(page: Page, tmp_path: Path) -> None:
    model = nn.Module()
    for name in LAYERS:
        model.add_module(name, nn.Conv2d(2, 3, 3))
    lens = Lens(model, name=TITLE)
    page.goto(lens.to_html(tmp_path / "lens.html").as_uri())
    lens.close()
    check(LensOnScreen(page.locator("body")))
    assert page.title() == f"{TITLE} · convlens"
