"""The demo: what ships is what the script makes, and shows what the metrics can show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from convlens import demo, measure_quality
from convlens.demo import make
from convlens.errors import ArgumentError

FOLDER = Path(demo.__file__).parent


@pytest.fixture(scope="module")
def digits() -> make.Digits:
    return make.read_digits()


@pytest.mark.parametrize("variant", demo.VARIANTS)
def test_held_out_accuracy_recomputed_from_the_files(variant: str) -> None:
    shown = demo.load(variant)
    with torch.no_grad():
        predicted = shown.model(shown.images).argmax(1)
    accuracy = int((predicted == shown.labels).sum()) / len(shown.labels)
    assert accuracy >= 0.97
    assert shown.accuracy == pytest.approx(accuracy)


def test_what_load_gives() -> None:
    shown = demo.load()
    n = len(shown.labels)
    assert shown.images.shape == (n, 1, 8, 8)
    assert shown.images.dtype == torch.float32
    assert shown.labels.dtype == torch.int64
    assert sorted(set(shown.labels.tolist())) == list(range(len(shown.classes)))
    assert not shown.model.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in shown.model.parameters())
    pixels = (shown.images * shown.std[0] + shown.mean[0]) * 16
    assert pixels.min() == pytest.approx(0, abs=1e-4)
    assert pixels.max() == pytest.approx(16, abs=1e-4)
    relus = [m for m in shown.model.modules() if isinstance(m, nn.ReLU)]
    assert not any(relu.inplace for relu in relus)


def test_no_relu_is_called_twice() -> None:
    shown = demo.load()
    calls: list[nn.Module] = []
    for module in shown.model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda m, *_: calls.append(m))
    with torch.no_grad():
        shown.model(shown.images[:2])
    assert len(calls) == len(set(calls)) == 13


def test_load_leaves_the_random_state_and_gives_a_fresh_model() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = demo.load()
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        for p in first.model.parameters():
            p.zero_()
    assert demo.load().accuracy >= 0.97


def test_the_held_out_digits_were_not_trained_on(digits: make.Digits) -> None:
    with np.load(FOLDER / "digits.npz") as archive:
        shipped = archive["images"]
    assert np.array_equal(shipped, digits.held_out_images.numpy())
    trained = {image.numpy().tobytes() for image in digits.images}
    assert not any(image.tobytes() in trained for image in shipped)
    assert len(digits.images) + len(shipped) == 1797


def test_the_redundant_variant_shows_in_the_metrics() -> None:
    good = measure_quality(demo.load("good").model)
    redundant = measure_quality(demo.load("redundant").model)
    worse = []
    for key, layer in good.items():
        if layer.kernel != (3, 3):
            continue
        assert layer.sparsity is not None
        assert layer.sparsity < 0.05, key
        assert layer.n is not None
        if layer.n > 100:  # below, the normalisation of the metric is off
            assert 0.8 < (layer.variance_entropy_normalized or 0) < 1, key
        other = redundant[key]
        assert other.sparsity is not None
        assert other.variance_entropy_normalized is not None
        assert layer.variance_entropy_normalized is not None
        entropy_fell = layer.variance_entropy_normalized - other.variance_entropy_normalized > 0.15
        if entropy_fell and other.sparsity - layer.sparsity > 0.5:
            worse.append(key)
    assert len(worse) >= 4, worse


@pytest.mark.parametrize("variant", demo.VARIANTS)
def test_the_same_seed_trains_the_same_weights(variant: str, digits: make.Digits) -> None:
    state = torch.get_rng_state()
    runs = [
        make.train(make.RECIPES[variant], digits, seed=seed, steps=8).state_dict()
        for seed in (0, 0, 1)
    ]
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())
    assert not torch.equal(runs[0]["conv1.weight"], runs[2]["conv1.weight"])
    assert torch.equal(torch.get_rng_state(), state)


def test_training_learns_within_a_few_epochs(digits: make.Digits) -> None:
    model = make.train(make.Recipe(epochs=3, weight_decay=5e-4), digits)
    images = digits.normalise(digits.held_out_images)
    assert demo.measure_accuracy(model, images, digits.held_out_labels) > 0.85


def test_the_whole_demo_is_under_one_megabyte() -> None:
    files = [p for p in FOLDER.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {p.name for p in files} >= {"good.pt", "redundant.pt", "digits.npz"}
    assert sum(p.stat().st_size for p in files) < 1_000_000


@pytest.mark.parametrize("asked", ["redundent", "best", "", None, 3])
def test_an_unknown_variant_names_the_valid_ones(asked: object) -> None:
    with pytest.raises(ArgumentError, match="must be 'good' or 'redundant'") as caught:
        demo.load(asked)  # type: ignore[arg-type]
    if asked == "redundent":
        assert "Did you mean 'redundant'?" in str(caught.value)
