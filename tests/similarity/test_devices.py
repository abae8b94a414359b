"""Models on different devices: taken where the measure can, refused in one sentence where not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from convlens.errors import ArgumentError
from convlens.similarity import Comparison, compare
from tests.similarity.test_compare import Small, noise


def away(model: Any) -> torch.device:
    """Say of the wide one that it is on a GPU."""
    return torch.device("cuda", 0) if model.second.in_channels == 5 else torch.device("cpu")


def test_models_on_different_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convlens.similarity.sides.device_of", away)
    x = noise(16, 2, 9, 9)
    with pytest.raises(ArgumentError) as raised:
        compare(Small(), x, Small(5), measure="mean_cca")
    assert str(raised.value) == (
        "The model is on cpu and the reference on cuda:0, and mean_cca needs what both emit on one "
        "device: pass reference.to('cpu'), or measure='cka', for which each runs on its own."
    )
    notes = Comparison(Small(), x, Small(5)).notes
    assert notes == ["models on cpu and cuda:0: each runs on its own device"]
    assert Comparison(Small(), x, Small(), measure="mean_cca").notes == []


@pytest.mark.parametrize("measure", ["cka", "mean_cca"])
@pytest.mark.parametrize("which", ["model", "reference"])
def test_a_model_without_values_is_refused(which: str, measure: str) -> None:
    model, reference = Small(), Small(5)
    (model if which == "model" else reference).to("meta")
    with pytest.raises(ArgumentError, match=f"^The {which} is on the meta device"):
        compare(model, noise(16, 2, 9, 9), reference, measure=measure)


def test_switching_needs_one_device_too(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = Comparison(Small(), noise(16, 2, 9, 9), Small(5), layers="convs")
    assert comparison.step()
    monkeypatch.setattr("convlens.similarity.sides.device_of", away)
    # sums are kept of minibatch CKA, whatever the devices: nothing else can be made of them
    assert "needs all samples" in str(comparison.why_not("cka_debiased"))
