"""A notebook on the screen of JupyterLab or Notebook 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page

from tests.browser.patience import eventually
from tests.browser.servers import Server

KERNEL_SECONDS = 120
"""Two shared cores import torch slowly."""

PANEL = "const panel = window.jupyterapp.shell.currentWidget; const notebook = panel.content;"
PATHS = {"lab": "doc/tree", "notebook": "notebooks"}


class Notebook:
    """Drives one open notebook the way a user does: by its cells, in the running application."""

    def __init__(self, page: Page) -> None:
        self.page = page
        # JupyterLab asks whether to leave unsaved changes.
        page.on("dialog", lambda dialog: dialog.accept())

    @classmethod
    def open(
        cls,
        page: Page,
        server: Server,
        cells: Sequence[str],
        *,
        name: str = "test.ipynb",
        application: str = "lab",
        kernel: str = "python3",
    ) -> Notebook:
        """Write `cells` to a file, open it in "lab" or "notebook", and wait for its kernel."""
        document = new_notebook(
            cells=[new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": kernel, "display_name": kernel}},
        )
        nbformat.write(document, server.folder / name)
        return cls.reopen(page, server, name, application=application)

    @classmethod
    def reopen(cls, page: Page, server: Server, name: str, *, application: str = "lab") -> Notebook:
        """Open a file that is there already."""
        page.goto(f"{server.url}/{PATHS[application]}/{name}")
        notebook = cls(page)
        notebook._await_open()
        return notebook

    def reload(self) -> None:
        """Load the page anew: the file as it was saved, the kernel as it is."""
        self.page.reload()
        self._await_open()

    def run(self, index: int) -> str:
        """Run a cell to its end and return its text output."""
        self._panel(
            "notebook.activeCellIndex = index;"
            "await window.jupyterapp.commands.execute('notebook:run-cell');",
            index,
        )
        return self.text(index)

    def await_text(self, index: int, text: str) -> None:
        """Run a cell again and again until it prints `text`.

        Python hears of a layer once its picture is painted, at most 150 ms after the click, and
        what is clicked reaches ipykernel 7 by another way than cells do: it may be overtaken.
        """

        def check() -> None:
            assert self.run(index) == text

        eventually(self.page, check)

    def start(self, index: int) -> None:
        """Run a cell and come back before it ends."""
        self._panel(
            "notebook.activeCellIndex = index;"
            "void window.jupyterapp.commands.execute('notebook:run-cell');",
            index,
        )

    def run_all(self) -> None:
        """Run every cell to its end."""
        self._panel("await window.jupyterapp.commands.execute('notebook:run-all-cells');")

    def write(self, index: int, source: str) -> None:
        """Replace the source of a cell."""
        self._panel(
            "notebook.widgets[argument[0]].model.sharedModel.setSource(argument[1]);",
            [index, source],
        )

    def replace(self, cells: Sequence[str]) -> None:
        """Put `cells` in the place of all cells; the kernel goes on."""
        self._panel(
            """const model = notebook.model.sharedModel;
            model.transact(() => {
                model.deleteCellRange(0, model.cells.length);
                model.insertCells(0, argument.map(source => ({cell_type: 'code', source})));
            });""",
            list(cells),
        )

    def text(self, index: int) -> str:
        """Return what a cell has printed and returned so far; a traceback as it stands."""
        outputs = self._panel("return notebook.widgets[index].outputArea.model.toJSON();", index)
        return "".join(_text_of(output) for output in outputs).strip()

    def errors(self) -> list[str]:
        """Return the name and message of every error that a cell ended with."""
        outputs: list[dict[str, Any]] = self._panel(
            "return notebook.widgets.flatMap(cell => cell.outputArea?.model.toJSON() ?? []);"
        )
        return [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]

    def is_running(self, index: int) -> bool:
        """Whether the cell has been started and has not ended."""
        return self._panel(
            "return notebook.widgets[index].model.executionState === 'running';", index
        )

    def finish(self, index: int) -> str:
        """Wait until a cell that was started has ended, and return its text output."""
        self.page.wait_for_function(
            f"i => {{ {PANEL} return notebook.widgets[i].model.executionState === 'idle' }}",
            arg=index,
            timeout=KERNEL_SECONDS * 1000,
        )
        return self.text(index)

    def await_idle(self) -> None:
        """Wait until the kernel reports that it is idle, which ipykernel 7 also does mid-cell."""
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status"
            " === 'idle'",
            timeout=KERNEL_SECONDS * 1000,
        )

    def await_subshell(self) -> None:
        """Wait until JupyterLab has a way of its own into the kernel for the widgets shown.

        It opens one only after a widget is on the page, and tells nobody.
        """
        self.page.wait_for_function(
            f"""() => {{
                {PANEL}
                const comms = [...panel.sessionContext.session.kernel._comms.values()];
                return comms.length > 0 && comms.every(comm => comm.subshellId);
            }}"""
        )

    def interrupt(self) -> None:
        """Interrupt the running cell, as the button does."""
        self._panel("await panel.sessionContext.session.kernel.interrupt();")

    def restart_kernel(self) -> None:
        """Restart the kernel, as after the dialogue that asks for it."""
        self._panel("await panel.sessionContext.restartKernel();")
        self.await_idle()

    def end_kernel(self) -> None:
        """Shut the kernel down."""
        self._panel("await panel.sessionContext.shutdown();")

    def save(self) -> None:
        """Save the file; with `keep_widget_state` the widgets too."""
        self._panel("await panel.context.save();")

    def keep_widget_state(self, keep: bool) -> None:
        """Set "Save Widget State Automatically", which holds for the server from now on."""
        self.page.evaluate(
            """async keep => {
                const command = '@jupyter-widgets/jupyterlab-manager:saveWidgetState';
                const commands = window.jupyterapp.commands;
                if (commands.isToggled(command) !== keep) await commands.execute(command);
            }""",
            keep,
        )

    def use_theme(self, name: str) -> None:
        """Switch to "JupyterLab Light" or "JupyterLab Dark"."""
        self.page.evaluate(
            "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
            name,
        )
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light",
            arg=str(name.endswith("Light")).lower(),
        )

    def send_to_widget(self, model_id: str, data: Sequence[dict[str, Any]]) -> None:
        """Send messages to a widget's kernel side as a front end would, whatever they hold."""
        self._panel(
            """const {kernel} = panel.sessionContext.session;
            const [id, data] = argument;
            for (const one of data) await kernel._comms.get(id).send(one).done;""",
            [model_id, list(data)],
        )

    def watch_messages(self) -> None:
        """Begin to note the messages that the page's widgets send to the kernel."""
        self._panel(
            """window.sentToKernel = [];
            panel.sessionContext.session.kernel.anyMessage.connect((_, {msg, direction}) => {
                if (direction === 'send' && msg.header.msg_type === 'comm_msg')
                    window.sentToKernel.push(msg.content.data);
            });"""
        )

    def messages(self) -> list[dict[str, Any]]:
        """Return what was noted since `watch_messages` or the last call of this, and forget it."""
        return self.page.evaluate("() => window.sentToKernel.splice(0)")

    def output(self, index: int) -> Locator:
        """Return the output area of a cell on the page."""
        return (
            self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-OutputArea-output")
        )

    def _await_open(self) -> None:
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady",
            timeout=KERNEL_SECONDS * 1000,
        )
        self.await_idle()

    def _panel(self, body: str, argument: Any = None) -> Any:
        return self.page.evaluate(
            f"async argument => {{ const index = argument; {PANEL} {body} }}", argument
        )


def _text_of(output: dict[str, Any]) -> str:
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}\n"
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    return text if isinstance(text, str) else "".join(text)
