"""Cells that put a model in a Lens."""

from __future__ import annotations

from tests.models import SHARED

READ = "print(lens.view, lens.layer, lens.channel, lens.eps)"
"""What a person chose, as the next cell reads it."""


CIFAR = f"""
import numpy as np, torch
data = np.load("{SHARED}/cifar10/test_256.npz")
images = torch.tensor(data["images"]).float() / 255
images = (images - torch.tensor([.485, .456, .406])[:, None, None]) / torch.tensor(
    [.229, .224, .225])[:, None, None]
labels = torch.tensor(data["labels"]).long()
"""
"""256 images of the shared data and their labels."""

SLOWLY = """
import time
class Slowly:
    def __init__(self, batches):
        self.batches, self.drawn, self.seconds = list(batches), 0, 4
    def __len__(self):
        return len(self.batches)
    def __iter__(self):
        for index, batch in enumerate(self.batches):
            if index > 1:
                time.sleep(self.seconds)
            self.drawn += 1
            yield batch
"""
"""Two batches at once, then such that take their time until a cell sets `seconds`: there is
something to stop, also where it takes long until somebody does."""


def digits(variant: str = "good", options: str = "") -> str:
    """Return a cell with the demo model, called `model`, in a Lens called `lens`."""
    return f"""
from convlens import Lens, demo
model = demo.load("{variant}").model
lens = Lens(model, name="DigitNet"{_more(options)})
lens
"""


def trained(name: str, options: str = "") -> str:
    """Return the same for a network of the shared data, of which `tests.models` knows the path."""
    return f"""
from convlens import Lens
from tests import models
model = models.trained("{name}")
lens = Lens(model, name="{name}"{_more(options)})
lens
"""


def _more(options: str) -> str:
    return f", {options}" if options else ""
