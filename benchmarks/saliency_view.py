"""Time the Saliency view in a real JupyterLab: a map after a click, the first sign of a long one.

The model is the trained ResNet-20 of the shared data, or where that is absent one with random
weights, on random images. Times are taken in the page: from the press of the pointer to the frame
after the one in which what was asked for was there.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser import servers
from tests.browser.chromium import open_chromium
from tests.browser.lens import LensOnScreen
from tests.browser.notebook import Notebook
from tests.models import SHARED

CLICKS = 12
MODEL = f"""
import numpy as np, torch
import convlens as cl
from tests import models
torch.manual_seed(0)
if {(SHARED / "cifar10").is_dir()}:
    net = models.trained("resnet20")
    images = torch.tensor(np.load("{SHARED}/cifar10/test_256.npz")["images"]).float() / 255
    images = (images - torch.tensor([.485, .456, .406])[:, None, None]) / torch.tensor(
        [.229, .224, .225])[:, None, None]
else:
    net, images = models.CifarResNet().eval(), torch.rand(256, 3, 32, 32)
"""
SHOWN = "lens = cl.Lens(net, images, view='saliency'); lens"
WAITS = "import time; time.sleep(60)"

# Resolves with the milliseconds from the last press to the frame after the map of an input.
PAINTED = """async ([lens, input]) => {
    const frame = () => new Promise(requestAnimationFrame);
    const shown = () => lens.querySelector(`.cl-figure[data-input="${input}"] canvas`);
    while (window.pressedAt === undefined || !shown()) await frame();
    await frame();
    const took = performance.now() - window.pressedAt;
    window.pressedAt = undefined;
    return took;
}"""

# Resolves with the milliseconds to the first "n of m", to the first that has moved, to the map.
PROGRESS = """async ([lens, input]) => {
    const frame = () => new Promise(requestAnimationFrame);
    const told = () => lens.querySelector('.cl-explain [role=status]')?.textContent ?? '';
    const map = () => lens.querySelector(`.cl-figure[data-input="${input}"] canvas`);
    const since = () => performance.now() - window.pressedAt;
    let bar, moved;
    while (!map()) {
        if (bar === undefined && lens.querySelector('.cl-figure-wait progress')) bar = since();
        if (moved === undefined && /^[1-9]/.test(told())) moved = since();
        await frame();
    }
    await frame();
    const took = since();
    window.pressedAt = undefined;
    return [bar ?? took, moved ?? took, took];
}"""
PRESSED = """() => document.addEventListener(
    'pointerdown', e => { window.pressedAt = e.timeStamp; }, true)"""


def press(lens: LensOnScreen, index: int) -> None:
    option = lens.root.locator(f"[id$='-input-{index}']")
    option.scroll_into_view_if_needed()
    box = option.bounding_box()
    assert box
    lens.page.mouse.move(box["x"] + 26, box["y"] + 26)
    lens.page.wait_for_timeout(60)
    lens.page.mouse.down()
    lens.page.mouse.up()


def report(name: str, times: list[float], target: str) -> None:
    slowest = sorted(times)[-2]
    median = statistics.median(times)
    print(f"| {name} | {median:.0f} ms (second slowest {slowest:.0f}) | {target} |", flush=True)


def main() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before\n")
    print(f"| median of {CLICKS} | measured | target |\n|---|---|---|")
    home = Path(tempfile.mkdtemp(prefix="convlens-bench-"))
    with servers.jupyter("lab", home) as server, open_chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 950})
        notebook = Notebook.open(page, server, [MODEL, SHOWN, WAITS])
        notebook.run(0)
        page.evaluate(PRESSED)
        notebook.run(1)
        lens = LensOnScreen(notebook.output(1))
        lens.root.locator(".cl-figure[data-input='0'] canvas").wait_for()
        lens.root.locator(".cl-inputs[aria-busy='false']").wait_for(timeout=60_000)
        page.wait_for_timeout(3000)
        handle = lens.root.element_handle()

        def click(index: int) -> float:
            press(lens, index)
            return page.evaluate(PAINTED, [handle, index])

        report(
            "click on an input to its map (Saliency)", [click(i) for i in range(1, 13)], "150 ms"
        )
        report("the same, seen before", [click(i) for i in range(1, 13)], "100 ms")
        notebook.start(2)
        page.wait_for_timeout(500)
        report("a new one while a cell sleeps", [click(i) for i in range(13, 25)], "150 ms")
        notebook.interrupt()
        notebook.finish(2)

        lens.root.get_by_role("button", name="Methods:").click()
        menu = lens.root.get_by_role("group", name="Methods")
        menu.get_by_role("button", name="Integrated gradients").first.click()
        lens.root.locator(".cl-figure[data-input='24'] canvas").wait_for()
        page.wait_for_timeout(500)
        times: list[list[float]] = []
        for index in range(25, 25 + CLICKS):
            press(lens, index)
            times.append(page.evaluate(PROGRESS, [handle, index]))
        bar, moved, whole = ([one[i] for one in times] for i in range(3))
        report("integrated gradients, 50 steps: click to a sign of it", bar, "200 ms")
        report("to the first progress, or the map", moved, "200 ms")
        report("to the map", whole, "")
    print(f"\nload {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
