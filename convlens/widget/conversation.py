"""What passes between a Lens and its front end."""

from __future__ import annotations

import contextvars
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from typing import Any, cast

import torch
import traitlets as T
from torch import nn

from convlens.errors import ConvlensError
from convlens.widget import protocol
from convlens.widget.answers import Arrays, Steps
from convlens.widget.encoding import encode
from convlens.widget.jobs import Job, Worker, model_lock
from convlens.widget.protocol import Request
from convlens.widget.selection import ArgumentError, Selection

Send = Callable[..., None]

_SOON = 0.1  # seconds, of the 0.4 after which the front end takes the kernel for busy

KERNEL_ONLY = (
    *("stale", "closed", "revision", "_structure", "_summary", "_paired", "_taken", "_past"),
    *("_esm", "_css"),
)


class Conversation(Selection):
    """A widget that answers requests step by step, and refuses wrong ones in a sentence."""

    stale = T.Bool(False, read_only=True).tag(sync=True)
    closed = T.Bool(False, read_only=True).tag(sync=True)
    revision = T.Int(0, read_only=True).tag(sync=True)
    _structure: Any = T.Dict().tag(sync=True)
    _summary: Any = T.Dict().tag(sync=True)
    # the reference's rows, and which layer is which
    _paired: Any = T.Dict().tag(sync=True)

    _worker: Worker
    # of the last message: what is published under another context than the front end's own
    # makes ipykernel 7 queue the next click behind the running cell
    _context: contextvars.Context | None = None

    def _open(self) -> nn.Module:
        """Give the model, or raise where the widget is closed."""
        raise NotImplementedError

    def _steps(self, request: Request) -> Steps:
        """Answer a request."""
        raise NotImplementedError

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take the front end's changes; a wrong one is answered, and undone there."""
        if self.closed:
            return  # what is on the screen can still be looked at
        try:
            for key in KERNEL_ONLY:
                if key in sync_data:
                    raise ArgumentError(f"{key} is set by the kernel only.")
            super().set_state(sync_data)
        except (ConvlensError, T.TraitError) as error:
            self._reply(None, "error", _error(error))
            self.send_state([key for key in sync_data if self.has_trait(key)])

    def _keep_layout(self) -> None:
        """Have a layout of its own: `Widget.close_all` closes the one that there is, too.

        Without one, a page that is loaded again shows nothing in the place of the widget.
        """
        old = self.layout
        self.layout = type(old)(**{k: getattr(old, k) for k in old.keys if not k.startswith("_")})
        old.close()

    def send_state(self, key: Any = None) -> None:
        """Send traits to the front end, under the context of its own last message."""
        self._publish(cast(Send, super().send_state), key)

    def _keep(self, paired: Mapping[str, Any]) -> None:
        """Have a saved notebook show what was measured of the reference."""
        self._paired = encode({**paired, "revision": self.revision})[0]

    def _publish(self, send: Send, *args: Any) -> None:
        context = self._context
        if context is None:
            send(*args)
        else:
            context.copy().run(send, *args)

    def _reply(
        self,
        id: str | None,
        status: str,
        header: Mapping[str, Any],
        arrays: Arrays | None = None,
    ) -> None:
        clean, buffers = encode(header, arrays)
        self._publish(cast(Send, self.send), {"id": id, "status": status, "header": clean}, buffers)

    def _receive(self, _: object, content: object, buffers: list[Any]) -> None:
        # of every message: the first may come before JupyterLab has made the subshell
        self._context = contextvars.copy_context()
        try:
            request = protocol.parse(content, buffers)
        except protocol.MessageError as error:
            self._reply(error.id, "error", _error(error))
            return
        try:
            self._take(request)
        except ConvlensError as error:
            self._reply(request.id, "error", _error(error))

    def _take(self, request: Request) -> None:
        self._open()
        if request.kind == "cancel":
            if not self._worker.cancel(request.client, request.id):
                raise ArgumentError(
                    f"No request with id {request.id!r} is under way: it ended or never began."
                )
            return
        if self._worker.has(request.client, request.id):
            raise ArgumentError(f"A request with id {request.id!r} is under way already.")
        if request.kind == "hello":
            self._reply(request.id, "ok", self._hello())
            return
        # what is begun at once answers soon: a message before would only make that later
        waits = not protocol.KINDS[request.kind].urgent or self._worker.busy
        if waits:
            self._say_heard(request)
        self._worker.submit(
            Job(
                request,
                self._work(request, heard=waits),
                cancelled=lambda: self._reply(request.id, "cancelled", {}),
                failed=lambda error: self._reply(request.id, "error", _error(error)),
            )
        )

    def _hello(self) -> dict[str, Any]:
        # handlers have a thread of their own only where a running cell does not hold them up
        concurrent = threading.current_thread() is not threading.main_thread()
        return {
            "concurrent": concurrent,
            "revision": self.revision,
            "version": protocol.VERSION,
        }

    def _say_heard(self, request: Request) -> None:
        """Tell the front end that its request is here, lest it takes the kernel for busy."""
        self._reply(request.id, "progress", {"done": 0, "total": 0, "label": "queued"})

    def _work(self, request: Request, *, heard: bool) -> Generator[None, None, None]:
        """Run a request step by step, holding the model's lock during each step only."""
        steps = self._steps(request)
        begun = time.monotonic()
        while True:
            with model_lock(self._open()), torch.no_grad():
                try:
                    next(steps)
                except StopIteration as end:
                    header, arrays = end.value
                    break
            if not heard and time.monotonic() - begun > _SOON:
                self._say_heard(request)
                heard = True
            yield
        self._reply(request.id, "ok", header, arrays)


def _error(error: Exception) -> dict[str, str]:
    details = "".join(traceback.format_exception(error))[-4000:]
    if isinstance(error, ConvlensError):
        return {"message": str(error), "details": details}
    return {
        "message": f"{type(error).__name__}: {str(error) or 'no message'}"[:500],
        "details": details,
    }
