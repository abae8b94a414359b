"""The gallery: its pixels are the weights, in both themes, in every order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import expect
from scipy.stats import spearmanr

from tests import models
from tests.browser.cells import READ, digits, trained
from tests.browser.grid import Grid, find_grid, taps_of
from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually

Pixels = npt.NDArray[np.float64]
# No filter is so sparse that an outline would cover gaps.
GALLERY = 'view="filters", eps=0.0005'
GROUND = {"JupyterLab Light": (255, 255, 255), "JupyterLab Dark": (20, 23, 27)}


def weights_of(name: str, layer: str) -> Pixels:
    weight = models.trained(name).get_submodule(layer).get_parameter("weight")
    return weight.detach().numpy().astype(float)


def check_colours(pixels: Pixels, weights: Pixels, limit: float, ground: Sequence[int]) -> None:
    """Hold the colour of each tap to its weight; `limit` is the |weight| of the last colour."""
    distance = np.linalg.norm(pixels - np.asarray(ground, float), axis=-1)
    warm = pixels[..., 0] - pixels[..., 2]
    told = np.abs(weights) > 0.1 * limit
    assert told.sum() > 100
    assert (np.sign(warm) == np.sign(weights))[told].all(), "a sign is on the wrong colour's side"
    order = spearmanr(distance.ravel(), np.minimum(np.abs(weights), limit).ravel()).statistic
    assert order > 0.995, f"larger weights do not stand out more: {order:.4f}"


def grid_on_screen(lens: LensOnScreen, theme: str) -> tuple[Grid, float]:
    limit = lens.gallery.locator("canvas").get_attribute("data-range")
    assert limit is not None
    return find_grid(lens.gallery_pixels(), GROUND[theme]), float(limit)


@pytest.mark.parametrize("theme", list(GROUND))
@pytest.mark.parametrize(
    ("name", "layer"), [("resnet20", "layer1.1.conv2"), ("resnet32", "layer2.0.conv1")]
)
def test_pixels_are_the_weights(notebook: Notebook, name: str, layer: str, theme: str) -> None:
    weights = weights_of(name, layer)
    notebook.use_theme(theme)
    lens = show(notebook, trained(name, f'{GALLERY}, layer="{layer}"'))
    lens.await_gallery(layer)

    def check() -> None:
        grid, limit = grid_on_screen(lens, theme)
        assert (len(grid.rows), len(grid.columns)) == weights.shape[:2]
        check_colours(taps_of(grid, 3, 3), weights, limit, GROUND[theme])

    eventually(notebook.page, check)


def test_sorted_by_norm_is_a_flow_of_the_largest_first(notebook: Notebook) -> None:
    layer = "layer1.1.conv2"
    weights = weights_of("resnet20", layer).reshape(-1, 3, 3)
    lens = show(notebook, trained("resnet20", f'{GALLERY}, layer="{layer}"'), "print(lens.sort)")
    lens.await_gallery(layer)
    lens.pick("Order", "norm")
    order = np.argsort(-np.linalg.norm(weights, axis=(1, 2)), kind="stable")

    def check() -> None:
        grid, limit = grid_on_screen(lens, "JupyterLab Light")
        full = len(weights) // len(grid.columns)
        shown = taps_of(grid, 3, 3)[:full].reshape(-1, 3, 3, 3)
        check_colours(shown, weights[order][: len(shown)], limit, GROUND["JupyterLab Light"])

    eventually(notebook.page, check)
    notebook.await_text(1, "norm")


def test_zero_is_the_ground(notebook: Notebook) -> None:
    zeros = "import torch; model.layer1[0].conv2.weight.data[3] = 0; lens.refresh()"
    lens = show(notebook, digits(options=f'{GALLERY}, layer="layer1.0.conv2"'), zeros)
    notebook.run(1)
    lens.await_gallery("layer1.0.conv2")
    expect(lens.findings).to_contain_text("Output 3 is dead")

    def check() -> None:
        grid, _ = grid_on_screen(lens, "JupyterLab Light")
        row = taps_of(grid, 3, 3)[3]
        assert np.ptp(row.reshape(-1, 3), axis=0).max() == 0, "zeros differ in colour"
        assert np.abs(row - 255).max() < 14, "zero is not the ground's colour"

    eventually(notebook.page, check)


def test_filter_scale_gives_each_filter_the_full_range(notebook: Notebook) -> None:
    layer = "layer2.0.conv1"
    weights = weights_of("resnet32", layer)
    lens = show(notebook, trained("resnet32", f'{GALLERY}, layer="{layer}"'), "print(lens.scale)")
    lens.await_gallery(layer)
    lens.pick("Scale of colours", "filter")
    own = weights / np.abs(weights).max((2, 3), keepdims=True)

    def check() -> None:
        grid = find_grid(lens.gallery_pixels(), GROUND["JupyterLab Light"])
        check_colours(taps_of(grid, 3, 3), own, 1.0, GROUND["JupyterLab Light"])

    eventually(notebook.page, check)
    notebook.await_text(1, "filter")


def test_wheel_zooms_about_the_pointer_and_fit_goes_back(notebook: Notebook) -> None:
    layer = "layer1.1.conv2"
    weights = weights_of("resnet20", layer)
    lens = show(notebook, trained("resnet20", f'{GALLERY}, layer="{layer}"'), READ)
    lens.await_gallery(layer)
    whole = lens.gallery_pixels()
    grid, limit = grid_on_screen(lens, "JupyterLab Light")
    out, inp = 5, 9
    box = lens.gallery.bounding_box()
    assert box
    x = box["x"] + sum(grid.columns[inp]) / 2
    y = box["y"] + sum(grid.rows[out]) / 2
    mouse = notebook.page.mouse
    mouse.move(x, y)
    for _ in range(3):
        mouse.wheel(0, -200)
        notebook.page.wait_for_timeout(30)
    lens.await_still()
    expect(lens.card).to_contain_text(f"out {out}, in {inp}")
    middle = weights[out, inp, 1, 1]
    assert abs(middle) > 0.1 * limit
    px, py = round(x - box["x"]), round(y - box["y"])

    def zoomed() -> Pixels:
        near = lens.gallery_pixels()
        # What was under the pointer still is, larger: a patch about it has one tap's colour.
        patch = near[py - 4 : py + 5, px - 4 : px + 5].reshape(-1, 3)
        assert np.ptp(patch, axis=0).max() == 0, "the tap did not grow"
        assert np.sign(patch[0, 0] - patch[0, 2]) == np.sign(middle), "another tap is there"
        return near

    near = eventually(notebook.page, zoomed)

    mouse.move(box["x"] + 300, box["y"] + 300)
    mouse.down()
    mouse.move(box["x"] + 220, box["y"] + 240, steps=4)
    mouse.up()

    def dragged() -> None:
        assert np.abs(lens.gallery_pixels() - near).max() > 30, "dragging did not move the picture"

    eventually(notebook.page, dragged)
    assert notebook.run(1).split()[2] == "None", "a drag is not a click"

    lens.root.get_by_role("button", name="Show all").click()
    mouse.move(0, 0)

    def back() -> None:
        assert np.abs(lens.gallery_pixels() - whole).max() == 0, "fit did not bring the whole back"

    eventually(notebook.page, back)


def test_card_shows_the_values_of_the_filter_pointed_at(notebook: Notebook) -> None:
    layer = "layer1.1.conv2"
    weights = weights_of("resnet20", layer)
    lens = show(notebook, trained("resnet20", f'{GALLERY}, layer="{layer}"'))
    lens.await_gallery(layer)
    grid, _ = grid_on_screen(lens, "JupyterLab Light")
    lens.gallery.hover(position={"x": sum(grid.columns[4]) / 2, "y": sum(grid.rows[11]) / 2})
    expect(lens.card).to_contain_text("out 11, in 4")
    told = [float(t.replace("−", "-")) for t in lens.card.locator("td").all_inner_texts()]
    assert told == pytest.approx(weights[11, 4].ravel().tolist(), abs=6e-4)


def test_a_large_layer_shows_every_digit_once_the_rest_has_come(notebook: Notebook) -> None:
    # 1.0077 is 1.0039 by the half of its bits that comes first
    large = """
import torch
from convlens import Lens

conv = torch.nn.Conv2d(240, 240, 3)
torch.nn.init.constant_(conv.weight, 1.0077)
Lens(conv, view="filters")
"""
    lens = show(notebook, large)
    lens.await_gallery("(model)")
    box = lens.gallery.bounding_box()
    assert box
    lens.gallery.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    expect(lens.card).to_contain_text("out ")

    def told() -> None:
        values = lens.card.locator("td").all_inner_texts()
        assert values == ["1.01"] * 9, values

    eventually(notebook.page, told)
