"""Fourier coefficients, colours and transformations, each against an independent computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from convlens.errors import ArgumentError
from convlens.features.colour import make_palette
from convlens.features.fourier import Fourier
from convlens.features.objectives import alike
from convlens.features.presets import PRESETS, preset_for
from convlens.features.transforms import Robustness

CPU = torch.device("cpu")
SIZES = st.integers(1, 20)


@settings(max_examples=25, deadline=None)
@given(height=SIZES, width=SIZES, channels=st.integers(1, 5))
def test_any_size_and_number_of_channels(height, width, channels):
    fourier = Fourier(channels, height, width, 1.0, CPU)
    drawn = fourier.draw(fourier.start(0, 0)[None], fourier.scale())
    assert drawn.shape == (1, channels, height, width)
    assert bool(drawn.isfinite().all())


def test_each_coefficient_is_one_wave_weighted_by_its_frequency():
    fourier = Fourier(1, 8, 8, 1.0, CPU)
    for row, column in ((0, 1), (2, 3), (7, 1)):
        coefficients = torch.zeros(1, *fourier.shape)
        coefficients[0, 0, row, column, 0] = 1
        y, x = np.mgrid[:8, :8] / 8
        frequency = np.hypot(row if row < 4 else row - 8, column) / 8
        wave = 2 * np.cos(2 * np.pi * (row * y + column * x)) / 8 / frequency
        drawn = fourier.draw(coefficients, fourier.scale())[0, 0].numpy()
        np.testing.assert_allclose(drawn, wave, atol=1e-5)


def test_a_start_is_a_channels_own_and_spends_no_global_number():
    fourier = Fourier(3, 8, 8, 1.0, CPU)
    state = torch.get_rng_state()
    starts = [
        fourier.start(*key)
        for key in ((0, 0), (0, 1), (1, 0), (0, 0, 1), (0, 0, 0, 1), (0, 10_007), (101, 0))
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(fourier.start(0, 0), starts[0])
    for place, one in enumerate(starts):
        assert not any(torch.equal(one, other) for other in starts[place + 1 :])


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 5),
    mean=st.floats(0.1, 0.9),
    std=st.floats(0.05, 1),
    size=st.floats(0.1, 50),
)
def test_inputs_stay_between_black_and_white(channels, mean, std, size):
    palette = make_palette(channels, mean, std)
    free = size * torch.randn(2, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    inputs = palette.inputs(free)
    pixels = inputs * std + mean
    assert float(pixels.min()) >= -1e-4
    assert float(pixels.max()) <= 1 + 1e-4
    shown = palette.pictures(inputs)
    assert shown.shape == (2, 4, 4, 3 if channels == 3 else 1)
    wanted = pixels if channels == 3 else pixels.mean(1, keepdim=True)
    np.testing.assert_allclose(shown / 255, wanted.movedim(1, -1).numpy(), atol=3e-3)


def test_nothing_drawn_is_the_mean_colour():
    palette = make_palette(3, (0.2, 0.5, 0.8), (0.3, 0.2, 0.1))
    inputs = palette.inputs(torch.zeros(1, 3, 2, 2))
    torch.testing.assert_close(inputs, torch.zeros_like(inputs), atol=1e-5, rtol=0)


def test_colours_vary_together_as_those_of_the_inputs_do():
    torch.manual_seed(0)
    truth = torch.tensor([[1.0, 0.2, 0.0, 0.1], [0.9, -0.2, 0.1, 0.0], [0.1, 0.0, 0.5, 0.2]])
    truth = torch.cat([truth, truth[:1] * 0.3])
    inputs = torch.einsum("oc,nchw->nohw", truth, torch.randn(40, 4, 10, 10))
    palette = make_palette(4, inputs=inputs)
    unit = palette.unit(inputs).movedim(1, 0).flatten(1)
    mixed = palette.mix @ palette.mix.T
    covariance = torch.cov(unit)
    torch.testing.assert_close(mixed / mixed.trace(), covariance / covariance.trace())
    assert torch.equal(make_palette(4, inputs=inputs, decorrelate=False).mix, torch.eye(4))


def test_the_range_is_that_of_the_inputs_or_is_said_to_be_guessed():
    inputs = torch.rand(20, 1, 6, 6) * 7 - 3
    palette = make_palette(1, inputs=inputs, size=(6, 6))
    assert float(palette.low) == float(inputs.min())
    assert float(palette.high) == float(inputs.max())
    assert palette.notes == ()
    torch.testing.assert_close(palette.typical, palette.unit(inputs).mean(0))
    assert "ImageNet" in make_palette(3).notes[0]
    assert "0.5 and 0.25" in make_palette(2).notes[0]


def test_constant_inputs_have_a_range_all_the_same():
    palette = make_palette(2, inputs=torch.ones(3, 2, 4, 4))
    assert bool(palette.inputs(torch.randn(1, 2, 4, 4)).isfinite().all())


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        (0.5, None, "mean was given without std"),
        (None, 0.5, "std was given without mean"),
        (0.5, 0, "std must be above 0"),
        ((0.5, 0.5), 0.5, "mean must be one finite number or 3"),
        (0.5, float("nan"), "std must be one finite number or 3"),
        ("grey", 0.5, "mean must be a number or 3 numbers, not 'grey'"),
    ],
)
def test_bad_colours(mean, std, said):
    with pytest.raises(ArgumentError, match=said):
        make_palette(3, mean, std)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), height=st.integers(6, 20), width=st.integers(6, 20))
def test_transformations_are_the_affine_map_that_they_say(seed, height, width):
    shaken = Robustness(jitter=2, scale=0.1, rotate=15)
    x = torch.randn(1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    found = shaken.apply(x, torch.Generator().manual_seed(seed))
    across, down, size, turn = (
        torch.rand(4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    ).tolist()
    angle, factor = np.radians(15 * turn), 1 + 0.1 * size
    # rows and columns of the output about the centre -> where in the input they are read
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / factor
    centre = (np.array([height, width]) - 1) / 2
    offset = centre + 2 * np.array([down, across]) - matrix @ centre
    wanted = ndimage.affine_transform(
        x[0, 0].double().numpy(), matrix, offset, order=1, mode="reflect"
    )
    np.testing.assert_allclose(found[0, 0].numpy(), wanted, atol=1e-4)


def test_whole_pixels_are_moved_and_not_blurred():
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    generator = torch.Generator().manual_seed(0)
    seen = {tuple(Robustness(1, 0, 0).apply(x, generator).flatten().tolist()) for _ in range(50)}
    assert len(seen) == 9  # each way, and not at all
    assert all(sorted(one) == x.flatten().tolist() for one in seen)


@pytest.mark.parametrize(("size", "nearest"), [(1, 8), (10, 8), (28, 28), (33, 32), (96, 224)])
def test_presets_scale_to_the_size(size, nearest):
    assert preset_for(size, size + 3).size == nearest
    assert [preset.size for preset in PRESETS] == [8, 28, 32, 224]


def test_alike_is_the_mean_cosine_of_gram_matrices():
    emitted = torch.randn(6, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    found = alike(emitted, 3)
    flat = emitted.flatten(2).numpy()
    grams = [(one @ one.T).ravel() for one in flat]
    for place, gram in enumerate(grams):
        group = [grams[i] for i in range(place // 3 * 3, place // 3 * 3 + 3) if i != place]
        cosines = [gram @ other / np.linalg.norm(gram) / np.linalg.norm(other) for other in group]
        assert float(found[place]) == pytest.approx(np.mean(cosines), abs=1e-5)
    same = emitted[:1].repeat(2, 1, 1, 1)
    torch.testing.assert_close(alike(same, 2), torch.ones(2))
