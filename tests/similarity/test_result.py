"""What `compare` gives: frames, figures, files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from convlens import demo
from convlens.errors import ArgumentError, UnknownLayerError
from convlens.similarity import Similarity, compare


@pytest.fixture(scope="module")
def found() -> Similarity:
    good, redundant = demo.load(), demo.load("redundant")
    return compare(
        good.model,
        good.images[:64],
        redundant.model,
        layers=["conv1", "layer1.*.conv?", "layer3.1.relu2"],
        titles=("good", "redundant"),
    )


def test_frame_is_labelled_by_its_layers(found: Similarity) -> None:
    frame = found.to_frame()
    assert tuple(frame.index) == found.rows
    assert tuple(frame.columns) == found.columns
    assert (frame.index.name, frame.columns.name) == ("good", "redundant")
    assert frame.loc["conv1", "layer1.0.conv1"] == found.value("conv1", "layer1.0.conv1")
    with pytest.raises(UnknownLayerError, match="Did you mean 'conv1'"):
        found.value("conv", "conv1")


def test_diagonal_pairs_namesakes(found: Similarity) -> None:
    diagonal = found.diagonal()
    assert tuple(diagonal.index) == found.rows
    np.testing.assert_array_equal(diagonal["similarity"], found.matrix.diagonal())
    np.testing.assert_array_equal(diagonal["stderr"], found.stderr.diagonal())
    short = dataclasses.replace(
        found, matrix=found.matrix[:2], stderr=found.stderr[:2], row_layers=found.row_layers[:2]
    )
    with pytest.raises(ArgumentError, match="There is no diagonal"):
        short.diagonal()


def test_export_has_torch_ckas_keys_and_names_in_order(found: Similarity) -> None:
    exported = found.export()
    assert set(exported) == {
        "model1_name",
        "model2_name",
        "CKA",
        "model1_layers",
        "model2_layers",
        "dataset1_name",
        "dataset2_name",
    }
    assert exported["CKA"].shape == (len(found.rows), len(found.columns))
    assert exported["model1_layers"] == list(found.rows)
    assert exported["dataset1_name"] == "tensor 64 x 1 x 8 x 8"


def test_save_and_load_give_back_everything(found: Similarity, tmp_path: Path) -> None:
    found.save(tmp_path / "kept")
    again = Similarity.load(tmp_path / "kept")
    for field in dataclasses.fields(found):
        one, other = getattr(found, field.name), getattr(again, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other, field.name
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    with pytest.raises(ArgumentError, match="holds no Similarity"):
        Similarity.load(tmp_path / "other.npz")


def test_plot_draws_on_a_given_axes_and_on_none(found: Similarity) -> None:
    axes = found.plot().get_axes()[0]
    assert isinstance(axes, Axes)
    assert axes.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(found.rows)
    given = Figure().subplots()
    assert found.plot(given, fit=True) is given.figure
    assert given.images[-1].get_clim()[1] <= 1


def test_cells_without_a_value_are_hatched() -> None:
    dead = nn.Conv2d(2, 2, 3)
    nn.init.zeros_(dead.weight)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), dead)
    found = compare(model, torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(0)))
    assert np.isnan(found.matrix).sum() == 3
    assert sum(patch.get_hatch() is not None for patch in found.plot().get_axes()[0].patches) == 3
    assert "1" in found._repr_html_()


def test_representations_are_short_and_say_the_estimator(found: Similarity) -> None:
    assert repr(found).startswith("Similarity(good and redundant: 6 x 6 layers; CKA, minibatch")
    assert len(repr(found)) < 200
    assert "n = 64 in 2 batches of 32" in found._repr_html_()
