"""The Features view: a click in another leads here; watch, stop, go on, draw all, read back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually
from tests.models import SHARED

# so many steps that there is something to stop, also where it takes long until somebody does
LONG = 20_000

CIFAR = f"""
import numpy as np, torch
from convlens import Lens, visualize_features, top_inputs
from tests import models
data = np.load("{SHARED}/cifar10/test_256.npz")
images = torch.tensor(data["images"][:64]).float() / 255
images = (images - torch.tensor([.485, .456, .406])[:, None, None]) / torch.tensor(
    [.229, .224, .225])[:, None, None]
classes = "plane car bird cat deer dog frog horse ship truck".split()
model = models.trained("resnet20")
lens = Lens(model, images, labels=data["labels"][:64], classes=classes, name="ResNet-20")
lens
"""
DIGITS = """
from convlens import Lens, demo, visualize_features, top_inputs
good = demo.load()
model, images = good.model, good.images[:64]
lens = Lens(model, images, labels=good.labels[:64], classes=good.classes, name="DigitNet")
lens
"""
STOPPED = """
found = lens.result()
print(lens.view, lens.layer, lens.channel, found.channels == (lens.channel,), found.finished)
"""
READ = """
found = lens.result()
plain = visualize_features(model, lens.layer, lens.channel, inputs=images, steps=12)
print(lens.channel, lens.feature_steps, found.finished, (found.pictures == plain.pictures).all())
"""
TOP = """
best = top_inputs(model, images, lens.layer, lens.channel).index[0].tolist()
print(best.index(lens.input_index))
"""


def wants(lens: LensOnScreen) -> Locator:
    return lens.root.get_by_label("Synthesised input")


def tile(lens: LensOnScreen, channel: int) -> Locator:
    return lens.root.get_by_role("option", name=re.compile(rf"^(channel|output) {channel}(,|$)"))


def differs(lens: LensOnScreen, canvas: Locator) -> None:
    """Wait until a picture has colours of its own."""

    def check() -> None:
        colours = np.unique(lens.pixels(canvas).reshape(-1, 3), axis=0)
        assert len(colours) > 8, "nothing is drawn"

    eventually(lens.page, check)


@pytest.mark.parametrize("network", ["ResNet-20", "demo"])
def test_from_a_filter_to_its_feature_and_to_those_of_all(notebook: Notebook, network: str) -> None:
    if network != "demo" and not (SHARED / "cifar10").is_dir():
        pytest.skip("no shared data here")
    start = DIGITS if network == "demo" else CIFAR
    lens = show(notebook, start, f"lens.feature_steps = {LONG}", STOPPED, READ, TOP)
    notebook.run(1)
    layer = "layer1.0.conv1"
    lens.choose(layer)
    lens.open("Filters")
    lens.await_gallery(layer)
    box = lens.gallery.bounding_box()
    assert box
    lens.gallery.click(position={"x": box["width"] * 0.5, "y": box["height"] * 0.4})
    lens.button("See what it looks for").click()

    # it is drawn while it climbs, beside what excites it and where it fires
    expect(lens.tab("Features")).to_have_attribute("aria-selected", "true")
    expect(wants(lens)).to_contain_text(re.compile(rf"step [\d,]+ of {LONG:,}"))
    differs(lens, wants(lens).get_by_role("img", name="Input synthesised for"))
    inputs = lens.root.get_by_label("Inputs that excite it most").get_by_role("button")
    expect(inputs).to_have_count(9)
    fires = lens.root.get_by_label("Activation map")
    expect(fires).to_contain_text("at most")
    differs(lens, fires.locator("canvas"))
    lens.button("Stop").first.click()
    expect(
        lens.root.get_by_text(re.compile(rf"stopped at step [\d,]+ of {LONG:,}"))
    ).to_be_visible()

    def told() -> str:
        view, chosen, channel, own, finished = notebook.run(2).split()
        assert (view, chosen, own, finished) == ("features", layer, "True", "False")
        return channel

    channel = eventually(notebook.page, told)
    expect(tile(lens, int(channel))).to_have_attribute("aria-selected", "true")

    # fewer steps: drawn anew, to the end; then all others
    steps = lens.root.get_by_role("spinbutton", name="steps")
    steps.fill("12")
    steps.press("Enter")
    expect(wants(lens)).to_contain_text("after 12 steps")
    lens.button("Draw all").click()
    expect(lens.button("Draw all")).to_have_count(0)
    expect(lens.root.locator(".cl-page").get_by_role("button", name="Stop")).to_have_count(0)
    tiles = lens.root.get_by_role("option", name=re.compile("activation|never fires"))

    def all_drawn() -> None:
        assert tiles.count() >= 12

    eventually(notebook.page, all_drawn)
    tile(lens, 2).click()
    expect(wants(lens)).to_contain_text("after 12 steps")
    differs(lens, tile(lens, 2).locator("canvas"))
    notebook.await_text(3, "2 12 True True")

    # one of the inputs becomes the chosen one
    expect(lens.root.get_by_label("Inputs that excite it most")).to_contain_text("of 64 inputs")
    inputs.nth(3).click()
    notebook.await_text(4, "3")


def test_without_inputs_it_is_synthesised_and_read_in_a_saved_page(
    notebook: Notebook, context: BrowserContext, tmp_path: Path
) -> None:
    file = tmp_path / "lens.html"
    lens = show(
        notebook,
        "from convlens import Lens, demo\n"
        "lens = Lens(demo.load().model, layer='layer1.0.conv1', channel=1, feature_steps=9,\n"
        "            feature_size=8)\nlens",
        f"lens.to_html({str(file)!r})",
    )
    lens.open("Features")
    expect(wants(lens)).to_contain_text("after 9 steps")
    expect(lens.root.get_by_label("Inputs wanted")).to_contain_text("inputs=images")
    notebook.run(1)
    context.set_offline(True)
    page = context.new_page()
    page.goto(file.as_uri())
    saved = LensOnScreen(page.locator("body"))
    expect(wants(saved)).to_contain_text("after 9 steps")
    differs(saved, wants(saved).get_by_role("img", name="Input synthesised for"))
    tile(saved, 3).click()
    expect(wants(saved)).to_contain_text("not drawn before this page was saved")
    expect(saved.root.get_by_role("alert")).to_have_count(0)
