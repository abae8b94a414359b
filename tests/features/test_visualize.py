"""Pictures that make channels fire: that they do, that they are repeatable, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import convlens as cl
from convlens.errors import ArgumentError, ConvlensError, ForwardError
from tests.features.nets import KINDS, Functional, LeNet, make
from tests.models import trained
from tests.untouched import left_untouched

# the objective and nothing else
ALONE: Any = {"prior": 0, "tv": 0, "jitter": 0, "scale": 0, "rotate": 0}
QUICK: Any = {"steps": 12, "precision": "float32"}


def see(kind: str, channels=None, **options):
    _, colours, size, layer, _ = KINDS[kind]
    layer = None if options.get("objective") == "logit" else options.pop("layer", layer)
    options = {"size": size, "mean": 0.5, "std": 0.25} | QUICK | options
    found = cl.visualize_features(make(kind), layer, channels, **options)
    assert found.images.shape[1] == colours
    return found


def values(kind: str, found: cl.Features) -> Tensor:
    """What the layer emits for the pictures, by a hook and a forward pass of our own."""
    model, seen = make(kind), []
    name, _, call = found.layer.partition(":")
    module = model.get_submodule("" if name == "(output)" else name)
    module.register_forward_hook(lambda *a: seen.append(a[2].detach().clone()))
    with torch.no_grad():
        model(torch.as_tensor(found.images))
    return seen[int(call or 0)]


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


# Shapes, memory, precision ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, (9, 14), 28, 31, (33, 8), 40])
@pytest.mark.parametrize("colours", [1, 2, 3, 5])
def test_any_size_and_number_of_colours(size, colours):
    torch.manual_seed(0)
    model = Functional(colours)
    found = cl.visualize_features(model, "one", [0], size=size, mean=0.5, std=0.2, steps=2)
    height, width = size if isinstance(size, tuple) else (size, size)
    assert found.images.shape == (1, colours, height, width)
    assert found.pictures.shape == (1, height, width, 3 if colours == 3 else 1)


def test_size_is_found_by_trying_and_said():
    found = cl.visualize_features(make("one channel"), "conv2", 0, steps=2)
    assert found.images.shape == (1, 1, 28, 28)
    assert any("size is guessed, 28 x 28" in note for note in found.notes)
    assert any("mean and std are guessed" in note for note in found.notes)
    given = cl.visualize_features(
        make("one channel"), "conv2", 0, inputs=torch.rand(3, 1, 28, 28), steps=2
    )
    assert given.notes == ()


def test_a_network_that_shrinks_much_is_one_for_224_pixels():
    model = nn.Sequential(*(nn.Conv2d(3, 3, 3, stride=2, padding=1) for _ in range(5)))
    run = cl.Visualization(model, "0", 0)
    assert run.images().shape == (1, 224, 224, 3)


class Narrow(nn.Module):
    """Has memory for three pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 7, 3)

    def forward(self, x):
        if x.shape[0] > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self.conv(x)


def test_memory_that_runs_out_halves_the_batch():
    torch.manual_seed(0)
    model = Narrow()
    options: Any = {"size": 9, "mean": 0.5, "std": 0.25} | QUICK
    found = cl.visualize_features(model, "conv", batch_size=7, **options)
    assert found.finished
    assert "out of memory: 3 pictures at once" in found.notes
    parts = cl.visualize_features(model, "conv", batch_size=3, **options)
    assert np.array_equal(found.images, parts.images)


def test_bfloat16_climbs_as_well():
    one = see("residual", None, steps=32, size=32, precision="float32")
    two = see("residual", None, steps=32, size=32, precision="bfloat16")
    assert (two.activation > two.start).all()
    np.testing.assert_allclose(one.activation, two.activation, rtol=0.15, atol=0.05)
    emitted = values("residual", two)[range(6), range(6)]
    np.testing.assert_allclose(two.activation, emitted.mean((1, 2)), rtol=1e-3, atol=1e-4)


def test_a_model_that_knows_float32_alone_runs_in_float32():
    class Strict(Functional):
        def forward(self, x):
            if torch.is_autocast_enabled("cpu"):
                raise TypeError("float32 only")
            return super().forward(x)

    found = cl.visualize_features(Strict(), objective="logit", size=32, steps=3)
    assert found.finished


def test_half_precision_models():
    found = cl.visualize_features(make("vgg").bfloat16(), "3", [0, 1], size=16, steps=8)
    assert found.images.dtype == np.float32
    assert (found.activation > found.start).all()


# Results and refusals ---------------------------------------------------------------------------


def test_the_result_tells_what_it_is():
    found = see("functional", [3, 1])
    frame = found.to_frame()
    assert frame["channel"].tolist() == [3, 1]
    assert frame["activation"].tolist() == pytest.approx(found.activation.tolist())
    assert "two: 2 pictures by channel, 12 steps, seed 0" in repr(found)
    figure: Any = found.plot()
    assert len(figure.axes[0].child_axes) == 2
    assert figure.axes[0].child_axes[0].get_title().startswith("3: ")
    assert "<img" in found._repr_html_()
    assert found.plot(figure.axes[0]) is figure


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"channels": 5}, "There is no channel 5: two has 5, 0 to 4"),
        ({"channels": []}, "channels must be a whole number or several"),
        ({"channels": "all"}, "channels must be a whole number or several"),
        ({"layer": "twoo"}, "No layer is called 'twoo'. Did you mean 'two'"),
        ({"layer": None}, "layer is missing"),
        ({"objective": "logit"}, "leave layer out"),
        ({"objective": "chanel"}, "objective is 'chanel'; .* Did you mean 'channel'"),
        ({"objective": "direction"}, "needs direction="),
        ({"direction": torch.ones(5)}, "no other objective takes one"),
        ({"objective": "direction", "direction": torch.ones(4)}, r"not \(1, 4\)"),
        ({"objective": lambda emitted: emitted}, "must return one number per picture"),
        ({"position": (1, 1)}, "position= belongs to objective='neuron'"),
        ({"objective": "neuron", "position": (6, 0)}, "two emits maps of 6 x 6"),
        ({"steps": 0}, "steps is 0; it must be a whole number, at least 1"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"learning_rate": 0}, "learning_rate is 0; it must be a number above 0"),
        ({"tv": -1}, "tv is -1; it must be a number, at least 0"),
        ({"scale": 1}, "scale is 1; it must be below 1"),
        ({"size": 0}, "size must be a whole number of pixels above 0"),
        ({"size": (8, 8, 8)}, "size must be"),
        ({"size": 1}, "The model raised RuntimeError on inputs of 3 x 1 x 1"),
        ({"variants": 0}, "variants is 0"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"mean": 0.5, "std": None}, "mean was given without std"),
        ({"inputs": torch.rand(4, 12, 12)}, "inputs must be images, .* not 4 x 12 x 12"),
        ({"inputs": torch.rand(2, 1, 12, 12)}, "on inputs of 1 x 12 x 12"),
        ({"device": "nowhere"}, "device 'nowhere' cannot be used here"),
        ({"forward": 3}, "forward must be a callable"),
    ],
)
def test_bad_arguments_get_one_clear_sentence(options, said):
    model = make("functional")
    options = {"layer": "two", "size": 12, "mean": 0.5, "std": 0.25, "steps": 2} | options
    if "inputs" in options:
        del options["size"]
    with left_untouched(model), pytest.raises(ConvlensError, match=said) as caught:
        cl.visualize_features(model, **options)
    assert "\n" not in str(caught.value)


def test_what_is_no_model():
    with pytest.raises(ConvlensError, match=r"expects a torch.nn.Module"):
        cl.visualize_features({"weight": 1}, "two")  # type: ignore[arg-type]


def test_no_usual_size_runs():
    class Picky(LeNet):
        def forward(self, x):
            if x.shape[-1] != 77:
                raise ValueError("77 pixels")
            return x

    with pytest.raises(ArgumentError, match=r"No usual size of input runs .* pass size="):
        cl.visualize_features(Picky(), objective="logit")
    with pytest.raises(ArgumentError, match="no 2-D convolution"):
        cl.visualize_features(nn.Linear(3, 3), objective="logit")
    with pytest.raises(ForwardError, match="77 pixels"):
        cl.visualize_features(Picky(), objective="logit", size=8)
