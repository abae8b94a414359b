"""A Lens inside a training loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from convlens.errors import ArgumentError
from tests.untouched import left_untouched


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten())


@pytest.fixture
def images():
    return torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def train(model, images, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()


def test_a_lens_follows_training(open_lens, model, images, tmp_path):
    lens = open_lens(model, images)
    assert lens.history is None
    with lens.recording(every=2, cka=True):
        train(model, images, 5)
    lens.snapshot("end", step=9)
    history: Any = lens.history
    assert [s.step for s in history.snapshots] == [0, 2, 4, 5, 9]
    assert history.snapshots[-1].label == "end"
    assert history.layers == lens.layers.keys()
    np.testing.assert_allclose(history.cka("first")[0], 1, rtol=1e-6)
    assert history.cka("first")[-1].max() < 1
    history.save(tmp_path / "history.npz")
    assert cl.History.load(tmp_path / "history.npz").snapshots == history.snapshots


def test_the_model_is_left(open_lens, model, images):
    lens = open_lens(model, images)
    with left_untouched(model):
        lens.snapshot("one", cka=True)


def test_snapshots_are_told_at_once_where_no_thread_tells_of_them_later(
    open_lens, page, model, images
):
    lens = open_lens(model, images, blocking=True)
    for taken in (1, 2, 3):
        lens.snapshot()
        assert page.state["_taken"] == taken
        assert page.state["_past"]["taken"] == taken
    with lens.recording(every=1):
        train(model, images, 4)
        assert page.state["_past"]["taken"] == 3, "a loop is not held up"
    assert page.state["_past"]["taken"] == page.state["_taken"] == lens.history.taken


def test_a_step_from_a_page_before_the_first_snapshot_is_refused(open_lens, page, model):
    lens = open_lens(model)
    lens.recording()
    assert lens.history is not None
    assert len(lens.history) == 0
    page.set(step=3)
    page.wait(lambda page: page.messages)
    assert page.messages[-1]["status"] == "error"
    assert "no snapshots yet" in page.messages[-1]["header"]["message"]
    assert lens.step is None


def test_what_cannot_be_is_told(open_lens, model, images):
    with pytest.raises(ArgumentError, match="cka=True needs inputs"):
        open_lens(model).snapshot(cka=True)
    lens = open_lens(model, images)
    lens.snapshot()
    with pytest.raises(ArgumentError, match="too late"):
        lens.recording(cka=True)
    lens.close()
    with pytest.raises(cl.ClosedLensError):
        lens.snapshot()
