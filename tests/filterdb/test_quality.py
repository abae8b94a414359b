"""Quality, phenotypes, summaries, and one model against them."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from convlens import filterdb
from convlens.filterdb.coefficients import Coefficients
from convlens.filterdb.phenotype import classify
from convlens.filterdb.summary import DEPTHS
from tests.filterdb import direct, files
from tests.models import CifarResNet, trained
from tests.untouched import differences, fingerprint

pytest.importorskip("tables")


@pytest.fixture(scope="module")
def demo_db(tmp_path_factory: pytest.TempPathFactory) -> filterdb.FilterDB:
    models = {name: cl.demo.load(name).model for name in cl.demo.VARIANTS}
    return filterdb.export(models, tmp_path_factory.mktemp("demo") / "demo.h5")


def test_figures_are_those_of_measure_quality(demo_db: filterdb.FilterDB) -> None:
    frame = demo_db.quality().frame.set_index(["Name", "layer"])
    for variant in cl.demo.VARIANTS:
        for key, expected in cl.measure_quality(cl.demo.load(variant).model).items():
            if expected.kernel != (3, 3):
                continue
            found: Any = frame.loc[variant, key]
            assert found["sparsity"] == pytest.approx(expected.sparsity, abs=1e-9)
            for name in ("variance_entropy", "variance_entropy_normalized", "p_random"):
                assert found[name] == pytest.approx(getattr(expected, name), abs=2e-6), name
            clean = expected.variance_entropy_clean
            assert found["variance_entropy_clean"] == pytest.approx(clean, abs=2e-6)
            assert found["l2_norm"] == pytest.approx(expected.l2, rel=1e-5)
            assert found["largest_weight"] == pytest.approx(expected.max_abs)
            assert found["exact_zeros"] == pytest.approx(expected.exact_zeros)


def test_figures_of_resnet20_are_the_published_ones(tmp_path: Path) -> None:
    db = filterdb.export({"net": trained("resnet20")}, tmp_path / "a.h5")
    frame = db.quality().frame.set_index("layer")
    golden = {
        "conv1": (48, 0.1250, 0.625841, 0.706176),
        "layer1.2.conv1": (256, 0.1250, 0.898722, 0.952735),
        "layer2.0.conv1": (512, 0, 0.783658, 0.826647),
        "layer3.2.conv2": (4096, 0.0154, 0.413796, 0.435087),
    }
    names = ["filters", "sparsity", "variance_entropy", "variance_entropy_normalized"]
    for key, expected in golden.items():
        found: Any = frame.loc[key, names]
        assert found.tolist() == pytest.approx(expected, rel=1e-5, abs=2e-5)


def test_layers_larger_than_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convlens.filterdb.part.CHUNK", 100)
    data = files.filters()
    data[::7] *= 1e-4
    db = filterdb.open(files.write(tmp_path / "a.h5", data))
    frame = db.quality().frame
    start = 0
    for place, size in enumerate(files.SIZES):
        layer = data[start : start + size]
        start += size
        row = frame.iloc[place]
        assert row["sparsity"] == pytest.approx(direct.sparsity(layer), abs=1e-12)
        if size > 1:
            assert row["variance_entropy"] == pytest.approx(direct.entropy(layer), abs=1e-8)


def test_phenotypes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 4000
    sun = rng.standard_normal((n, 9))
    few = rng.standard_normal((6, 9))
    spikes = few[rng.integers(0, 6, n)] + 0.01 * rng.standard_normal((n, 9))
    symbol = sun * 0.3 + np.where(rng.random((n, 1)) < 0.5, 1, -1) * np.ones(9)
    point = np.where(rng.random((n, 1)) < 0.8, 1e-4, 1) * rng.standard_normal((n, 9))
    small = rng.standard_normal((20, 9))
    layers = [sun, spikes, symbol, point, small]
    sizes = tuple(map(len, layers))
    data = np.concatenate(layers).reshape(-1, 3, 3).astype(np.float32)
    db = filterdb.open(files.write(tmp_path / "a.h5", data, files.frame(sizes)))
    found = db.phenotype()
    words = found.frame["phenotype"].tolist()
    assert words == ["sun", "spikes", "symbol", "point", "unclear"]
    assert repr(found) == "Phenotypes(1 sun, 1 spikes, 1 symbol, 1 point, 1 unclear)"
    coefficients: Coefficients = db.coefficients()
    assert set(classify(coefficients, np.zeros(5))) >= {"spikes", "bimodality", "off_centre"}


def test_a_summary_comes_back_and_is_small(demo_db: filterdb.FilterDB, tmp_path: Path) -> None:
    made = demo_db.summary("two nets", by="Name")
    made.save(tmp_path / "s.npz")
    assert (tmp_path / "s.npz").stat().st_size < 200_000
    again = filterdb.Summary.load(tmp_path / "s.npz")
    assert (again.title, again.groups, again.models) == ("two nets", made.groups, 2)
    assert (again.counts == made.counts).all()
    assert again.span == made.span
    assert np.allclose(again.bands, made.bands, equal_nan=True)
    assert again.coefficients("good").n[0] == demo_db.select(Name="good").n
    with pytest.raises(cl.ArgumentError, match="Did you mean 'good'"):
        again.coefficients("god")
    (tmp_path / "s.npz").write_bytes(b"nothing")
    with pytest.raises(filterdb.FilterDBError, match="holds no Summary"):
        filterdb.Summary.load(tmp_path / "s.npz")


def test_bands_are_quantiles_and_ranks_are_shares(demo_db: filterdb.FilterDB) -> None:
    made = demo_db.summary()
    frame = demo_db.quality().frame
    for depth in (0.0, 0.5, 1.0):
        near = frame[(frame["conv_depth_norm"] - depth).abs() <= 0.1 + 1e-9]
        values = near[near["filters"] >= 16]["sparsity"]
        place = int(np.argmin(np.abs(DEPTHS - depth)))
        expected = np.quantile(values, [0.05, 0.5, 0.95])
        assert made.band("sparsity")[:, place] == pytest.approx(expected, abs=1e-12)
        ranks = [made.rank("sparsity", depth, v) for v in sorted(values)]
        assert ranks == sorted(ranks)
        assert made.rank("sparsity", depth, -1) == 0
        assert made.rank("sparsity", depth, 2) == 1
    assert np.isnan(made.rank("entropy", 0.5, float("nan")))
    with pytest.raises(cl.ArgumentError, match="sparsity or entropy"):
        made.band("H")


def test_the_summary_that_ships() -> None:
    made = filterdb.shipped()
    assert "trained by the convlens project" in made.title
    assert made.models >= 20
    assert np.isfinite(made.bands).all()
    file = Path(filterdb.__file__).parent / "summary.npz"
    assert file.stat().st_size < 200_000


def test_a_model_against_the_summary() -> None:
    model = cl.demo.load("redundant").model
    before = fingerprint(model)
    found = filterdb.drift(model)
    assert differences(before, fingerprint(model)) == []
    assert [layer.key for layer in found.layers][:2] == ["conv1", "layer1.0.conv1"]
    assert len(found.to_frame()) == 13
    worst = min(found.layers, key=lambda layer: layer.entropy_rank)
    assert worst.text.startswith(f"{worst.key} is less diverse than ")
    assert 0 <= worst.entropy_rank < 0.1  # it was made so
    assert not found.whole.is_noise
    summary = filterdb.shipped()
    pca = summary.pca
    layer: Any = model.get_submodule("layer2.0.conv2")
    rows = layer.weight.detach().numpy().reshape(-1, 3, 3)
    own = (direct.scaled(rows) - pca.mean) @ pca.components.T
    counts = np.stack([np.histogram(column.clip(*summary.span), 70, summary.span)[0]
                       for column in own.T])  # fmt: skip
    place = found.coefficients.names.index("layer2.0.conv2")
    assert np.abs(found.coefficients.counts[place] - counts).sum() <= 2


def test_against_a_database_by_depth_and_against_a_model(demo_db: filterdb.FilterDB) -> None:
    good, redundant = (cl.demo.load(name).model for name in cl.demo.VARIANTS)
    near = filterdb.drift(good, demo_db, group="depth")
    assert [layer.group for layer in near.layers[:1]] == ["depth 0.0"]
    itself = filterdb.drift(good, good)
    assert itself.whole.drift == pytest.approx(0, abs=1e-12)
    other = filterdb.drift(redundant, good)
    assert other.whole.drift > other.whole.floor_high
    assert other.pca is not None
    assert other.pca.n == itself.whole.n


def test_in_steps_that_can_be_left() -> None:
    model = CifarResNet(1)
    before = fingerprint(model)
    work = filterdb.begin_drift(model)
    assert work.step()
    assert (work.done, work.total) == (0, 7)
    assert differences(before, fingerprint(model)) == []
    work.close()
    assert len(filterdb.begin_drift(model).result().layers) == 7


def test_what_cannot_be_compared() -> None:
    with pytest.raises(cl.ArgumentError, match="no convolution of 3 x 3 to compare"):
        filterdb.drift(nn.Sequential(nn.Conv2d(3, 4, 5)))
    with pytest.raises(cl.ArgumentError, match="no group 'al'"):
        filterdb.drift(CifarResNet(1), group="al")
    with pytest.raises(cl.Cancelled):
        filterdb.drift(CifarResNet(1), progress=lambda work: False)
    broken = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    with torch.no_grad():
        for layer, place in ((broken[0], (0, 0, 0, 0)), (broken[1], ())):
            layer.get_parameter("weight")[place] = float("nan")
    found = filterdb.drift(broken)
    assert found["0"].left_out == 1
    assert np.isnan(found["1"].drift)
    assert found["1"].is_noise


def test_figures_are_drawn(demo_db: filterdb.FilterDB) -> None:
    quality = demo_db.quality()
    groups = {name: part.pca() for name, part in demo_db.group_by("Name").items()}
    from convlens.filterdb.plots import plot_explained_variance

    drawn = [
        demo_db.pca().plot(),
        plot_explained_variance(groups),
        demo_db.coefficients(by="Name").plot(),
        demo_db.drift(by="layer").plot(),
        demo_db.drift(by="layer", against=filterdb.shipped()).plot(),
        quality.plot(by="Name"),
        quality.plot_box(by="Name", figure="variance_entropy"),
        filterdb.drift(cl.demo.load().model).plot(),
    ]
    for figure in drawn:
        figure.draw_without_rendering()
    assert len(drawn[2].axes) == 9
    assert [len(ax.lines) for ax in drawn[2].axes] == [2] * 9  # a ridge for each group


@pytest.mark.parametrize(
    "name",
    ["database", "depth", "export", "job", "model_drift", "pickles", "reading", "summary", "sums"],
)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(f"convlens.filterdb.{name}")
    done = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert done.failed == 0
    assert done.attempted
