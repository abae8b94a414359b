"""Train the demo models and write what `convlens.demo.load` reads.

    python -m convlens.demo.make

needs scikit-learn, whose digits it trains on, and about half a minute of one core. On one machine
the same seed gives the same weights, bit for bit.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlens.demo import FOLDER, WHITE, load
from convlens.demo.network import DigitNet

HELD_OUT = 540
"""Images kept out of training, 30 % of the 1,797, in the proportions of the classes."""


@dataclass(frozen=True)
class Recipe:
    """How a variant is trained: SGD with Nesterov momentum .9 over one learning-rate cycle."""

    epochs: int
    weight_decay: float
    l1: float = 0.0
    learning_rate: float = 0.1
    batch: int = 64


RECIPES: Mapping[str, Recipe] = {
    "good": Recipe(epochs=30, weight_decay=5e-4),
    # Held down so hard for so long that only what the digits need survives.
    "redundant": Recipe(epochs=60, weight_decay=2e-2, l1=3e-4),
}


@dataclass(frozen=True)
class Digits:
    """scikit-learn's digits, split: pixels uint8 (n, 8, 8) from 0 to 16, labels uint8 (n,)."""

    images: Tensor
    labels: Tensor
    held_out_images: Tensor
    held_out_labels: Tensor

    @property
    def mean(self) -> float:
        """Mean of the training pixels on the scale from 0 to 1."""
        return (self.images.double() / WHITE).mean().item()

    @property
    def std(self) -> float:
        """Standard deviation of the training pixels on the scale from 0 to 1."""
        return (self.images.double() / WHITE).std().item()

    def normalise(self, images: Tensor) -> Tensor:
        """Turn pixels (n, 8, 8) into what the model wants, float32 (n, 1, 8, 8)."""
        return (images.float().unsqueeze(1) / WHITE - self.mean) / self.std


def read_digits(seed: int = 0) -> Digits:
    """Read and split scikit-learn's digits."""
    from sklearn import datasets, model_selection  # only making the demo needs scikit-learn

    bunch = cast(Any, datasets.load_digits())
    split = cast(Any, model_selection.train_test_split)
    train, held_out = split(
        np.arange(len(bunch.target)),
        test_size=HELD_OUT,
        stratify=bunch.target,
        random_state=seed,
    )
    images = torch.from_numpy(bunch.images.astype(np.uint8))
    labels = torch.from_numpy(bunch.target.astype(np.uint8))
    return Digits(images[train], labels[train], images[held_out], labels[held_out])


def train(recipe: Recipe, digits: Digits, *, seed: int = 0, steps: int | None = None) -> DigitNet:
    """Train the demo network; `steps` stops early, for a test. The global RNG is left alone."""
    images, labels = digits.normalise(digits.images), digits.labels.long()
    generator = torch.Generator().manual_seed(seed)
    with _deterministic(seed):
        model = DigitNet().train()
        kernels = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=recipe.learning_rate,
            momentum=0.9,
            weight_decay=recipe.weight_decay,
            nesterov=True,
        )
        total = recipe.epochs * -(-len(images) // recipe.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=total, pct_start=0.2
        )
        for batch in islice(_batches(len(images), recipe.batch, generator), steps or total):
            logits = model(_shift(images[batch], generator))
            loss = F.cross_entropy(logits, labels[batch])
            if recipe.l1:
                loss = loss + recipe.l1 * torch.stack([w.abs().sum() for w in kernels]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def write(folder: Path, *, seed: int = 0) -> None:
    """Train every variant and write weights and held-out digits into `folder`."""
    digits = read_digits(seed)
    np.savez_compressed(
        folder / "digits.npz",
        images=digits.held_out_images.numpy(),
        labels=digits.held_out_labels.numpy(),
        mean=np.float64(digits.mean),
        std=np.float64(digits.std),
    )
    for variant, recipe in RECIPES.items():
        torch.save(train(recipe, digits, seed=seed).state_dict(), folder / f"{variant}.pt")


@contextmanager
def _deterministic(seed: int) -> Generator[None]:
    # One thread: sums in another order would give other bits.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _batches(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(n, generator=generator).split(size)


def _shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move a batch by up to one pixel each way; what comes in is the background."""
    down, right = cast(list[int], torch.randint(0, 3, (2,), generator=generator).tolist())
    height, width = images.shape[-2:]
    padded = F.pad(images, (1, 1, 1, 1), value=images.min().item())
    return padded[..., down : down + height, right : right + width]


def main() -> None:
    """Make the demo's files and print each variant's accuracy."""
    parser = argparse.ArgumentParser(description="Train the demo models of convlens.")
    parser.add_argument("--seed", type=int, default=0, help="default 0, as shipped")
    seed: int = parser.parse_args().seed
    write(FOLDER, seed=seed)
    for variant in RECIPES:
        demo = load(variant)
        share = f"{demo.accuracy:.2%} of {len(demo.labels)} held-out digits"
        print(f"{variant}: {share}, {(FOLDER / f'{variant}.pt').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
