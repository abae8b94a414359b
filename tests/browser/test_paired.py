"""A reference beside the model: marks, paired bars, filters side by side and as difference."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from convlens import demo
from convlens.compression import prune, quantize
from convlens.weights import effective_weight
from tests.browser.grid import find_grid, taps_of
from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually
from tests.browser.test_gallery import GROUND, Pixels, check_colours

LAYER = "layer2.0.conv2"
MADE = {
    "int4": "cl.compression.quantize(good.model, good.images[:64], bits=4)",
    "pruned": "cl.compression.prune(good.model, 0.7)",
}


def cell(made: str, options: str = "") -> str:
    return f"""
import convlens as cl
good = cl.demo.load()
other = {MADE[made]}
lens = cl.Lens(good.model, reference=other, name="DigitNet", reference_name="{made}",
               layer="{LAYER}", eps=0.0005{options})
lens
"""


def weights_of(made: str) -> tuple[Pixels, Pixels]:
    """Return the layer's weights in both models, as the cell has them."""
    good = demo.load()
    if made == "int4":
        other = quantize(good.model, good.images[:64], bits=4)
    else:
        other = prune(good.model, 0.7)
    mine, theirs = (effective_weight(m.get_submodule(LAYER)) for m in (good.model, other))
    return mine.numpy().astype(float), theirs.numpy().astype(float)


def pane(lens: LensOnScreen, name: str) -> Locator:
    return lens.root.get_by_role("application", name=name)


def check_pane(lens: LensOnScreen, canvas: Locator, weights: Pixels, theme: str) -> float:
    """Hold a gallery's pixels to weights; return what its last colour stands for."""
    limit = float(canvas.get_attribute("data-range") or "nan")
    grid = find_grid(lens.pixels(canvas), GROUND[theme])
    assert (len(grid.rows), len(grid.columns)) == weights.shape[:2]
    check_colours(taps_of(grid, 3, 3), weights, limit, GROUND[theme])
    return limit


@pytest.mark.parametrize("theme", list(GROUND))
@pytest.mark.parametrize("made", list(MADE))
def test_pixels_side_by_side_and_as_difference_are_the_weights(
    notebook: Notebook, made: str, theme: str
) -> None:
    mine, theirs = weights_of(made)
    notebook.use_theme(theme)
    lens = show(notebook, cell(made, ', view="filters"'), "print(lens.paired)")
    lens.await_gallery(LAYER)
    # larger than the cell: each filter has gaps around it then, which is how it is found
    lens.button("Full screen").click()
    both = pane(lens, "Gallery of"), pane(lens, f"{made}: 576 filters of {LAYER}")
    expect(both[1]).to_be_visible()

    def check_both() -> None:
        limits = [
            check_pane(lens, place.locator("canvas"), weights, theme)
            for place, weights in zip(both, (mine, theirs), strict=True)
        ]
        assert limits[0] == limits[1], "one scale for both"

    eventually(notebook.page, check_both)

    lens.pick("Whose filters", "difference")
    difference = pane(lens, f"DigitNet − {made}: 576 filters")
    expect(difference).to_be_visible()

    def check_difference() -> None:
        limit = check_pane(lens, difference.locator("canvas"), mine - theirs, theme)
        assert limit <= np.abs(mine - theirs).max() * 1.001

    eventually(notebook.page, check_difference)
    lens.button("Leave full screen").click()
    notebook.run(1)
    notebook.await_text(1, "difference")


def test_bars_marks_and_status_tell_of_both(notebook: Notebook) -> None:
    lens = show(notebook, cell("pruned"))
    lens.await_measured()
    sparsest = lens.option("layer3.1.conv2")
    expect(sparsest.locator(".cl-bar").first.locator(".cl-less")).to_have_count(1)
    title = sparsest.locator(".cl-bar").first.get_attribute("title")
    assert title
    assert ", pruned " in title
    assert title.endswith(" points less")
    expect(lens.status).to_contain_text("(pruned ")
    lens.chart.hover(position={"x": 300, "y": 60})
    tip = lens.root.locator(".cl-tip")
    expect(tip).to_contain_text("of random")
    expect(tip).to_contain_text("pruned 0.")


def test_values_of_both_are_in_the_card_and_one_camera_shows_both(notebook: Notebook) -> None:
    mine, theirs = weights_of("int4")
    lens = show(notebook, cell("int4", ', view="filters"'))
    lens.await_gallery(LAYER)
    reference = pane(lens, f"int4: 576 filters of {LAYER}")
    expect(reference).to_be_visible()
    reference.focus()
    for key in ("Home", "Enter"):
        notebook.page.keyboard.press(key)
    expect(lens.card).to_contain_text("pinned")
    heading = lens.card.get_by_role("heading").first.inner_text()
    out, inp = (int(part.split()[-1]) for part in heading.split("\n")[0].split(","))

    def told() -> None:
        values = [float(t.replace("−", "-")) for t in lens.card.locator("td").all_inner_texts()]
        kernels = [mine[out, inp], theirs[out, inp], mine[out, inp] - theirs[out, inp]]
        assert values == pytest.approx(np.concatenate([k.ravel() for k in kernels]), abs=6e-4)

    eventually(notebook.page, told)
    before = [lens.pixels(place.locator("canvas")) for place in (lens.gallery, reference)]
    lens.button("Zoom in (+)").click()

    def zoomed() -> None:
        for place, was in zip((lens.gallery, reference), before, strict=True):
            now = lens.pixels(place.locator("canvas"))
            assert np.abs(now - was).max() > 30, "one of both did not follow"

    eventually(notebook.page, zoomed)
    copied = lens.copied()
    assert "read_filters(good.model" in copied
    assert "read_filters(other" in copied
