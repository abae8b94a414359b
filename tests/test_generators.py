"""Global generators: set back where a model drew, let be where a training loop draws meanwhile."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import convlens as cl
from convlens.replica import duplicate
from convlens.saliency.attribution import Attribution
from convlens.untouched import may_draw, untouched

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Quiet(nn.Sequential):
    """Draws in training only."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3))


class Drawing(Quiet):
    """Draws from every generator, in eval too."""

    def forward(self, input: Any) -> Any:
        noise = random.random() + float(np.random.rand())  # noqa: NPY002
        return super().forward(F.dropout(input, 0.1, training=True) + noise)


def drawn() -> tuple[float, ...]:
    """Draw one number from each generator."""
    return random.random(), float(torch.rand(())), float(np.random.rand())  # noqa: NPY002


def seed() -> None:
    random.seed(1)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002


def beside(work: Any) -> list[tuple[float, ...]]:
    """Draw on this thread before and in the middle of what another runs, and after it."""
    inside, go_on = threading.Event(), threading.Event()
    reached: list[bool] = []

    def meanwhile() -> None:
        reached.append(True)
        inside.set()
        assert go_on.wait(60)

    def run() -> None:
        try:
            work(meanwhile)
        finally:
            inside.set()

    seed()
    numbers = [drawn()]
    thread = threading.Thread(target=run)
    thread.start()
    assert inside.wait(60)
    numbers.append(drawn())
    go_on.set()
    thread.join()
    assert reached, "the other thread did not come to the middle"
    return [*numbers, drawn()]


def undisturbed() -> list[tuple[float, ...]]:
    seed()
    return [drawn() for _ in range(3)]


def test_a_run_beside_a_training_loop_gives_it_no_number_twice() -> None:
    model = Quiet()
    cl.find_layers(model, IMAGES)  # seen not to draw
    assert not may_draw(model)

    def work(meanwhile: Any) -> None:
        with untouched(duplicate(model)):
            model.eval()(IMAGES)
            meanwhile()

    assert beside(work) == undisturbed()


def test_saliency_beside_a_training_loop_gives_it_no_number_twice() -> None:
    model = Quiet()
    cl.find_layers(model, IMAGES)

    def work(meanwhile: Any) -> None:
        steps = Attribution(model, IMAGES, 0, method="integrated_gradients").steps()
        hook = model[0].register_forward_hook(lambda *_: meanwhile())
        next(steps)
        hook.remove()
        list(steps)

    assert beside(work) == undisturbed()


@pytest.mark.parametrize("aside", [False, True])
def test_what_a_model_draws_is_set_back(aside: bool) -> None:
    model = Drawing()
    cl.find_layers(model, IMAGES)
    assert may_draw(model)

    def work() -> None:
        with untouched(duplicate(model)):
            model.eval()(IMAGES)

    seed()
    if aside:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    else:
        work()
    assert drawn() == undisturbed()[0]


def test_a_method_that_draws_sets_back_and_repeats() -> None:
    model = Quiet()
    cl.find_layers(model, IMAGES)
    found: list[Any] = []

    def work() -> None:
        found.append(
            cl.attribute(model, IMAGES[:1], 0, method="kernel_shap", samples=8, seed=3).values
        )

    seed()
    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert drawn() == undisturbed()[0]
    np.testing.assert_array_equal(found[0], found[1])


def test_a_model_that_begins_to_draw_is_no_longer_spared() -> None:
    class Later(Quiet):
        draws = False

        def forward(self, input: Any) -> Any:
            out = super().forward(input)
            return F.dropout(out, 0.1, training=True) if self.draws else out

    model = Later()
    model.eval()
    for model.draws in (False, True):
        with untouched(model, runs=True):
            model(IMAGES)
        assert may_draw(model) is model.draws


def test_a_run_that_failed_says_nothing_of_what_is_drawn() -> None:
    model = Drawing()
    with pytest.raises(RuntimeError), untouched(model, runs=True):
        raise RuntimeError
    assert may_draw(model)


def test_of_several_models_each_must_be_known() -> None:
    quiet, other = Quiet(), Quiet()
    cl.find_layers(quiet, IMAGES)
    assert may_draw(nn.ModuleList([quiet, other]))
    cl.find_layers(other, IMAGES)
    assert not may_draw(nn.ModuleList([quiet, other]))
