"""The Saliency view: a wrong prediction, a map of it, Grad-CAM at a clicked layer, read back."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from matplotlib import image
from playwright.sync_api import Locator, expect

from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook
from tests.browser.patience import eventually
from tests.models import SHARED

CIFAR = f"""
import numpy as np, torch
import convlens as cl
from tests import models
data = np.load("{SHARED}/cifar10/test_256.npz")
images = torch.tensor(data["images"]).float() / 255
images = (images - torch.tensor([.485, .456, .406])[:, None, None]) / torch.tensor(
    [.229, .224, .225])[:, None, None]
labels = data["labels"]
names = "plane car bird cat deer dog frog horse ship truck".split()
model = models.trained("resnet20")
lens = cl.Lens(model, images, labels=labels, classes=names)
lens
"""
DIGITS = """
import convlens as cl
good, redundant = cl.demo.load(), cl.demo.load("redundant")
model, images, labels = good.model, good.images, good.labels
lens = cl.Lens(model, images, labels=labels, classes=good.classes, mean=good.mean, std=good.std)
lens
"""
READ = """
found = lens.result()
plain = cl.attribute(model, images[lens.input_index:lens.input_index + 1], method=lens.method,
                     layer=found.layer)
wrong = int(found.predicted[0]) != int(labels[lens.input_index])
print(lens.method, found.layer, wrong, abs(found.values - plain.values).max() < 1e-5)
"""


def inputs(lens: LensOnScreen) -> Locator:
    return lens.root.get_by_role("listbox", name="Inputs")


def figure(lens: LensOnScreen, name: str) -> Locator:
    """The map of a method, once it is drawn."""
    return lens.root.get_by_role("img", name=re.compile(rf"^{re.escape(name)}.*:"))


def choose(lens: LensOnScreen, method: str, *, beside: bool = False) -> None:
    lens.root.get_by_role("button", name="Methods:").click()
    menu = lens.root.get_by_role("group", name="Methods")
    if beside:
        menu.get_by_role("checkbox", name=f"Show {method} beside the others").click()
        lens.page.keyboard.press("Escape")
    else:
        menu.get_by_role("button", name=method).first.click()
    expect(menu).to_have_count(0)


@pytest.mark.parametrize("network", ["ResNet-20", "demo"])
def test_wrong_prediction_is_explained_and_read_back(notebook: Notebook, network: str) -> None:
    if network != "demo" and not (SHARED / "cifar10").is_dir():
        pytest.skip("no shared data here")
    lens = show(notebook, DIGITS if network == "demo" else CIFAR, READ)
    lens.open("Saliency")
    expect(figure(lens, "Saliency")).to_be_visible()
    shown = lens.root.get_by_role("combobox", name="Inputs shown")
    expect(inputs(lens)).to_have_attribute("aria-busy", "false")
    shown.select_option("wrong")
    inputs(lens).get_by_role("option").first.click()
    expect(inputs(lens).get_by_role("option", selected=True)).to_have_attribute(
        "aria-label", re.compile("predicted .*, truly ")
    )

    choose(lens, "Integrated gradients")
    ig = figure(lens, "Integrated gradients")
    expect(ig).to_have_attribute("aria-label", re.compile("−[0-9.]+ to [0-9.]+"))

    def coloured() -> None:
        pixels = lens.pixels(ig)
        red, blue = pixels[..., 0], pixels[..., 2]
        assert (red > blue + 60).any(), "nothing speaks for the target"
        assert (blue > red + 60).any(), "nothing speaks against it"

    eventually(notebook.page, coloured)
    notebook.await_text(1, "integrated_gradients None True True")

    # Grad-CAM follows the rail, beside the other, and both are compared.
    choose(lens, "Grad-CAM", beside=True)
    for clicked in ("layer2.1.conv1", "layer1.1.conv2"):
        lens.choose(clicked)
        cam = figure(lens, f"Grad-CAM, {clicked}")
        expect(cam).to_be_visible()
        notebook.await_text(1, f"layer_grad_cam {clicked} True True")
    expect(ig).to_be_visible()
    agreement = lens.root.get_by_role("region", name="Agreement")
    expect(agreement).to_contain_text(re.compile(r"Integrated gradients\s*−?\d\.\d\d"))

    # Pointing at a pixel reads it in every figure.
    box = cam.bounding_box()
    assert box
    cam.hover(position={"x": box["width"] * 0.5, "y": box["height"] * 0.5})
    at = lens.root.get_by_text(re.compile(r"^\d+, \d+: "))
    expect(at).to_have_count(3)


def test_file_is_explained_and_a_damaged_one_is_said_to_be_so(notebook: Notebook) -> None:
    lens = show(notebook, DIGITS, "print(tuple(lens.input.shape), lens.input_index)")
    lens.open("Saliency")
    expect(figure(lens, "Saliency")).to_be_visible()
    file = lens.root.locator("input[type=file]")
    file.set_input_files({"name": "no.png", "mimeType": "image/png", "buffer": b"not an image"})
    expect(lens.root.get_by_role("alert")).to_contain_text("cannot be read as an image")
    held = io.BytesIO()
    image.imsave(held, np.linspace(0, 1, 400).reshape(20, 20), format="png", cmap="gray")
    file.set_input_files({"name": "ramp.png", "mimeType": "image/png", "buffer": held.getvalue()})
    expect(inputs(lens).get_by_role("option", selected=True)).to_have_attribute(
        "aria-label", re.compile("^ramp.png")
    )
    notebook.await_text(1, "(1, 1, 8, 8) 540")
    expect(figure(lens, "Saliency")).to_be_visible()


def test_reference_stands_beside_and_a_refused_method_says_why(notebook: Notebook) -> None:
    cells = DIGITS.replace("model, images, labels=", "model, images, redundant.model, labels=")
    lens = show(notebook, cells)
    lens.open("Saliency")
    expect(figure(lens, "Saliency")).to_have_count(2)
    agreement = lens.root.get_by_role("region", name="Agreement")
    expect(agreement).to_contain_text(re.compile(r"Saliency\s*−?\d\.\d\d"))
    lens.choose("linear")
    choose(lens, "Integrated gradients")
    lens.root.get_by_role("button", name="Methods:").click()
    refused = lens.root.get_by_role("group", name="Methods").get_by_role("button", name="Grad-CAM")
    expect(refused.first).to_be_disabled()
    expect(refused.first).to_contain_text("no map")
    lens.page.keyboard.press("Escape")


def test_without_inputs_the_view_says_what_to_pass(notebook: Notebook) -> None:
    lens = show(notebook, "from convlens import Lens, demo\nLens(demo.load().model)")
    lens.open("Saliency")
    expect(lens.root.get_by_text("inputs=").first).to_be_visible()
