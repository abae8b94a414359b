"""Weights that are read again while an analysis of them is under way."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from convlens import Lens
from convlens.errors import Cancelled
from convlens.widget.encoding import encode
from convlens.widget.protocol import Request


class Net(nn.Module):
    """Three classes; with filters of 3 x 3."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 5, 3, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.last(self.first(x).relu()).relu().mean((2, 3)))


LAYER = {"layer": "last"}
MAP = {
    "input": 2,
    "target": "predicted",
    "method": "integrated_gradients",
    "layer": "",
    "channel": -1,
    "side": "model",
    "baseline": "",
    "settings": '{"steps": 8}',
}
FEATURE = {**LAYER, "steps": 3, "seed": 0, "size": 8}
ASKED = {
    "drift": {"against": "reference", "group": "all"},
    "similarity": {"measure": "cka", "comparison": "self", "layer_set": "all", "settings": "{}"},
    "compression": {"after": "model"},
    "inputs": {"start": 0},
    "picture": {"index": 2},
    "saliency": MAP,
    "preflight": LAYER,
    "sanity": MAP,
    "features": {**FEATURE, "channel": 1},
    "feature_page": {**FEATURE, "side": "model", "start": 0},
    "top_inputs": {**LAYER, "channel": 1},
    "activations": {**LAYER, "channel": 1, "input": 2},
    "reference": {"eps": 0.01},
}


@pytest.fixture
def images():
    found = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    return list(found.split(4))


@pytest.fixture
def open_pair(images):
    """Make a Lens of two models that are the same each time."""
    opened = []

    def make(change=0.0):
        model = Net(0).eval()
        with torch.no_grad():
            model.last.weight.mul_(1 + change)
            model.last.weight[0].add_(change)
        lens = Lens(model, images, reference=Net(1).eval(), blocking=True)
        opened.append(lens)
        return lens

    yield make
    for lens in opened:
        lens.close()


def begin(lens, kind):
    return lens._steps(Request("q", "v", kind, ASKED[kind]))


def advance(steps, most=100_000):
    """Go on for some steps; give the answer, None where there is none yet."""
    for _ in range(most):
        try:
            with torch.no_grad():
                next(steps)
        except StopIteration as end:  # noqa: PERF203 - where there is an answer is the question
            return end.value
    return None


def same(a, b):
    (one, some), (other, others) = a, b
    # as they are sent: NaN is null, and equal
    assert encode({**one, "revision": 0}) == encode({**other, "revision": 0})
    assert some.keys() == others.keys()
    for name in some:
        np.testing.assert_allclose(some[name], others[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ASKED)
def test_nothing_of_the_old_weights_is_answered_or_kept(open_pair, kind):
    steps, count = begin(open_pair(), kind), 0
    while advance(steps, 1) is None:
        count += 1
    expected = advance(begin(open_pair(0.5), kind))
    assert count > 0
    for done in sorted({1, 2, count // 2, count} - {0}):
        lens = open_pair()
        steps = begin(lens, kind)
        if advance(steps, done) is not None:  # a fast machine takes fewer steps
            assert done > 1
            continue
        with torch.no_grad():
            lens.model.last.weight.mul_(1.5)
            lens.model.last.weight[0].add_(0.5)
        lens.refresh()
        with pytest.raises(Cancelled, match="read again"):
            advance(steps)
        same(advance(begin(lens, kind)), expected)
        lens.close()


def test_what_was_recorded_is_told_whatever_the_weights_are_now(open_pair):
    lens = open_pair()
    lens.snapshot("one")
    steps = lens._steps(Request("q", "v", "history", {"since": -1}))
    advance(steps, 1)
    lens.refresh()
    answer = advance(steps)
    assert answer is not None
    assert answer[0]["moments"] == [[0, 0, "one"]]


def test_a_front_end_hears_that_it_was_given_up(open_lens, page, images):
    begun, gate = threading.Event(), threading.Event()

    def forward(net, x):
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            assert gate.wait(20)
        return net(x)

    lens = open_lens(Net(0).eval(), images, forward=forward)
    number = page.send("similarity", params=ASKED["similarity"])
    assert begun.wait(20)
    page.send("refresh")  # comes before the next batch
    gate.set()
    assert page.answer(number)["status"] == "cancelled"
    assert page.state["revision"] == lens.revision == 1
    assert page.ask("compared", **ASKED["similarity"])["header"]["found"] is False
