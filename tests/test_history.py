"""Figures over training: what is kept, how much of it, and that training is left alone."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

import convlens as cl
from convlens.errors import ArgumentError
from convlens.history import FIGURES, History, Recorder
from tests.models import Reused
from tests.untouched import left_untouched


def net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten())
    )


def train(model: nn.Module, steps: int, optimizer: Any = None) -> None:
    generator = torch.Generator().manual_seed(1)
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.2)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 8, 8, generator=generator)).square().mean().backward()
        optimizer.step()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def images():
    return torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def test_figures_are_those_of_measure_quality(images):
    model = net()
    history = Recorder(model, images)
    for moment in ("before", "after"):
        with left_untouched(model):
            history.snapshot(moment)
        quality = cl.measure_quality(model)
        for name in FIGURES:
            for place, key in enumerate(history.layers):
                expected = getattr(quality[key], name)
                got = history.figure(name)[-1, place]
                assert got == pytest.approx(np.nan if expected is None else expected, nan_ok=True)
        train(model, 3)
    assert [s.label for s in history.snapshots] == ["before", "after"]


def test_cka_is_that_of_compare(images):
    model, first = net(), net()
    history = Recorder(model, images, samples=32)
    history.snapshot()
    train(model, 4)
    history.snapshot()
    found = cl.compare(model, images[:32], first, batch_size=32).diagonal()
    np.testing.assert_allclose(history.cka("first")[1], found.similarity, rtol=1e-5)
    np.testing.assert_allclose(history.cka("first")[0], 1, rtol=1e-6)
    np.testing.assert_allclose(history.cka("last")[0], history.cka("first")[1])
    assert (history.cka("first")[1] < 0.9999).all()


def test_recording_follows_any_loop_and_leaves_no_hook():
    home: Any = torch.optim.Optimizer.__module__
    home = importlib.import_module(home)
    hooks = len(vars(home)["_global_optimizer_post_hooks"])
    model, other = net(), net()
    history = Recorder(model)
    with history.recording(every=3):
        train(model, 7)
        train(other, 5)  # another model's steps do not count
    assert [s.step for s in history.snapshots] == [0, 3, 6, 7]
    train(model, 3)
    assert len(history) == 4
    with history.recording(every=2):
        train(model, 3)
    assert [s.step for s in history.snapshots] == [0, 3, 6, 7, 8, 10]
    with pytest.raises(RuntimeError), history.recording():
        raise RuntimeError
    assert len(vars(home)["_global_optimizer_post_hooks"]) == hooks


def test_training_is_the_same_with_and_without(images):
    plain, watched = net(), net()
    train(plain, 6)
    history = Recorder(watched, images)
    with history.recording(every=1):
        train(watched, 6)
    mine, theirs = plain.state_dict(), watched.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_loop_without_an_optimiser_of_torch():
    model = net()
    history = Recorder(model)
    with history.recording(every=2) as recorder:
        for _ in range(4):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(0.9)
            recorder.count(2)
    assert [s.step for s in history.snapshots] == [0, 2, 4]
    assert np.all(np.diff(history.figure("l2"), axis=0) < 0)


@settings(max_examples=15, deadline=None)
@given(st.integers(8, 20), st.integers(1, 150), st.integers(1, 3))
def test_memory_is_bounded_and_the_whole_run_is_covered(limit, steps, every):
    model = nn.Sequential(nn.Linear(2, 2))
    history = Recorder(model, limit=limit)
    with history.recording(every) as recorder:
        for _ in range(steps):
            recorder.count(every)
    at = [s.step for s in history.snapshots]
    assert len(at) <= limit + 1
    assert (at[0], at[-1]) == (0, steps)
    assert at == sorted(set(at))
    gaps = np.diff(at)
    assert gaps.max() <= 4 * max(every, steps / limit) + every


def test_labels_stay_longer():
    model = nn.Sequential(nn.Linear(2, 2))
    history = Recorder(model, limit=10)
    for step in range(60):
        history.snapshot("epoch" if step % 20 == 0 else "", step)
    assert len(history) <= 10
    assert sum(s.label == "epoch" for s in history.snapshots) == 3


def test_pruning_on_the_way_is_seen():
    model = net()
    history = Recorder(model)
    history.snapshot()
    cl.compression.prune(model, 0.5, inplace=True)
    with torch.no_grad():
        model[0].weight_orig.add_(1)  # what the module caches is one step behind
    history.snapshot()
    assert history.figure("exact_zeros")[1].mean() > 0.3
    expected = cl.measure_quality(model)["0"].l2
    assert history.figure("l2")[1, 0] == pytest.approx(expected)
    for layer in (model[0], model[3]):
        prune.remove(layer, "weight")
    history.snapshot()
    np.testing.assert_allclose(history.figure("l2")[2], history.figure("l2")[1])


def test_layers_called_twice_have_a_row_each(images):
    model = Reused()
    layers = cl.find_layers(model, images)
    history = Recorder(model, images, layers=layers)
    history.snapshot()
    assert history.layers == layers.keys()
    row = dict(zip(history.layers, history.cka()[0], strict=True))
    assert row["twice:0"] == pytest.approx(1)
    assert row["twice:1"] == pytest.approx(1)
    assert np.isnan(row["unused"])


def test_saved_and_loaded(tmp_path, images):
    model = net()
    history = Recorder(model, images)
    with history.recording(every=1):
        train(model, 3)
    history.snapshot("done")
    path = tmp_path / "history.npz"
    history.save(path)
    again = History.load(path)
    assert again.snapshots == history.snapshots
    assert again.layers == history.layers
    for name in FIGURES:
        np.testing.assert_array_equal(again.figure(name), history.figure(name))
    np.testing.assert_array_equal(again.cka("last"), history.cka("last"))
    assert not hasattr(again, "snapshot")  # there is no model to look at
    frame = again.to_frame()
    assert len(frame) == 5 * 2
    assert {"step", "label", "layer", "cka_first", "cka_last", *FIGURES} == set(frame.columns)


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, header=np.array('{"convlens": "history"}'))
    with pytest.raises(ArgumentError, match="holds no History"):
        History.load(path)
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(ArgumentError, match="holds no History"):
        History.load(path)
    Path(path).write_bytes(b"nothing")
    with pytest.raises(ArgumentError, match="holds no History"):
        History.load(path)


def test_plot_and_repr(images):
    model = net()
    history = Recorder(model, images)
    assert repr(history) == "History(0 snapshots of 2 layers)"
    with history.recording(every=1):
        train(model, 2)
    assert repr(history) == "History(3 snapshots of 2 layers, steps 0 to 2)"
    assert len(history.plot().axes[0].lines) == 2
    assert history.plot(figure="cka_first").axes[0].get_ylabel() == "cka first"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda h: h.figure("sparsty"), "'sparsity'"),
        (lambda h: h.cka(), "No probe was kept"),
        (lambda h: h.snapshot(step=-1), "steps only go up"),
        (lambda h: h.snapshot(step="x"), "step must be a whole number, not 'x'"),
        (lambda h: h.snapshot(step=1.5), "step must be a whole number, not 1.5"),
        (lambda h: h.snapshot(step=torch.tensor(2.0)), "step must be a whole number, not tensor"),
        (lambda h: h.snapshot(step=True), "step must be a whole number, not True"),
        (lambda h: h.snapshot(7), "label must be text, not 7; a number is given as step="),
        (lambda h: h.recording(every=0).__enter__(), "every must be"),
        (lambda h: Recorder(net(), limit=2), "limit must be a whole number from 8"),
        (lambda h: Recorder(net(), samples=3), "samples must be"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(call, said):
    history = Recorder(net())
    history.snapshot()
    with pytest.raises(ArgumentError, match=said):
        call(history)
    assert len(history) == 1


def test_one_moment_by_its_step_or_its_label(images):
    model = net()
    history = Recorder(model, images)
    with history.recording(every=2):
        train(model, 4)
    history.snapshot("done")
    assert [s.step for s in history.snapshots] == [0, 2, 4, 4]
    frame = history.at(2)
    assert list(frame.index) == list(history.layers)
    np.testing.assert_array_equal(frame["sparsity"], history.figure("sparsity")[1])
    np.testing.assert_array_equal(frame["cka_last"], history.cka("last")[1])
    of_frame: Any = np.int64(4)
    assert history.place("done") == history.place(4) == history.place(of_frame) == 3
    with pytest.raises(ArgumentError, match="no snapshot of step 3; the nearest is 2"):
        history.at(3)
    with pytest.raises(ArgumentError, match=r"labelled 'dome'; labels are 'done'\. Did you mean"):
        history.at("dome")
    with pytest.raises(ArgumentError, match=r"not 1\.5"):
        history.place(1.5)  # type: ignore[arg-type]


def test_where_nothing_is_counted_snapshots_are_numbered():
    history = Recorder(net())
    for label in ("", "", "third"):
        history.snapshot(label)
    assert [s.step for s in history.snapshots] == [0, 1, 2]
    assert history.numbers == (0, 1, 2)


def test_numbers_stay_with_their_snapshots():
    history = Recorder(nn.Sequential(nn.Linear(2, 2)), limit=8)
    for step in range(20):
        history.snapshot("", step)
    assert [s.step for s in history.snapshots] == list(history.numbers)
    assert history.taken == 20


def test_the_probe_is_what_the_model_takes_of_a_batch(images):
    model = net()
    batch = {"pixels": images, "label": torch.zeros(len(images))}
    history = Recorder(model, batch, inputs_from="pixels")
    plain = Recorder(model, images)
    for one in (history, plain):
        one.snapshot()
    train(model, 3)
    for one in (history, plain):
        one.snapshot()
    np.testing.assert_array_equal(history.cka(), plain.cka())
    with pytest.raises(ArgumentError, match="Did you mean 'pixels'"):
        Recorder(model, batch, inputs_from="pixel")
