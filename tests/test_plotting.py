"""Pictures: what is drawn is what was measured, and nothing global changes."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from convlens.errors import ArgumentError
from convlens.filters import read_filters
from convlens.plotting import new_axes, stages
from convlens.quality import Quality, measure_quality
from tests.models import CifarResNet


@pytest.fixture(scope="module")
def quality() -> Quality:
    torch.manual_seed(0)
    model = CifarResNet()
    with torch.no_grad():
        model.get_parameter("conv1.weight")[::2] = 0
    return measure_quality(model)


def heights(axes: Axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]


def words(figure: Figure) -> set[str]:
    titles = {axes.get_title("left") for axes in figure.axes}
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return titles | {text.get_text() for text in texts}


def test_bars_are_the_figures(quality: Quality) -> None:
    figure = quality.plot()
    upper, lower = figure.axes
    scored = [layer for layer in quality.layers if layer.taps > 1]
    # axhspan draws rectangles too: the bars are the last
    assert heights(upper)[-19:] == [layer.entropy_share for layer in scored]
    assert heights(lower) == [100 * (layer.sparsity or 0) for layer in scored]
    assert heights(lower)[0] == 50
    assert {"like random", "diverse", "redundant", "conv1", "layer1", "layer2", "layer3"} <= words(
        figure
    )
    assert "1 layer without patterns left out" in words(figure)
    assert "Sparsity, share of filters below 1 % of the largest weight" in words(figure)


def test_one_set_of_axes_takes_the_entropy(quality: Quality) -> None:
    axes = new_axes((5, 3))
    assert quality.plot(axes) is axes.figure
    assert len(axes.figure.axes) == 1
    assert heights(axes)[-19:] == [layer.entropy_share for layer in quality.layers[:-1]]


def test_two_sets_of_axes_take_both(quality: Quality) -> None:
    figure = Figure()
    both: Any = figure.subplots(2)
    assert quality.plot(both) is figure
    assert heights(both[1])[0] == 50


def test_axes_of_a_subfigure(quality: Quality) -> None:
    figure = Figure()
    part: Any = figure.subfigures(1, 2)[0]  # pyright: ignore[reportIndexIssue]
    assert quality.plot(part.subplots()) is figure


@pytest.mark.parametrize("blocks", [3, 27])
def test_names_are_never_turned_and_never_overlap(blocks: int) -> None:
    figure = measure_quality(CifarResNet(blocks)).plot()
    figure.draw_without_rendering()
    axes = figure.axes[1]
    labels = [text for text in axes.texts if not text.get_text().startswith("1 layer")]
    assert {"layer1", "layer2", "layer3"} <= {text.get_text() for text in labels}
    boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: box.x0)
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))
    assert all(text.get_rotation() == 0 for text in labels)
    assert len(axes.get_xticks()) == 0


def test_names_that_do_not_fit_are_left_out() -> None:
    model = nn.Sequential()
    for place in range(160):
        model.add_module(f"a_rather_long_name_{place}", nn.Conv2d(2, 2, 3))
    axes = measure_quality(model).plot().axes[1]
    assert 3 < len(axes.texts) < 40
    boxes = [text.get_window_extent() for text in axes.texts]
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


def test_a_model_without_patterns() -> None:
    figure = measure_quality(nn.Linear(3, 2)).plot()
    assert "1 layer without patterns left out" in words(figure)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1"],
         [("conv1", 0, 1), ("layer1", 1, 3), ("layer2", 3, 4)]),
        (["features.0", "features.3", "features.6"], [("0", 0, 1), ("3", 1, 2), ("6", 2, 3)]),
        (["net.a.x", "net.a.y", "net.b.x", "net.b.y", "net.c.x"],
         [("a", 0, 2), ("b", 2, 4), ("c", 4, 5)]),
        (["conv"], [("conv", 0, 1)]),
        ([], []),
        (["a.x", "b.x", "a.y"], [("a", 0, 1), ("b", 1, 2), ("a", 2, 3)]),
    ],
)  # fmt: skip
def test_stages(names: list[str], expected: list[tuple[str, int, int]]) -> None:
    assert stages(names) == expected


def test_a_figure_shows_itself_in_a_notebook(quality: Quality) -> None:
    figure: Any = quality.plot()
    png = figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert len(png) > 10_000


def test_nothing_global_changes(quality: Quality) -> None:
    before = dict(mpl.rcParams)
    quality.plot()
    read_filters(nn.Conv2d(3, 4, 3), 0).plot()
    assert dict(mpl.rcParams) == before


def test_pyplot_is_not_used() -> None:
    code = (
        "import sys, torch, convlens as cl; model = torch.nn.Conv2d(3, 4, 3);"
        "cl.measure_quality(model).plot(); cl.read_filters(model, 0).plot();"
        "plt = sys.modules.get('matplotlib.pyplot'); print(plt and plt.get_fignums())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("None", "[]")  # seaborn imports pyplot; no figure is its own


def gallery(figure: Figure) -> np.ndarray:
    picture: Any = figure.axes[-1].images[0].get_array()
    return np.ma.filled(picture, np.nan)


def test_gallery_holds_the_weights_where_they_belong() -> None:
    module = nn.Conv2d(16, 12, 3)
    found = read_filters(module, 0)
    figure = found.plot()
    picture = gallery(figure)
    fine, gap = 2, 1  # pixels for a weight, and between filters
    assert picture.shape == (12 * (3 * fine + gap), 16 * (3 * fine + gap))
    top, left = 5 * (3 * fine + gap), 9 * (3 * fine + gap)
    tile = picture[top : top + 3 * fine : fine, left : left + 3 * fine : fine]
    assert np.allclose(tile, found.weights[5, 9] / found.max_abs)
    assert np.isnan(picture[top + 3 * fine]).all()
    assert len(figure.axes) == 10
    assert "(model): 192 filters, by output, 16 inputs each; framed: below 1 % of the largest" in (
        words(figure)
    )


def test_sparse_filters_are_framed() -> None:
    module = nn.Conv2d(8, 8, 3)
    with torch.no_grad():
        module.weight[2] = 0
        module.weight[:, 3] = 0
    axes = read_filters(module, 0).plot().axes[-1]
    [frames] = axes.collections
    assert len(frames.get_paths()) == 15


def test_scales() -> None:
    found = read_filters(nn.Conv2d(8, 8, 3), 0)
    assert np.nanmax(np.abs(gallery(found.plot(scale="layer")))) == pytest.approx(1)
    each = gallery(found.plot(scale="filter"))
    assert np.nanmax(np.abs(each[:6, :6])) == pytest.approx(1)
    twice = gallery(found.plot(scale=2 * found.max_abs))
    assert np.nanmax(np.abs(twice)) == pytest.approx(0.5)
    assert np.array_equal(
        gallery(found.plot(scale="model")), gallery(found.plot(scale="layer")), equal_nan=True
    )


def test_sorted_gallery_is_in_order() -> None:
    found = read_filters(nn.Conv2d(6, 6, 1), 0)
    picture = gallery(found.plot(sort="norm"))[::10, ::10]  # 8 pixels a weight, 2 between
    assert np.allclose(np.abs(picture).ravel(), np.sort(found.norms)[::-1] / found.max_abs)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv1d(3, 4, 5),
        nn.Conv3d(2, 3, 3),
        nn.Linear(6, 4),
        nn.Conv2d(3, 64, 7),
        nn.Conv2d(1, 1, 3),
        nn.Conv2d(100, 80, 3),
    ],
)
@pytest.mark.parametrize("sort", ["position", "cluster"])
def test_any_layer(module: nn.Module, sort: Any) -> None:
    figure = read_filters(module, 0).plot(sort=sort)
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    assert 5 < width < 9
    assert 0.7 < height < 11
    assert np.isfinite(gallery(figure)).any()


def test_an_all_zero_layer() -> None:
    module = nn.Conv2d(2, 2, 3)
    nn.init.zeros_(module.weight)
    assert np.nanmax(gallery(read_filters(module, 0).plot())) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sort": "size"}, "^sort must be one of"),
        (
            {"scale": "layers"},
            r"^scale must be one of 'filter', 'layer', 'model' or a pos",
        ),
        ({"scale": 0}, "^scale must be"),
        ({"scale": True}, "^scale must be"),
        ({"eps": 1}, "^eps must lie"),
    ],
)
def test_bad_arguments(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        read_filters(nn.Conv2d(2, 2, 3), 0).plot(**options)
