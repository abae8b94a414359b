"""What comes out: maps, frames, pictures, agreement, sanity checks, predictions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.utils.data import DataLoader, TensorDataset

import convlens as cl
from convlens.saliency import Prediction, SanityCheck
from tests.saliency.nets import make
from tests.untouched import left_untouched

MAPS = arrays.arrays(
    np.float64, (2, 6, 5), elements=st.floats(-10, 10, allow_subnormal=False), unique=True
)


@pytest.fixture(scope="module")
def digits():
    return cl.demo.load()


def test_a_map_is_one_value_per_pixel(digits):
    model, x = make("vgg")
    found: Any = cl.attribute(model, x, method="input_x_gradient")
    np.testing.assert_allclose(found.map(), found.values.sum(1), atol=1e-6)
    np.testing.assert_allclose(found.map("abs"), np.abs(found.values).sum(1), rtol=1e-5)
    sizes = cl.attribute(model, x, method="saliency")
    np.testing.assert_array_equal(sizes.map(), sizes.values.max(1))
    with pytest.raises(cl.ArgumentError, match="reduce is 'mean'"):
        found.map("mean")  # pyright: ignore[reportArgumentType]
    layer = cl.attribute(model, x, layer="3", method="saliency")
    assert layer.values.shape == (3, 8, 5, 5)
    assert layer.upsampled.shape == (3, 8, 10, 10)
    assert layer.map().shape == (3, 10, 10)


def test_frame_words_and_picture(digits):
    labels = digits.labels[:3]
    found: Any = cl.attribute(digits.model, digits.images[:3], "label", labels=labels, steps=100)
    frame = found.to_frame()
    np.testing.assert_allclose(frame["sum"], found.values.sum((1, 2, 3)), rtol=1e-5)
    assert (frame["target"] == labels.numpy()).all()
    assert "Integrated gradients of label: 3 inputs" in repr(found)
    assert "<table" in found._repr_html_()
    figure = found.plot(inputs=digits.images[:3])
    assert figure.axes[0].get_title().startswith(f"class {labels[0]}, score")
    from convlens.plotting import new_axes

    axes = new_axes((3, 1))
    assert found.plot(axes, shared=False) is axes.figure
    with pytest.raises(cl.ArgumentError, match="they must be the 3 inputs of 1 x 8 x 8"):
        found.plot(inputs=digits.images[:2])
    with pytest.raises(cl.ArgumentError, match="percentile is 0"):
        found.plot(percentile=0)


def test_maps_about_zero_are_told():
    model, x = make("vgg")
    x[1] = 0
    found: Any = cl.attribute(model, x, method="input_x_gradient")
    assert found.about_zero.tolist() == [False, True, False]
    assert "all values about zero: input 1" in found._repr_html_()


def slow_ssim(a, b, span):
    """Window by window, as Wang et al. 2004 write it."""
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    size = min(11, *a.shape)
    at = np.arange(size) - (size - 1) / 2
    weight = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    weight /= weight.sum()
    found = []
    for i in range(a.shape[0] - size + 1):
        for j in range(a.shape[1] - size + 1):
            p, q = a[i : i + size, j : j + size], b[i : i + size, j : j + size]
            mp, mq = (weight * p).sum(), (weight * q).sum()
            vp, vq = (weight * (p - mp) ** 2).sum(), (weight * (q - mq) ** 2).sum()
            cov = (weight * (p - mp) * (q - mq)).sum()
            c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
            found.append(
                (2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
            )
    return np.mean(found)


@given(MAPS, MAPS)
def test_agreement_is_what_it_says(a, b):
    from scipy.stats import spearmanr

    found = cl.agreement(a, b, absolute=False)
    for i in range(2):
        rank = spearmanr(a[i].ravel(), b[i].ravel()).statistic
        np.testing.assert_allclose(found.rank_correlation[i], rank, atol=1e-9)
        cosine = (a[i] * b[i]).sum() / math.sqrt((a[i] ** 2).sum() * (b[i] ** 2).sum())
        np.testing.assert_allclose(found.cosine[i], cosine, atol=1e-9)
        np.testing.assert_allclose(found.ssim[i], slow_ssim(a[i], b[i], 2), atol=1e-9)
    same = cl.agreement(a, 3 * a, absolute=False)
    np.testing.assert_allclose([same.rank_correlation, same.ssim, same.cosine], 1, atol=1e-9)
    turned = cl.agreement(a, -a, absolute=False)
    np.testing.assert_allclose([turned.rank_correlation, turned.cosine], -1, atol=1e-9)
    np.testing.assert_allclose(cl.agreement(a, -a, absolute=True).rank_correlation, 1, atol=1e-9)


def test_agreement_of_maps_that_do_not_compare():
    a = np.random.default_rng(0).random((2, 4, 4))
    assert cl.agreement(a, -a).absolute
    constant = cl.agreement(a, np.ones_like(a))
    assert np.isnan(constant.rank_correlation).all()
    assert np.isnan(constant.ssim).all()
    assert "nan" in repr(constant)
    tiny = cl.agreement(a * 1e-200, a)
    np.testing.assert_allclose(tiny.cosine, 1)
    with pytest.raises(cl.ArgumentError, match="a is of 2 inputs and b of 1"):
        cl.agreement(a, a[:1])
    with pytest.raises(cl.ArgumentError, match="The maps are 4 x 4 and 4 x 3"):
        cl.agreement(a, a[:, :, :3])
    with pytest.raises(cl.ArgumentError, match=r"b is 2 x 4; it must be maps"):
        cl.agreement(a, a[0, :2])


def test_gradients_change_with_the_weights_and_guided_backpropagation_hardly(digits):
    """The finding of Adebayo et al. 2018, on the trained demo."""
    x = digits.images[:8]
    plain = cl.sanity_check(digits.model, x, "integrated_gradients", steps=20)
    guided = cl.sanity_check(digits.model, x, "guided_backprop")
    assert plain.passed
    assert not guided.passed
    assert guided.left > plain.left + 0.2
    assert "little of what was learnt" in guided.verdict
    assert plain.layers[0] == "linear"
    assert plain.layers[-1] == "conv1"
    assert plain.to_frame().shape == (8, 3)
    assert plain.plot().axes[0].get_title() == plain.verdict


def test_a_sanity_check_randomises_what_it_says(digits):
    x = digits.images[:2]
    with left_untouched(digits.model):
        one = cl.sanity_check(digits.model, x, "saliency", how="independent", layers="layer1.*")
    assert all(name.startswith("layer1") for name in one.layers)
    again = cl.sanity_check(digits.model, x, "saliency", how="independent", layers="layer1.*")
    np.testing.assert_array_equal(one.ssim, again.ssim)
    other = cl.sanity_check(
        digits.model, x, "saliency", how="independent", layers="layer1.*", seed=1
    )
    assert not np.array_equal(one.ssim, other.ssim)
    # without layers before it, a layer alone disturbs the gradient's order less than all do
    assert np.nanmean(one.rank_correlation) > 0.1
    run = SanityCheck(digits.model, x, "saliency")
    for number, (done, total) in enumerate(run.steps()):
        assert done <= total
        if number == 3:
            break
    part = run.result() if run._found else None
    assert part is None or not part.finished
    with pytest.raises(cl.ArgumentError, match=r"how is 'cascade'.*'cascading'"):
        cl.sanity_check(digits.model, x, how="cascade")  # pyright: ignore[reportArgumentType]
    with pytest.raises(cl.ModelError, match=r"no weights that could be randomised|no convolution"):
        cl.sanity_check(torch.nn.Sequential(torch.nn.ReLU()), x)


def test_predictions(digits):
    x, labels = digits.images[:50], digits.labels[:50]
    whole = cl.predict(digits.model, x, labels=labels)
    with torch.no_grad():
        wanted = digits.model.eval()(x).softmax(1)
    np.testing.assert_array_equal(whole.predicted, wanted.argmax(1))
    np.testing.assert_allclose(whole.probability, wanted.amax(1), rtol=1e-5)
    np.testing.assert_allclose(whole.probabilities, wanted.topk(5, 1).values, atol=1e-6)
    assert whole.right is not None
    assert whole.accuracy == (wanted.argmax(1) == labels).float().mean()
    loader = DataLoader(TensorDataset(x, labels), batch_size=7)
    drawn = cl.predict(digits.model, loader)
    np.testing.assert_array_equal(drawn.predicted, whole.predicted)
    np.testing.assert_array_equal(drawn.label, labels)
    again = cl.predict(digits.model, x, forward=lambda m, x: m(x).softmax(1))
    np.testing.assert_allclose(again.probability, whole.probability, rtol=1e-5)
    run = Prediction(digits.model, x, labels=labels, batch_size=20)
    for done, total in run.steps():
        assert total == 50
        if done >= 40:
            break
    part = run.result()
    assert (len(part), part.finished) == (40, False)
    for _ in run.steps():
        pass
    assert len(run.result()) == 50
    with pytest.raises(cl.ArgumentError, match="labels holds 3 classes, and there are 50 inputs"):
        cl.predict(digits.model, x, labels=[1, 2, 3])
    with pytest.raises(cl.ArgumentError, match="there is no predicted class"):
        cl.predict(torch.nn.Conv2d(1, 2, 1), x)
