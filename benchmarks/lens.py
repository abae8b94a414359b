"""Time a Lens in a real JupyterLab: first picture, clicks, the largest layer, pan and zoom.

The model has the shape of ResNet-50 (54 layers, 25.6 million random weights). Times are taken in
the page: from the event to the frame after the one in which the canvas showed what was asked for.

Playwright opens the notebook and then lets go of the page: while it holds one, Chromium copies
every message of the page into its log, as text. The pointer is moved by a connection of ours.

    python benchmarks/lens.py [first] [quality] [filters] [frames] [sleeps] [trains]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import websocket
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.browser import ADVICE, find_browser
from tests.browser import servers
from tests.browser.chromium import ARGUMENTS
from tests.browser.notebook import Notebook

PARTS = ("first", "quality", "filters", "frames", "sleeps", "trains")
LARGEST = "layer4.1.conv2"
CLICKS = 20
BUSY_CLICKS = 15
MODEL = "import torch\nfrom tests import models\nfrom convlens import Lens\nnet = models.ResNet50()"
SHOWN = "lens = Lens(net)\nlens"
WAITS = "import time; time.sleep(20)"
TRAINS = """
import time
conv = torch.nn.Conv2d(32, 32, 3); x = torch.randn(16, 32, 32, 32)
end = time.monotonic() + 20
while time.monotonic() < end: conv(x).square().mean().backward()
"""

# Resolves with the milliseconds from the last press of a pointer to the frame after `shown`. It is
# asked at each change of the Lens: asking at each frame would make frames that nobody else needs.
PAINTED = """async layer => {
    const frame = () => new Promise(requestAnimationFrame);
    const lens = document.querySelector('section.convlens');
    const shown = () => {
        if (window.pressedAt === undefined) return false;
        const gallery = lens.querySelector('.cl-gallery');
        if (gallery) {
            const label = gallery.querySelector('canvas').getAttribute('aria-label') ?? '';
            return label.includes(` of ${layer}:`) && gallery.ariaBusy === 'false';
        }
        const area = lens.querySelector('.cl-histograms');
        return lens.querySelector('footer').textContent.startsWith(layer)
            && area?.getAttribute('aria-busy') !== 'true'
            && area?.querySelectorAll('canvas').length === 2;
    };
    await new Promise(done => {
        const look = () => shown() && (observer.disconnect(), done());
        const observer = new MutationObserver(look);
        const what = {attributes: true, childList: true, characterData: true, subtree: true};
        observer.observe(lens, what);
        look();
    });
    await frame();
    await frame();
    const took = performance.now() - window.pressedAt;
    window.pressedAt = undefined;
    return took;
}"""

# Scrolls a layer into view and gives a point of it.
PLACE = """async layer => {
    const option = document.querySelector(`section.convlens [role=option][data-key="${layer}"]`);
    option.scrollIntoView({block: 'nearest'});
    await new Promise(requestAnimationFrame);
    const box = option.getBoundingClientRect();
    return [box.x + 40, box.y + box.height / 2];
}"""

# The middle of the gallery.
MIDDLE = """() => {
    const box = document.querySelector('section.convlens .cl-gallery').getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
}"""

# Starts a cell, or interrupts what runs.
START = """index => {
    window.jupyterapp.shell.currentWidget.content.activeCellIndex = index;
    void window.jupyterapp.commands.execute('notebook:run-cell');
}"""
STATE = (
    """index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.executionState"""
)
INTERRUPT = """async index => {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.sessionContext.session.kernel.interrupt();
    const {model} = panel.content.widgets[index];
    while (model.executionState !== 'idle') await new Promise(done => setTimeout(done, 100));
}"""
OPEN = """name => [...document.querySelectorAll('section.convlens [role=tab]')]
    .find(tab => tab.textContent.startsWith(name)).click()"""

# Runs a cell and resolves with the milliseconds to the frame after the first and the last bars.
FIRST = """async index => {
    const frame = () => new Promise(requestAnimationFrame);
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = index;
    const begun = performance.now();
    void window.jupyterapp.commands.execute('notebook:run-cell');
    const lens = () => document.querySelector('section.convlens');
    const waiting = () => lens()?.querySelectorAll('.cl-option .cl-wait').length;
    const options = () => lens()?.querySelectorAll('.cl-option').length ?? 0;
    while (!(options() > 0 && lens().querySelector('.cl-chart canvas')?.width > 0)) await frame();
    await frame();
    const shown = performance.now() - begun;
    while (!(waiting() < 2 * options())) await frame();
    await frame();
    const bars = performance.now() - begun;
    while (waiting() > 0) await frame();
    await frame();
    return [shown, bars, performance.now() - begun];
}"""

# Every drawing of the gallery puts its pixels once.
COUNT = """() => {
    window.drawn = [];
    const put = CanvasRenderingContext2D.prototype.putImageData;
    CanvasRenderingContext2D.prototype.putImageData = function (...args) {
        window.drawn.push(performance.now());
        return put.apply(this, args);
    };
    document.addEventListener('pointerdown', e => { window.pressedAt = e.timeStamp; }, true);
}"""


class Pointer:
    """A connection to the page that moves the pointer and runs functions, and hears of nothing."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self._socket = websocket.create_connection(page["webSocketDebuggerUrl"])
        self._sent = itertools.count(1)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._sent)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def run(self, function: str, argument: Any = None) -> Any:
        """Call a JavaScript function in the page and return what it resolves with."""
        said = f"({function})({json.dumps(argument)})"
        found = self._call(
            "Runtime.evaluate", expression=said, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"]["description"])
        return found["result"].get("value")

    def _mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def move(self, x: float, y: float, *, down: bool = False) -> None:
        held = {"button": "left", "buttons": 1} if down else {}
        self._mouse("mouseMoved", x, y, **held)

    def press(self, x: float, y: float) -> None:
        self._mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)

    def release(self, x: float, y: float) -> None:
        self._mouse("mouseReleased", x, y, button="left", clickCount=1)

    def wheel(self, x: float, y: float, down: float) -> None:
        self._mouse("mouseWheel", x, y, deltaX=0, deltaY=down)

    def click(self, layer: str) -> float:
        """Click a layer and return the milliseconds until it is painted."""
        x, y = self.run(PLACE, layer)
        self.move(x, y)
        time.sleep(0.06)
        self.press(x, y)
        self.release(x, y)
        return self.run(PAINTED, layer)

    def clicks(self, layers: Iterator[str], number: int = CLICKS) -> list[float]:
        return [self.click(next(layers)) for _ in range(number)]

    def frames(self, seconds: float, act: Callable[[int], None]) -> tuple[float, float]:
        """Act for some seconds; return drawings a second and the longest pause in milliseconds."""
        self.run("() => { window.drawn.length = 0; window.begun = performance.now(); }")
        step = 0
        while self.run("() => performance.now() - window.begun") < seconds * 1000:
            act(step)
            step += 1
        drawn: list[float] = self.run("() => window.drawn")
        pauses = [b - a for a, b in itertools.pairwise(drawn)]
        return 1000 * len(pauses) / (drawn[-1] - drawn[0]), max(pauses)


@contextmanager
def open_notebook(home: Path) -> Generator[Pointer]:
    """Open a notebook in JupyterLab and Chromium, and run its first cell."""
    executable = find_browser()
    if executable is None:
        sys.exit(ADVICE)
    port = servers.free_port()
    own = ("--headless", "--window-size=1400,950", f"--user-data-dir={home / 'chromium'}")
    debugged = (f"--remote-debugging-port={port}", "--remote-allow-origins=*")
    command = [executable, *ARGUMENTS, *own, *debugged, "about:blank"]
    with servers.jupyter("lab", home) as server:
        chromium = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{port}"
            _await(address + "/json")
            with sync_playwright() as playwright:
                page = playwright.chromium.connect_over_cdp(address).contexts[0].pages[0]
                Notebook.open(page, server, [MODEL, SHOWN, WAITS, TRAINS]).run(0)
            yield Pointer(port)
        finally:
            chromium.terminate()
            chromium.wait()


def _await(address: str) -> None:
    for _ in range(300):
        with suppress(OSError):
            urllib.request.urlopen(address).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"no answer from {address}")


def unseen() -> Iterator[str]:
    """Yield layers, each once and so never loaded before, of changing sizes."""
    blocks = [f"layer{stage}.{i}" for stage, n in enumerate((3, 4, 6, 3), 1) for i in range(n)]
    for conv in ("conv2", "conv1", "conv3"):
        yield from (f"{block}.{conv}" for block in blocks if f"{block}.{conv}" != LARGEST)
    yield from (f"layer{stage}.0.downsample.0" for stage in range(1, 5))


def report(name: str, value: str, target: str) -> None:
    print(f"| {name} | {value} | {target} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a Lens in a real JupyterLab.")
    known = ", ".join(PARTS)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {known}; by default all")
    parts = parser.parse_args().parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {min(unknown)!r}: they are {known}.")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before\n")
    print("| | measured | target |\n|---|---|---|")
    with open_notebook(Path(tempfile.mkdtemp(prefix="convlens-bench-"))) as page:
        page.run(COUNT)
        shown, bars, whole = page.run(FIRST, 1)
        if "first" in parts:
            report("cell run to the Lens on the screen", f"{shown:.0f} ms", "1,000 ms")
            report("cell run to the first bars", f"{bars:.0f} ms", "1,000 ms")
            report("cell run to every layer's bars", f"{whole:.0f} ms", "")
        time.sleep(4)  # the second pass: orthogonality

        layers = unseen()
        if "quality" in parts:
            median_of(f"click to painted, Quality view, median of {CLICKS}", page.clicks(layers))
        if "filters" in parts or "frames" in parts:
            page.run(OPEN, "Filters")
            time.sleep(2)
        if "filters" in parts:
            median_of(f"click to painted, Filters view, median of {CLICKS}", page.clicks(unseen()))
        if "filters" in parts or "frames" in parts:
            report("262,144 filters, the first time", f"{page.click(LARGEST):.0f} ms", "250 ms")
        if "frames" in parts:
            frame_rates(page)
        page.run(OPEN, "Quality")
        for cell, what in ((2, "sleeps"), (3, "trains")):
            if what not in parts:
                continue
            page.run(START, cell)
            time.sleep(1)
            name = f"click to painted, Quality view, while a cell {what}, median of {BUSY_CLICKS}"
            median_of(name, page.clicks(layers, BUSY_CLICKS))
            assert page.run(STATE, cell) == "running"
            page.run(INTERRUPT, cell)
    print(f"\nload {os.getloadavg()[0]:.1f} after")


def median_of(name: str, times: list[float]) -> None:
    slowest = sorted(times)[-2]
    median = statistics.median(times)
    report(name, f"{median:.0f} ms (second slowest {slowest:.0f})", "100 ms")


def frame_rates(page: Pointer) -> None:
    x, y = page.run(MIDDLE)
    page.move(x, y)
    rate, pause = page.frames(3, lambda step: page.wheel(x, y, -30 if step % 120 < 60 else 30))
    report("zooming over 262,144 filters", f"{rate:.0f} a second (longest {pause:.0f} ms)", "50")
    for zoom in range(2):
        page.move(x, y)
        for _ in range(4 if zoom == 0 else 8):
            page.wheel(x, y, -200)
            time.sleep(0.08)
        time.sleep(0.5)
        page.press(x, y)
        rate, pause = page.frames(
            3,
            lambda step: page.move(x + 150 - abs(step % 120 - 60) * 5, y + step % 3, down=True),
        )
        page.release(x, y)
        name = "panning over them, zoomed in" + (" further" if zoom else "")
        report(name, f"{rate:.0f} a second (longest {pause:.0f} ms)", "50")


if __name__ == "__main__":
    main()
