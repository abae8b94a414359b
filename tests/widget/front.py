"""A front end for tests without a browser: a comm that records, and sends as a page does."""

import itertools
import threading

import comm
import pytest
import torch
from comm.base_comm import BaseComm

from convlens import Lens

TIMEOUT = 20


class FrontEnd:
    """The other end of a Lens's comm."""

    def __init__(self):
        self.messages = []
        self.state = {}
        self._changed = threading.Condition()
        self._ids = itertools.count(1)
        self._receive = lambda _: None

    def publish(self, data, buffers):
        with self._changed:
            if data.get("method") in ("update", "echo_update"):
                self.state.update(data["state"])
            elif data.get("method") == "custom":
                self.messages.append({**data["content"], "buffers": buffers or []})
            elif "state" in data:
                self.state.update(data["state"])
            self._changed.notify_all()

    def connect(self, receive):
        self._receive = receive

    def send(self, kind, id=None, client="view", params=None, buffers=()):
        number = id or f"q{next(self._ids)}"
        self.send_raw(
            {"id": number, "client": client, "kind": kind, "params": params or {}}, buffers
        )
        return number

    def send_raw(self, content, buffers=()):
        data = {"method": "custom", "content": content}
        self._receive({"content": {"data": data}, "buffers": list(buffers)})

    def set(self, **state):
        self._receive({"content": {"data": {"method": "update", "state": state}}, "buffers": []})

    def wait(self, test):
        with self._changed:
            assert self._changed.wait_for(lambda: test(self), TIMEOUT), self.messages[-3:]

    def answer(self, id):
        """The last reply to a request."""
        final = ("ok", "error", "cancelled")
        found = lambda page: [  # noqa: E731
            m for m in page.messages if m["id"] == id and m["status"] in final
        ]
        self.wait(found)
        return found(self)[0]

    def ask(self, kind, **params):
        """Send a request and wait for its last reply."""
        return self.answer(self.send(kind, params=params))


@pytest.fixture
def page(monkeypatch):
    front = FrontEnd()

    class Recorded(BaseComm):
        aside = False  # of the layout that comes with a Lens

        def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
            if msg_type == "comm_open":
                self.aside = (data or {})["state"]["_model_name"] == "LayoutModel"
            if msg_type in ("comm_open", "comm_msg") and not self.aside:
                front.publish(data or {}, buffers)

        def on_msg(self, callback):
            if not self.aside:
                front.connect(callback)
            super().on_msg(callback)

    monkeypatch.setattr(comm, "create_comm", Recorded)
    return front


@pytest.fixture
def open_lens(page):
    """Make a Lens whose front end is `page`; closed at the end."""
    opened = []

    def make(*args, **keys):
        lens = Lens(*args, **keys)
        opened.append(lens)
        return lens

    yield make
    for lens in opened:
        lens.close()


class Gated:
    """A forward pass whose call number `at` waits until its gate is open."""

    def __init__(self, at):
        self.at, self.runs = at, 0
        self.gate, self.waiting = threading.Event(), threading.Event()

    def __call__(self, net, x):
        self.runs += 1
        if self.runs == self.at:
            self.waiting.set()
            assert self.gate.wait(10)
        return net(x)

    def step(self, model):
        """Change every parameter while the call waits, let it go on, and return what they are."""
        assert self.waiting.wait(10)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1)
        stepped = [parameter.clone() for parameter in model.parameters()]
        self.gate.set()
        return stepped
