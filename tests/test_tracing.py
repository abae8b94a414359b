"""Tracing in one thread while another runs modules of its own."""

import threading

import pytest
import torch
from torch import nn

from convlens.filterdb.depth import depths_by_graph
from convlens.saliency.rewrite import modular_copy
from convlens.tracing import Tracer


class Pausing(nn.Module):
    """Its forward pass waits until another thread has run a step."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        here, done = PAUSE
        here.set()
        assert done.wait(20)
        return self.conv(x) * self.scale


PAUSE = (threading.Event(), threading.Event())


@pytest.mark.parametrize(
    "trace",
    [
        lambda model: depths_by_graph(model, ["conv"]) == {"conv": 2},
        lambda model: "conv" in {node.target for node in modular_copy(model)[0].graph.nodes},
        lambda model: len(Tracer().trace(model).nodes) == 5,
    ],
    ids=["depths", "saliency", "tracer"],
)
def test_a_step_of_another_thread_is_made_and_not_written_down(trace):
    for event in PAUSE:
        event.clear()
    found = []
    worker = threading.Thread(target=lambda: found.append(trace(Pausing())))
    worker.start()
    other = nn.Sequential(nn.Conv2d(3, 3, 1), nn.PReLU())
    inputs = torch.ones(1, 3, 2, 2)
    try:
        assert PAUSE[0].wait(20)
        outputs = other(inputs)
        outputs.sum().backward()
    finally:
        PAUSE[1].set()
        worker.join()
    assert torch.equal(outputs, other(inputs))
    assert found == [True]
