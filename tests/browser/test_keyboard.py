"""The Lens without a mouse."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.cells import READ, digits
from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually

FOCUSED = """lens => {
    let root = lens.getRootNode();
    const found = root.activeElement;
    return found && lens.contains(found) ? found.getAttribute('aria-label') || found.innerText : '';
}"""


def tab_to(lens: LensOnScreen, name: str) -> None:
    """Press Tab until the part called `name` has the focus."""
    seen: list[str] = []
    for _ in range(20):
        lens.page.keyboard.press("Tab")
        seen.append(lens.root.evaluate(FOCUSED))
        if seen[-1].startswith(name):
            return
    raise AssertionError(f"Tab did not reach {name!r}, only {seen}")


def test_keys_alone_choose_layer_view_eps_and_filter(notebook: Notebook) -> None:
    lens = show(notebook, digits(), READ)
    keyboard = notebook.page.keyboard
    lens.root.locator(".cl-title").click()
    tab_to(lens, "Search layers")
    tab_to(lens, "Layers")
    for key in ("ArrowDown", "ArrowDown", "End", "ArrowUp"):
        keyboard.press(key)
    expect(lens.status).to_contain_text("layer3.1.conv2")
    assert notebook.errors() == []

    tab_to(lens, "Quality")
    tab_to(lens, "eps")
    keyboard.press("ArrowRight")
    expect(lens.eps).not_to_have_attribute("aria-valuetext", "1 %")
    tab_to(lens, "Variance entropy")
    keyboard.press("ArrowLeft")
    expect(lens.status).to_contain_text("layer3.1.conv1")
    keyboard.press("Enter")
    lens.await_gallery("layer3.1.conv1")

    lens.root.locator(".cl-title").click()
    tab_to(lens, "Gallery of")
    keyboard.press("Shift+ArrowRight")
    expect(lens.card).to_contain_text("pinned")
    before = lens.card.inner_text()
    keyboard.press("Shift+ArrowDown")
    expect(lens.card).not_to_have_text(before, use_inner_text=True)
    whole = lens.gallery_pixels()
    keyboard.press("+")

    def zoomed() -> None:
        assert (lens.gallery_pixels() != whole).any(), "+ did not zoom"

    eventually(notebook.page, zoomed)
    keyboard.press("Home")

    def told() -> None:
        view, layer, channel, eps = notebook.run(1).split()
        assert (view, layer) == ("filters", "layer3.1.conv1")
        assert channel != "None"
        assert float(eps) > 0.01

    eventually(notebook.page, told)


def test_keys_do_not_reach_the_notebook(notebook: Notebook) -> None:
    lens = show(notebook, digits(), READ)
    lens.rail.focus()
    for key in ("d", "d", "a", "b", "x"):
        notebook.page.keyboard.press(key)
    assert notebook.page.locator(".jp-Notebook .jp-Cell").count() == 2
    expect(lens.root).to_be_visible()


def test_search_finds_a_layer_and_enter_chooses_it(notebook: Notebook) -> None:
    lens = show(notebook, digits(), READ)
    lens.rail.focus()
    notebook.page.keyboard.press("/")
    expect(lens.root.get_by_label("Search layers")).to_be_focused()
    notebook.page.keyboard.type("30conv2")
    expect(lens.rail.get_by_role("option")).to_have_count(1)
    notebook.page.keyboard.press("Enter")
    lens.await_layer("layer3.0.conv2")
    notebook.await_text(1, "quality layer3.0.conv2 None 0.01")


def test_help_opens_and_gives_the_focus_back(notebook: Notebook) -> None:
    lens = show(notebook, digits())
    lens.rail.focus()
    notebook.page.keyboard.press("?")
    expect(lens.root.get_by_role("dialog", name="Help")).to_be_visible()
    notebook.page.keyboard.press("Escape")
    expect(lens.root.get_by_role("dialog", name="Help")).to_have_count(0)
    expect(lens.rail).to_be_focused()
