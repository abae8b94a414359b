"""Pictures that make channels fire: that they do, that they are repeatable, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import convlens as cl
from convlens.errors import ArgumentError, ForwardError
from tests.features.nets import KINDS, Functional, make
from tests.features.seeing import ALONE, QUICK, see, values
from tests.models import trained
from tests.untouched import left_untouched

# What it climbs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("objective", ["channel", "neuron", "logit"])
def test_every_kind_of_network_and_objective(kind, objective):
    found = see(kind, objective=objective, steps=32, **ALONE)
    fires = np.array(found.fires)
    assert (found.activation > found.start)[fires].all()
    assert (found.activation[~fires] == 0).all()  # behind a ReLU a single neuron may stay shut
    assert fires.all() or (kind, objective) == ("residual", "neuron")
    assert len(found) == (KINDS[kind][4] if objective != "logit" else values(kind, found).shape[1])
    emitted = values(kind, found)
    own = emitted[range(len(found)), found.channels]
    if objective == "channel":
        own = torch.where(own > 0, own, 0.1 * own).mean((1, 2))
    elif objective == "neuron":
        own = own[:, own.shape[1] // 2, own.shape[2] // 2]
    np.testing.assert_allclose(found.activation, own, rtol=1e-3, atol=1e-4)


def test_a_direction_is_climbed_and_not_its_opposite():
    direction = torch.tensor([1.0, -2.0, 0.5, 0.0, 1.0])
    found = see(
        "functional",
        objective="direction",
        direction=torch.stack([direction, -direction]),
        steps=100,
    )
    along = torch.einsum("kcyx,c->k", values("functional", found), direction)
    assert found.channels == (0, 1)
    assert float(along[0]) > 2 * float(along[1])
    assert (found.activation > found.start).all()


def test_a_formula_of_ones_own():
    def second_minus_first(emitted: Tensor) -> Tensor:
        return (emitted[:, 1] - emitted[:, 0]).mean((1, 2))

    found = see("functional", [0], objective=second_minus_first)
    emitted = values("functional", found)
    assert found.objective == "second_minus_first"
    assert found.activation[0] == pytest.approx(float((emitted[:, 1] - emitted[:, 0]).mean()), 1e-3)
    assert found.activation[0] > found.start[0]


def test_a_neuron_is_where_it_is_said_to_be():
    """Rows and columns are told apart, on a map that is no square."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1))
    options: Any = {
        "size": (8, 14),
        "mean": 0.5,
        "std": 0.25,
        "tv": 0,
        "prior": 0,
        "jitter": 0,
    } | QUICK
    found = cl.visualize_features(model, "0", 0, objective="neuron", position=(2, 11), **options)
    assert found.activation[0] > found.start[0]
    x = torch.as_tensor(found.images).requires_grad_()
    model(x)[0, 0, 2, 11].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].nonzero()
    assert (seen.min(0).values.tolist(), seen.max(0).values.tolist()) == ([1, 10], [3, 12])
    assert found.activation[0] == pytest.approx(model(x)[0, 0, 2, 11].item(), abs=1e-4)


def test_the_demo_network_reads_its_digits_in_their_pictures():
    digits = cl.demo.load()
    found = cl.visualize_features(
        digits.model, objective="logit", inputs=digits.images, mean=digits.mean, std=digits.std
    )
    sure = digits.model(torch.as_tensor(found.images)).softmax(1).diagonal()
    assert sure.min().item() > 0.99
    # and they look like digits: more like the mean digit of their class than like the others
    pixels = digits.images.flatten(1)
    means = torch.stack([pixels[digits.labels == c].mean(0) for c in range(10)])
    means, shown = means - pixels.mean(0), torch.as_tensor(found.images).flatten(1) - pixels.mean(0)
    likeness = F.normalize(shown, dim=1) @ F.normalize(means, dim=1).T
    assert int((likeness.argmax(1) == torch.arange(10)).sum()) >= 7


def test_resnet20_reads_its_classes_in_their_pictures():
    model = trained("resnet20")
    found = cl.visualize_features(model, objective="logit", steps=32, size=32)
    assert model(torch.as_tensor(found.images)).argmax(1).tolist() == list(range(10))


def test_variants_differ_more_with_diversity():
    def likeness(diversity: float) -> float:
        found = see("functional", [1, 3], variants=3, diversity=diversity, steps=30)
        assert found.channels == (1, 1, 1, 3, 3, 3)
        flat = values("functional", found).flatten(2)
        gram = F.normalize(torch.einsum("kcp,kdp->kcd", flat, flat).flatten(1), dim=1)
        return float((gram @ gram.T)[torch.ones(6, 6).triu(1) > 0].mean())

    assert likeness(3.0) < likeness(0.0)


def test_the_prior_keeps_pictures_near_the_inputs():
    digits = cl.demo.load()
    one = digits.images.mean(0)
    far = [
        np.abs(
            cl.visualize_features(
                digits.model, "layer1.0.conv1", [0, 1, 2], inputs=digits.images, prior=prior
            ).images
            - one.numpy()
        ).mean()
        for prior in (0, 0.5, 5)
    ]
    assert far[0] > far[1] > far[2]


# Repeatable -------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_no_global_number_counts():
    one = see("residual", [0, 2], seed=3)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    two = see("residual", [0, 2], seed=3)
    assert np.array_equal(one.images, two.images)
    assert np.array_equal(one.curve, two.curve)
    torch.manual_seed(99)
    assert torch.equal(torch.get_rng_state(), state)
    assert not np.array_equal(one.images, see("residual", [0, 2], seed=4).images)


def test_a_picture_does_not_depend_on_which_others_are_made():
    together = see("depthwise", None, steps=6)
    alone = see("depthwise", [5], steps=6)
    parts = see("depthwise", None, steps=6, batch_size=3)
    np.testing.assert_allclose(together.images[5], alone.images[0], atol=1e-3)
    np.testing.assert_allclose(together.images, parts.images, atol=1e-3)


def test_stopped_and_gone_on_with_is_the_same_as_in_one_go():
    whole = see("functional", None, batch_size=3)
    model = make("functional")
    options: Any = {"size": 12, "mean": 0.5, "std": 0.25, "batch_size": 3} | QUICK
    run = cl.Visualization(model, "two", **options)
    grey = run.images()
    assert (grey == grey.flat[0]).all()
    with left_untouched(model):
        for done, total in run.steps():
            assert total == 24
            if done == 5:
                break
    early = run.result()
    assert not early.finished
    assert np.isfinite(early.curve[:3, :5]).all()
    assert np.isnan(early.curve[:, 5:]).all()
    assert early.reasons[3:] == ("not begun: stopped before its turn",) * 2
    assert not (run.images()[:3] == grey[:3]).all()
    assert (run.images()[3:] == grey[3:]).all()
    turns = list(run.steps(within=0.02))
    assert turns[-1] == (24, 24)
    assert run.complete == 5
    assert np.array_equal(run.result().images, whole.images)
    assert np.array_equal(run.result().activation, whole.activation)
    assert np.array_equal(run.images(), whole.pictures)


def test_a_result_in_between_settles_nothing():
    model: Any = make("vgg")
    model[3].bias.data.fill_(-0.3)  # shut at first
    options: Any = {"size": 16, "mean": 0.5, "std": 0.25, "steps": 60} | ALONE
    run = cl.Visualization(model, "4", [0, 1, 2, 3], **options)
    early = [run.result().fires for _ in run.steps()]
    assert run.result().fires == early[-1] != early[0]
    whole = cl.visualize_features(model, "4", [0, 1, 2, 3], **options)
    assert np.array_equal(run.result().images, whole.images)


def test_between_steps_the_model_is_as_it_was_found():
    model = make("residual").train()
    run = cl.Visualization(model, "conv", [0], size=17, mean=0.5, std=0.25, **QUICK)
    for _ in run.steps():
        assert model.training
        assert not model.get_submodule("conv")._forward_hooks
    with left_untouched(model), run.held():
        list(run.steps())


def test_progress_stops_it():
    seen = []

    def progress(run):
        seen.append((run.done, run.total, run.images().shape))
        return run.done < 3

    found = see("functional", [0, 1], progress=progress)
    assert seen == [(n, 12, (2, 12, 12, 3)) for n in (1, 2, 3)]
    assert not found.finished
    assert "stopped early" in repr(found)


# What cannot fire -------------------------------------------------------------------------------


def test_a_channel_without_weights_never_fires_and_the_others_do():
    model: Any = make("functional")
    model.two.weight.data[2] = 0
    found = cl.visualize_features(model, "two", size=12, mean=0.5, std=0.25, restarts=2, **QUICK)
    assert found.fires == (True, True, False, True, True)
    assert found.reasons[2] == "never fires: no gradient from 3 starting pictures"
    assert found.to_frame().loc[2, "reason"] == found.reasons[2]
    alone = cl.visualize_features(
        make("functional"), "two", size=12, mean=0.5, std=0.25, restarts=2, **QUICK
    )
    np.testing.assert_allclose(found.images[[0, 1, 3, 4]], alone.images[[0, 1, 3, 4]], atol=1e-3)


def test_where_nothing_fires_no_time_is_spent():
    model: Any = make("functional")
    model.two.weight.data.zero_()
    run = cl.Visualization(model, "two", size=12, mean=0.5, std=0.25, steps=500)
    assert len(list(run.steps())) < 10
    assert not any(run.result().fires)
    assert run.finished


def test_a_relu_that_is_shut_for_every_picture_never_fires():
    model: Any = make("vgg")
    model[3].bias.data = torch.tensor([-1000.0] + [0.0] * 7)
    found = cl.visualize_features(model, "4", [0, 1], size=16, mean=0.5, std=0.25, steps=40)
    assert found.fires == (False, True)
    assert "0 for every picture that was tried" in (found.reasons[0] or "")


class Shut(nn.Module):
    """Passes no gradient near grey, where pictures start."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.conv.weight.data.fill_(1)
        self.conv.get_parameter("bias").data.fill_(-0.2)

    def forward(self, x):
        return F.relu(self.conv(x))


def test_weights_that_are_nearly_zero_never_fire_either():
    redundant = cl.demo.load("redundant")
    found = cl.visualize_features(
        redundant.model, "layer3.1.conv1", inputs=redundant.images, steps=32, batch_size=20
    )
    norms = redundant.model.get_parameter("layer3.1.conv1.weight").flatten(1).norm(dim=1)
    silent = norms < 1e-4 * norms.max()
    assert 30 < int(silent.sum()) < 48
    assert found.fires == tuple((~silent).tolist())
    assert "its output varies by" in (found.reasons[0] or "")


def test_a_shut_start_is_tried_again_stronger():
    options: Any = {"size": 8, "mean": 0.5, "std": 1.0, "prior": 0}
    assert not any(
        cl.visualize_features(Shut(), None, objective="logit", restarts=0, **options).fires
    )
    found = cl.visualize_features(Shut(), None, objective="logit", restarts=5, **options)
    assert all(found.fires)
    assert found.activation[0] > 0.1


def test_numbers_that_are_not_finite_are_said():
    model: Any = make("functional")
    model.two.bias.data[1] = torch.nan
    found = cl.visualize_features(model, "two", [0, 1], size=12, mean=0.5, std=0.25, **QUICK)
    assert found.fires == (True, False)
    assert "not a finite number" in (found.reasons[1] or "")
    assert np.isfinite(found.images).all()


def test_a_model_whose_gradient_breaks_is_refused():
    class Overwriting(Functional):
        def forward(self, x):
            out = self.one(x).exp()
            out += 1  # what exp needs to know on the way back
            return self.two(out)

    with pytest.raises(ForwardError, match=r"The gradient of \(output\) cannot be computed"):
        cl.visualize_features(Overwriting(), objective="logit", size=12)


def test_a_model_without_gradients_is_refused_with_a_way_out():
    class Rounding(Functional):
        def forward(self, x):
            return super().forward(x.detach())

    with pytest.raises(ArgumentError, match=r"passes no gradient back .* look at its top inputs"):
        cl.visualize_features(Rounding(), objective="logit", size=12)
