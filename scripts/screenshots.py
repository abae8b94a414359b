"""Take the README's pictures from a real JupyterLab: `make screenshots`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import expect
from zopfli import png

from tests.browser import servers
from tests.browser.cells import digits
from tests.browser.chromium import open_chromium
from tests.browser.lens import LensOnScreen, show
from tests.browser.notebook import Notebook

FOLDER = Path(__file__).parents[1] / "docs" / "images"
LAYER = "layer2.0.conv2"
"""Half of its filters have faded; as many inputs as outputs fill the picture."""
LIMIT = 300_000

COMPARED = """
from convlens import Lens, demo
good, redundant = demo.load(), demo.load("redundant")
lens = Lens(good.model, good.images[:512], redundant.model,
            name="DigitNet", reference_name="redundant", layer="layer2.0.conv2")
lens
"""
FEATURES = """
from convlens import Lens, demo
good = demo.load()
lens = Lens(good.model, good.images[:512], labels=good.labels[:512], classes=good.classes,
            name="DigitNet", layer="layer2.0.conv1", channel=5)
lens
"""
COMPRESSED = """
from convlens import Lens, compression, demo
good = demo.load()
images, labels = good.images[:512], good.labels[:512]
small = compression.quantize(good.model, images[:64], bits=3)
lens = Lens(small, images, good.model, labels=labels, classes=good.classes,
            name="3 bits", reference_name="DigitNet")
lens
"""


def save(lens: LensOnScreen, name: str) -> None:
    """Save what the Lens shows as docs/images/<name>.png."""
    lens.page.mouse.move(0, 0)
    lens.page.wait_for_timeout(500)  # for what fades in
    path = FOLDER / f"{name}.png"
    shot = lens.root.screenshot(animations="disabled")
    # a fifth smaller, without loss
    size = path.write_bytes(png.optimize(shot, use_zopfli=False, filter_strategies="0"))
    print(f"{path.relative_to(FOLDER.parents[1])}: {size // 1000} kB")
    if size >= LIMIT:
        raise SystemExit(f"{path.name} has {size:,} bytes; the limit is {LIMIT:,}.")


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=60_000)  # two shared cores
    home = Path(tempfile.mkdtemp(prefix="convlens-screenshots-"))
    with servers.jupyter("lab", home) as server, open_chromium() as browser:
        context = browser.new_context(
            viewport={"width": 1240, "height": 820}, device_scale_factor=2
        )
        notebook = Notebook.open(context.new_page(), server, [""])
        notebook.use_theme("JupyterLab Light")
        lens = show(notebook, digits("redundant"))
        lens.choose(LAYER)
        lens.await_layer(LAYER)
        save(lens, "quality")
        lens.open("Filters")
        lens.await_gallery(LAYER)
        lens.await_still()
        notebook.use_theme("JupyterLab Dark")
        lens.await_still()
        save(lens, "filters-dark")
        notebook.use_theme("JupyterLab Light")
        lens = show(notebook, COMPARED)
        lens.open("Similarity")
        lens.button("Compare").click()
        heatmap = lens.root.get_by_role("application", name="Similarity of")
        expect(heatmap).to_be_visible()
        heatmap.click(position={"x": 300, "y": 120})
        expect(lens.root.get_by_label("Chosen layers")).to_contain_text("in 16 batches of 32")
        save(lens, "similarity")
        lens = show(notebook, FEATURES)
        lens.open("Features")
        lens.button("Draw all").click()
        feature = lens.root.get_by_label("Synthesised input")
        expect(feature).to_contain_text("after")
        expect(lens.button("Stop")).to_have_count(0)
        save(lens, "features")
        lens = show(notebook, COMPRESSED)
        lens.open("Compression")
        lens.button("Measure").click()
        expect(lens.root.locator(".cl-report[data-finished=true]")).to_be_visible()
        lens.root.get_by_role("listbox", name="Layers by").get_by_role("option").first.click()
        expect(lens.root.get_by_label("Chosen layer")).to_contain_text("fake-quantised")
        save(lens, "compression")


if __name__ == "__main__":
    main()
