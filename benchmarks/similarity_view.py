"""Time the Similarity view of 400 x 400 layers in a real JupyterLab: drawing, pointing, panning.

Times are taken in the page, from the event to the frame after the one that showed the answer; the
drawing itself is what the page's own code takes between the two. Screenshots of 20 and of 400
layers show whether labels can be read. Figures other than similarity's do not matter here: the
layers are small random convolutions.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Page, expect

from tests.browser import servers
from tests.browser.chromium import open_chromium
from tests.browser.lens import LensOnScreen
from tests.browser.notebook import Notebook

POINTS = 40
MODEL = """
import torch
from torch import nn
import convlens as cl
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)
    def forward(self, x):
        return x + self.conv2(self.conv1(x).relu())
class Deep(nn.Module):
    def __init__(self, layers):
        super().__init__()
        torch.manual_seed(0)
        for stage in range(1, 5):
            blocks = [Block() for _ in range(layers // 8)]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
    def forward(self, x):
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))
images = torch.randn(16, 4, 8, 8)
"""
SHOWN = "lens = cl.Lens(Deep(%d).eval(), images, view='similarity', name='Deep'); lens"

# Resolves, for a pointer at each place, with the milliseconds of its event and to the frame after.
POINTED = """async ([map, places]) => {
    const frame = () => new Promise(requestAnimationFrame);
    const box = map.getBoundingClientRect();
    const target = map.querySelector('canvas') ?? map;
    const found = [];
    for (const [x, y] of places) {
        await frame();
        const start = performance.now();
        target.dispatchEvent(new PointerEvent('pointermove', {
            bubbles: true, clientX: box.left + x * box.width, clientY: box.top + y * box.height,
            pointerType: 'mouse', pointerId: 1, isPrimary: true,
        }));
        const handled = performance.now() - start;
        await frame();
        const drawn = performance.now() - start;
        await frame();
        found.push([handled, drawn, document.querySelector('.cl-tip')?.textContent ?? '']);
    }
    return found;
}"""

# Resolves with the milliseconds that the page is busy in each frame after a key is pressed.
KEYED = """async ([map, keys]) => {
    const frame = () => new Promise(requestAnimationFrame);
    const busy = () => new Promise(done => {
        const channel = new MessageChannel();
        requestAnimationFrame(start => {
            channel.port1.onmessage = () => done(performance.now() - start);
            channel.port2.postMessage(0);
        });
    });
    const found = [];
    for (const key of keys) {
        await frame();
        map.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
        let worst = 0;
        for (let i = 0; i < 12; i++) worst = Math.max(worst, await busy());
        found.push(worst);
    }
    return found;
}"""

# The same after a press of each button: colours anew, all cells drawn again.
PRESSED = """async buttons => {
    const frame = () => new Promise(requestAnimationFrame);
    const found = [];
    for (const button of buttons) {
        await frame();
        const start = performance.now();
        button.click();
        let worst = performance.now() - start;
        for (let i = 0; i < 4; i++) {
            worst = Math.max(worst, await new Promise(done => {
                const channel = new MessageChannel();
                requestAnimationFrame(start => {
                    channel.port1.onmessage = () => done(performance.now() - start);
                    channel.port2.postMessage(0);
                });
            }));
        }
        found.push(worst);
    }
    return found;
}"""


def report(name: str, times: list[float], target: str) -> None:
    slowest = sorted(times)[-2]
    median = statistics.median(times)
    print(f"| {name} | {median:.1f} ms (second slowest {slowest:.1f}) | {target} |", flush=True)


def opened(page: Page, notebook: Notebook, cell: int) -> Any:
    """Compare in the Lens of a cell, and return its heatmap once that has finished."""
    notebook.run(cell)
    lens = LensOnScreen(notebook.output(cell))
    lens.button("Compare").click()
    heatmap = lens.root.get_by_role("application", name="Similarity of")
    expect(heatmap).to_be_visible(timeout=120_000)
    expect(lens.root.get_by_role("button", name="Stop: similarity")).to_have_count(
        0, timeout=120_000
    )
    page.wait_for_timeout(1000)
    return lens, heatmap


def main() -> None:
    shots = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    home = Path(tempfile.mkdtemp(prefix="convlens-bench-"))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before\n")
    with servers.jupyter("lab", home) as server, open_chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 950})
        notebook = Notebook.open(page, server, [MODEL, SHOWN % 24, SHOWN % 400])
        notebook.run(0)
        for cell, layers in ((1, 24), (2, 400)):
            lens, heatmap = opened(page, notebook, cell)
            if shots is not None:
                shots.mkdir(parents=True, exist_ok=True)
                lens.root.screenshot(path=str(shots / f"similarity-{layers}.png"))
            print(f"\n| {layers} x {layers} layers | median | target |\n|---|---|---|")
            handle = heatmap.element_handle()
            places = [[0.3 + 0.5 * i / POINTS, 0.1 + 0.6 * i / POINTS] for i in range(POINTS)]
            pointed = page.evaluate(POINTED, [handle, places])
            assert all(said for *_, said in pointed), "a cell that was pointed at was not told"
            report("pointing: its event", [one[0] for one in pointed], "")
            report("pointing to the next frame", [one[1] for one in pointed], "17 ms")
            colours = [
                lens.root.get_by_role("radio", name=name, exact=True).element_handle()
                for name in ("fitted", "0 to 1")
            ]
            report("all cells in other colours", page.evaluate(PRESSED, colours * 6), "50 ms")
            keys = ["+"] * 6 + ["-"] * 6
            report(
                "zooming: busy in the slowest frame", page.evaluate(KEYED, [handle, keys]), "17 ms"
            )
    print(f"\nload {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
