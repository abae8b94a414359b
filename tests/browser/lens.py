"""A Lens on the screen, by the roles and names that it gives its parts."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import numpy.typing as npt
from matplotlib import image
from playwright.sync_api import Locator, Page, expect

from tests.browser.notebook import Notebook
from tests.browser.patience import eventually

SECOND_HELLO_MS = 1500
"""A Lens greets the kernel again a second after it is shown: by then in the second way into it."""

# Whether the figures below the chart are those of the chosen layer, and no skeleton.
DISTRIBUTION = """lens => {
    const area = lens.querySelector('.cl-histograms');
    return area !== null && area.getAttribute('aria-busy') !== 'true'
        && area.querySelectorAll('canvas').length === 2;
}"""


class LensOnScreen:
    """One view of a Lens; `place` is what it stands in: a cell's output, a page."""

    def __init__(self, place: Locator) -> None:
        self.root = place.get_by_role("region", name="Lens on")
        self.page: Page = place.page

    # -- parts -----------------------------------------------------------------------------

    @property
    def rail(self) -> Locator:
        return self.root.get_by_role("listbox", name="Layers")

    @property
    def unfold(self) -> Locator:
        """The button that unfolds the rail, where there is no room for it."""
        return self.root.get_by_role("button", name="Layer:")

    @property
    def status(self) -> Locator:
        return self.root.locator("footer")

    @property
    def verdict(self) -> Locator:
        return self.root.get_by_label("Verdict")

    @property
    def eps(self) -> Locator:
        return self.root.get_by_role("slider", name="eps")

    @property
    def chart(self) -> Locator:
        return self.root.get_by_role("slider", name="Variance entropy and sparsity")

    @property
    def gallery(self) -> Locator:
        return self.root.get_by_role("application", name="Gallery of")

    @property
    def card(self) -> Locator:
        return self.root.get_by_label("Filter", exact=True)

    @property
    def findings(self) -> Locator:
        return self.root.get_by_label("Findings")

    def option(self, layer: str) -> Locator:
        return self.root.locator(f'[role=option][data-key="{layer}"]')

    def tab(self, name: str) -> Locator:
        return self.root.get_by_role("tab", name=name)

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    # -- deeds -----------------------------------------------------------------------------

    def choose(self, layer: str) -> None:
        """Click a layer in the rail, which is unfolded first where it is a drop-down."""
        if self.unfold.is_visible():
            self.unfold.click()
        self.option(layer).click()

    def open(self, view: str) -> None:
        """Click the tab "Quality" or "Filters"."""
        self.tab(view).click()

    def pick(self, group: str, choice: str) -> None:
        """Click a choice of a radio group: "Order", "Scale of colours", "Entropy"."""
        group_ = self.root.get_by_role("radiogroup", name=group, exact=True)
        group_.get_by_role("radio", name=choice, exact=True).click()

    # -- waiting ---------------------------------------------------------------------------

    def await_measured(self) -> None:
        """Wait until every layer has its figures."""
        expect(self.root).to_be_visible()
        expect(self.rail.locator(".cl-wait")).to_have_count(0)

    def await_layer(self, layer: str) -> None:
        """Wait until the view at hand shows what the kernel answered for `layer`."""
        expect(self.status).to_contain_text(layer)
        if self.tab("Filters").get_attribute("aria-selected") == "true":
            self.await_gallery(layer)
        else:
            self.await_distribution()

    def await_distribution(self) -> None:
        """Wait until the histograms of the chosen layer are drawn."""
        handle = self.root.element_handle()
        self.page.wait_for_function(DISTRIBUTION, arg=handle)

    def await_gallery(self, layer: str) -> None:
        """Wait until the gallery shows the filters of `layer`, all of them."""
        pattern = re.compile(rf"Gallery of [\d,]+ filters of {re.escape(layer)}:")
        expect(self.gallery).to_have_attribute("aria-label", pattern)
        expect(self.gallery).to_have_attribute("aria-busy", "false")

    def await_still(self) -> None:
        """Wait until the gallery has come to rest.

        That is not yet what a click asked for where that takes the kernel or the theme: what is
        compared after a click belongs into `eventually`.
        """
        steady = """async gallery => {
            const frame = () => new Promise(requestAnimationFrame);
            const picture = () => gallery.querySelector('canvas').toDataURL();
            const blank = document.createElement('canvas').toDataURL();
            for (let before = blank, same = 0; same < 6; ) {
                await frame();
                const now = picture();
                same = now === before && now !== blank ? same + 1 : 0;
                before = now;
            }
        }"""
        self.gallery.evaluate(steady)

    # -- looking ---------------------------------------------------------------------------

    def pixels(self, canvas: Locator) -> npt.NDArray[np.float64]:
        """Return a canvas as (height, width, 3), 0 to 255, in device pixels."""
        url = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
        return read_png(base64.b64decode(url.split(",")[1]))

    def await_bars(self) -> None:
        """Wait until the chart of the Quality view shows more than a few plain areas."""

        def check() -> None:
            colours = np.unique(self.chart_pixels().reshape(-1, 3), axis=0)
            assert len(colours) > 10, "no bars are drawn"

        eventually(self.page, check)

    def chart_pixels_at_rest(self) -> npt.NDArray[np.float64]:
        """Return the chart as soon as it has stayed the same for half a second."""
        known = self.chart_pixels()

        def check() -> None:
            nonlocal known
            self.page.wait_for_timeout(500)
            before, known = known, self.chart_pixels()
            assert np.array_equal(before, known), "the chart changes without end"

        eventually(self.page, check)
        return known

    def gallery_pixels(self) -> npt.NDArray[np.float64]:
        self.await_still()
        return self.pixels(self.gallery.locator("canvas"))

    def chart_pixels(self) -> npt.NDArray[np.float64]:
        return self.pixels(self.chart.locator("canvas"))

    def copied(self) -> str:
        """Press "Copy as Python" and return what is in the clipboard then."""
        self.page.evaluate("() => navigator.clipboard.writeText('')")
        self.button("Copy as Python").click()

        def text() -> str:
            found = self.page.evaluate("() => navigator.clipboard.readText()")
            assert found, "nothing was copied"
            return found

        return eventually(self.page, text)

    def notice(self, text: str) -> Locator:
        """Return the line above the view that says `text`."""
        return self.root.locator(".cl-notice").filter(has_text=text)


def show(notebook: Notebook, *cells: str) -> LensOnScreen:
    """Put `cells` into a notebook and run the first, which ends with a Lens."""
    notebook.replace(cells)
    notebook.run(0)
    assert not notebook.errors()
    lens = LensOnScreen(notebook.output(0))
    lens.await_measured()
    return lens


def read_png(data: bytes) -> npt.NDArray[np.float64]:
    """Return a PNG as (height, width, 3), 0 to 255."""
    shares = np.asarray(image.imread(io.BytesIO(data), format="png"), dtype=float)
    return (255 * shares[..., :3]).round()
