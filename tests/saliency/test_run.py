"""An attribution runs in steps: progress, Stop, memory, random numbers, and nothing left behind."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from convlens.saliency import METHODS, Attribution
from tests.saliency.nets import make
from tests.untouched import left_untouched

FAST: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"steps": 8},
    "gradient_shap": {"samples": 4},
    "smoothgrad": {"samples": 4},
    "vargrad": {"samples": 4},
    "shapley_value_sampling": {"samples": 2, "patch": 5},
    "lime": {"samples": 12, "patch": 5},
    "kernel_shap": {"samples": 12, "patch": 5},
    "feature_ablation": {"patch": 5},
}


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    """Every part is a step of its own."""
    monkeypatch.setattr("convlens.saliency.attribution._MOMENT", 0.0)


def run_of(method, model, x, **arguments):
    return Attribution(model, x, 1, method, **FAST.get(method, {}), **arguments)


@pytest.mark.parametrize("method", METHODS)
def test_steps_tell_how_far_it_is_and_end_where_they_said(method):
    model, x = make("resnet")
    run = run_of(method, model, x, batch_size=2)
    done = []
    with left_untouched(model):
        for at, total in run.steps():
            assert 0 < at <= total == run.total
            done.append(at)
    assert done == sorted(done)
    assert done[-1] == run.total
    assert len(done) > 2
    assert run.finished
    whole = cl.attribute(model, x, 1, method, **FAST.get(method, {}))
    np.testing.assert_allclose(run.result().values, whole.values, atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_stop_takes_effect_at_the_next_step_and_leaves_nothing(method):
    model, x = make("resnet")
    threads = threading.active_count()
    for steps in (1, 2, 5):
        run = run_of(method, model.train(), x, batch_size=2)
        with left_untouched(model):
            for number, _ in enumerate(run.steps(), 1):
                if number == steps:
                    break
        assert threading.active_count() == threads
        if run.finished:
            continue
        if not run._values:
            with pytest.raises(cl.Cancelled, match="before the first input was finished"):
                run.result()
        else:
            found = run.result()
            assert not found.finished
            assert 0 < len(found) < len(x)
            whole = cl.attribute(model, x, 1, method, **FAST.get(method, {}))
            np.testing.assert_allclose(found.values, whole.values[: len(found)], atol=2e-5)


def test_progress_stops_it_and_keeps_what_is_finished():
    model, x = make("vgg")
    found: Any = cl.attribute(
        model, x, steps=10, batch_size=10, progress=lambda done, total: done < 18
    )
    assert not found.finished
    assert len(found) == 1
    assert "stopped" in repr(found)
    with pytest.raises(cl.Cancelled):
        cl.attribute(model, x, steps=10, batch_size=2, progress=lambda *_: False)


@pytest.mark.parametrize("method", ["smoothgrad", "gradient_shap", "lime", "kernel_shap"])
def test_the_same_seed_gives_the_same_map_whoever_draws_in_between(method):
    model, x = make("vgg")
    model.train()
    arguments: dict[str, Any] = {**FAST[method], "batch_size": 3}
    first = cl.attribute(model, x, 1, method, seed=7, **arguments)
    other = cl.attribute(model, x, 1, method, seed=8, **arguments)
    run = Attribution(model, x, 1, method, seed=7, **arguments)
    for _ in run.steps():
        torch.rand(3)
        np.random.random(2)  # noqa: NPY002 - the one that Captum draws from
    np.testing.assert_array_equal(first.values, run.result().values)
    assert not np.array_equal(first.values, other.values)


def test_noise_does_not_depend_on_which_inputs_run_together():
    model, x = make("vgg")
    together = cl.attribute(model, x, 1, "smoothgrad", samples=5).values
    apart = cl.attribute(model, x, 1, "smoothgrad", samples=5, batch_size=1).values
    np.testing.assert_allclose(together, apart, atol=1e-6)
    assert not np.allclose(
        cl.attribute(model, torch.cat([x[:1], x[:1]]), 1, "smoothgrad", samples=5).values[0],
        cl.attribute(model, torch.cat([x[:1], x[:1]]), 1, "smoothgrad", samples=5).values[1],
    )


class Cramped(nn.Module):
    """Memory for so many rows at once, and no more."""

    def __init__(self, inner: nn.Module, room: int) -> None:
        super().__init__()
        self.inner = inner
        self.room = room
        self.sizes: list[int] = []

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.inner(x)


@pytest.mark.parametrize(
    "method",
    ["integrated_gradients", "saliency", "smoothgrad", "gradient_shap", "occlusion", "lime"],
)
def test_when_memory_runs_out_parts_are_halved_and_finished_ones_kept(method):
    model, x = make("vgg")
    x = x[:2]
    rows: list[int] = []

    class Watched(Cramped):
        def forward(self, x):
            out = super().forward(x)
            rows.append(len(x))
            return out

    cramped = Watched(model, 2).eval()
    arguments: dict[str, Any] = {**FAST.get(method, {}), "batch_size": 16}
    if method == "saliency":
        x = torch.cat([x, x, x])
    given: dict[str, Any] = {**arguments, "batch_size": 2}
    found = Attribution(cramped, x, 1, method, **given)
    for _ in found.steps():
        pass
    easy = list(rows)
    rows.clear()
    run = Attribution(cramped, x, 1, method, **arguments)
    run._said = []
    for _ in run.steps():
        pass
    assert max(rows) <= 2
    assert sum(rows) <= sum(easy) + 4  # nothing that was done is done again
    np.testing.assert_allclose(run.result().values, found.result().values, atol=1e-5)
    if method != "saliency":
        assert "memory ran out" in " ".join(run.result().notes)


def test_memory_for_not_even_one_input():
    model, x = make("vgg")

    class Full(Cramped):
        def forward(self, x):
            if torch.is_grad_enabled():
                raise MemoryError
            return self.inner(x)

    with pytest.raises(cl.ForwardError, match="Memory ran out even for one input at a time"):
        cl.attribute(Full(model, 1).eval(), x, method="saliency", batch_size=4)


def test_as_many_rows_as_free_memory_takes(monkeypatch):
    model, x = make("vgg")
    sizes = []

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            sizes.append(len(x))
            return self.inner(x)

    def largest(free):
        monkeypatch.setattr("convlens.saliency.work.available", lambda device: free)
        sizes.clear()
        found: Any = cl.attribute(Counting().eval(), x, steps=64, method="integrated_gradients")
        return max(sizes), found.values

    few, one = largest(500_000)
    many, other = largest(50_000_000)
    assert 1 <= few < many <= 192
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_nothing_keeps_the_model_alive():
    model, x = make("functional")
    for method in ("deep_lift", "lrp", "occlusion", "layer_grad_cam"):
        cl.attribute(model, x, 1, method)
    cl.preflight(model, x)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_on_a_thread_while_the_owner_trains_the_original():
    """As the Lens does it: on a copy with weights of its own."""
    from convlens.replica import duplicate

    model, x = make("resnet")
    copied = duplicate(model)
    model.train()
    wanted = cl.attribute(copied, x, 1, "guided_backprop").values
    maps = []
    worker = threading.Thread(
        target=lambda: maps.extend(
            cl.attribute(copied, x, 1, "guided_backprop").values for _ in range(5)
        )
    )
    worker.start()
    while worker.is_alive():
        model(x).sum().backward()
        assert all(module.training for module in model.modules())
    worker.join()
    assert all(np.array_equal(one, wanted) for one in maps)
    assert all(p.grad is not None and p.requires_grad for p in model.parameters())
