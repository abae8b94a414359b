"""The paper's pipeline, equal to what plain NumPy, SciPy and scikit-learn make of it.

By torch, and by the compiled loops that otherwise only large databases are worth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convlens import filterdb
from convlens.filterdb import compiled
from tests.filterdb import direct, files
from tests.models import trained

pytest.importorskip("tables")


@pytest.fixture(autouse=True, params=["torch", "compiled"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "compiled":
        pytest.importorskip("numba")
        monkeypatch.setattr("convlens.filterdb.scan.ENOUGH", 0)
    else:
        monkeypatch.setattr(compiled, "serves", lambda taps: False)
    return request.param


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """ResNet-20 and ResNet-32 of the shared data: the database, and their filters in memory."""
    models = {"ResNet-20": trained("resnet20"), "ResNet-32": trained("resnet32")}
    db = filterdb.export(models, tmp_path_factory.mktemp("resnets") / "resnets.h5")
    raw = {
        name: [
            weight.detach().numpy().reshape(-1, 3, 3)
            for weight in model.state_dict().values()
            if weight.dim() == 4
        ]
        for name, model in models.items()
    }
    return db.path, raw


@pytest.fixture
def resnets(exported: Any) -> Any:
    path, raw = exported
    return filterdb.open(path), raw  # which remembers nothing of another engine's figures


def everything(raw: dict[str, list[Any]]) -> Any:
    return np.concatenate([layer for layers in raw.values() for layer in layers])


def test_all_filters_are_there_in_the_order_of_the_network(resnets: Any) -> None:
    db, raw = resnets
    assert db.n == sum(len(layer) for layers in raw.values() for layer in layers) == 80_992
    for row, layer in zip(db.layers.index, raw["ResNet-20"] + raw["ResNet-32"], strict=True):
        assert (db.read(row) == layer).all()


def test_pca(resnets: Any) -> None:
    db, raw = resnets
    found, expected = db.pca(), direct.pca(everything(raw))
    assert np.abs(found.mean - expected.mean_).max() < 1e-8
    assert np.abs(found.components - direct.signed(expected.components_)).max() < 1e-8
    ratio = expected.explained_variance_ratio_
    assert np.abs(found.explained_variance_ratio - ratio).max() < 1e-8
    assert np.abs(found.explained_variance / expected.explained_variance_ - 1).max() < 1e-8


def test_histograms_and_drift_between_models(resnets: Any) -> None:
    db, raw = resnets
    fitted = direct.pca(everything(raw))
    one, other = (direct.coefficients(np.concatenate(layers), fitted) for layers in raw.values())
    both = np.concatenate([one, other])
    span = float(both.min()), float(both.max())
    found = db.coefficients(by="model")
    assert found.span == pytest.approx(span, abs=1e-10)
    for values, counts in zip((one, other), found.counts, strict=True):
        expected = [np.histogram(column, 70, span)[0] for column in values.T]
        assert np.abs(counts - np.stack(expected)).sum() <= 2  # one at an edge, to the last bit
    drift = db.drift(by="model").value("ResNet-20", "ResNet-32")
    expected = direct.drift(one, other, fitted.explained_variance_ratio_, span)
    assert drift == pytest.approx(expected, abs=1e-8)


def test_drift_between_all_layers(resnets: Any) -> None:
    db, raw = resnets
    fitted = direct.pca(everything(raw))
    layers = [direct.coefficients(layer, fitted) for layer in raw["ResNet-20"] + raw["ResNet-32"]]
    span = float(min(c.min() for c in layers)), float(max(c.max() for c in layers))
    found = db.drift(by="layer")
    ratio = fitted.explained_variance_ratio_
    for i, j in ((0, 1), (3, 18), (0, 49), (20, 30)):
        expected = direct.drift(layers[i], layers[j], ratio, span)
        assert found.matrix[i, j] == pytest.approx(expected, abs=1e-8)
        assert found.matrix[j, i] == found.matrix[i, j]


def test_figures_do_not_depend_on_threads_or_chunks(
    resnets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, _ = resnets
    reference = filterdb.open(db.path, workers=1)
    expected = reference.pca(), reference.coefficients(by="model")
    monkeypatch.setattr("convlens.filterdb.part.CHUNK", 1000)
    for workers in (1, 2, 5):
        other = filterdb.open(db.path, workers=workers)
        assert np.abs(other.pca().components - expected[0].components).max() < 1e-12
        assert (other.coefficients(by="model").counts == expected[1].counts).all()


@pytest.mark.parametrize("taps", [(3, 3), (5, 5), (1, 7), (2, 2)])
def test_other_sizes(tmp_path: Path, taps: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    data = rng.standard_normal((sum(files.SIZES), *taps)).astype(np.float64)
    db = filterdb.open(files.write(tmp_path / "a.h5", data))
    assert db.kernel == taps
    expected = direct.pca(data)
    assert np.abs(db.pca().components - direct.signed(expected.components_)).max() < 1e-8
    one = direct.coefficients(data[:311], expected)
    other = direct.coefficients(data[311:], expected)
    both = np.concatenate([one, other])
    span = float(both.min()), float(both.max())
    wanted = direct.drift(one, other, expected.explained_variance_ratio_, span)
    assert db.drift(by="Name").value("resnet", "vgg") == pytest.approx(wanted, abs=1e-8)
