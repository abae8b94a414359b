"""Train small networks, put their filters into a database, and make the summary that ships.

    python scripts/train_filterdb.py build/small-nets.h5 --summary

Twenty-six networks of the demo's shape on scikit-learn's digits (on those that come with convlens
where scikit-learn is not installed), of several widths, tasks, seeds and penalties, two of them not
trained at all. On one machine the same call gives the same weights. It takes some minutes of one
core; `--steps` stops each training early, for a test.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from convlens import demo, filterdb  # noqa: E402
from convlens.demo.network import ResidualBlock  # noqa: E402

TITLE = "small networks trained by the convlens project, not a sample of the world"
START = 0.2
"""What initial kernels are multiplied by."""

SUMMARY = ROOT / "convlens" / "filterdb" / "summary.npz"


class SmallNet(nn.Module):
    """A residual CNN like the demo's, of any width; one output map for images, else logits."""

    def __init__(self, width: int, classes: int | None) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width)
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        before = width
        for place, own in enumerate(widths):
            stride = 2 if place == 2 and classes is not None else 1
            stages += [ResidualBlock(before, own, stride), ResidualBlock(own, own, 1)]
            before = own
        self.stages = nn.Sequential(*stages)
        head: list[nn.Module]
        if classes is None:
            head = [nn.Conv2d(before, 1, 3, padding=1)]
        else:
            head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes)]
        self.head = nn.Sequential(*head)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, 1, 8, 8) to logits, or to images."""
        return self.head(self.stages(F.relu(self.bn1(self.conv1(x)))))


@dataclass(frozen=True)
class Recipe:
    """How one network is trained: SGD with Nesterov momentum .9 over one learning-rate cycle."""

    task: str
    width: int = 12
    seed: int = 0
    l1: float = 0.0
    epochs: int = 6

    @property
    def name(self) -> str:
        """What the database calls it."""
        sparse = ", L1" if self.l1 else ""
        return f"{self.task}, width {self.width}{sparse}, seed {self.seed}"


@dataclass(frozen=True)
class Task:
    """What a network learns: images and labels in, batch and target and loss out."""

    classes: int | None
    category: str
    make: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def _rotated(x: Tensor, y: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    turns = torch.randint(4, (len(x),), generator=draw)
    whole = cast("list[int]", turns.tolist())
    return torch.stack([x[i].rot90(k, (1, 2)) for i, k in enumerate(whole)]), turns


def _noisy(x: Tensor, y: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    return x + 0.7 * torch.randn(x.shape, generator=draw), x


def _given(x: Tensor, y: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    return x, y


def _parity(x: Tensor, y: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    return x, y % 2


TASKS = {
    "digits": Task(10, "classification", _given),
    "parity": Task(2, "classification", _parity),
    "rotation": Task(4, "self-supervised", _rotated),
    "denoising": Task(None, "image to image", _noisy),
    "random labels": Task(10, "memorising", _given),
    "untrained": Task(10, "none", _given),
}

RECIPES = (
    *(Recipe("digits", w, s, l1) for w in (6, 8, 12) for l1 in (0.0, 1e-3) for s in (0, 1)),
    *(Recipe("parity", 8, seed) for seed in (0, 1)),
    *(Recipe("rotation", width, seed) for width in (6, 10) for seed in (0, 1)),
    *(Recipe("denoising", width, seed) for width, seed in ((6, 0), (8, 0), (8, 1))),
    *(Recipe("random labels", width, seed) for width, seed in ((8, 0), (8, 1), (12, 0))),
    *(Recipe("untrained", width) for width in (8, 12)),
)


def read_images() -> tuple[Tensor, Tensor]:
    """Return digits to train on, (n, 1, 8, 8) as the demo normalises them, and their labels."""
    try:
        from convlens.demo.make import read_digits

        digits = read_digits()
    except ImportError:
        shown = demo.load()
        return shown.images, shown.labels
    return digits.normalise(digits.images), digits.labels.long()


def train(recipe: Recipe, images: Tensor, labels: Tensor, steps: int | None = None) -> SmallNet:
    """Train one network; the global random state is left alone."""
    task = TASKS[recipe.task]
    draw = torch.Generator().manual_seed(recipe.seed)
    if recipe.task == "random labels":
        labels = torch.randint(10, labels.shape, generator=draw)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order would give other bits
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            model = SmallNet(recipe.width, task.classes).train()
            if recipe.task != "untrained":
                _fit(model, recipe, task, images, labels, draw, steps)
    finally:
        torch.set_num_threads(threads)
    return model.eval()


def _fit(
    model: SmallNet,
    recipe: Recipe,
    task: Task,
    images: Tensor,
    labels: Tensor,
    draw: torch.Generator,
    steps: int | None,
) -> None:
    kernels = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():  # normalised after: small, what is learned soon outweighs the start
        for weight in kernels:
            weight.mul_(START)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    total = recipe.epochs * -(-len(images) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=total, pct_start=0.2)
    done = 0
    while done < min(total, steps or total):
        for batch in torch.randperm(len(images), generator=draw).split(64):
            if done >= min(total, steps or total):
                break
            x, target = task.make(images[batch], labels[batch], draw)
            found = model(x)
            loss = (
                F.mse_loss(found, target)
                if task.classes is None
                else F.cross_entropy(found, target)
            )
            if recipe.l1:
                loss = loss + recipe.l1 * torch.stack([w.abs().sum() for w in kernels]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1


def write(
    path: Path,
    recipes: Iterable[Recipe] = RECIPES,
    steps: int | None = None,
    progress: Any = None,
) -> filterdb.FilterDB:
    """Train the networks one after the other, and write their filters; those there are skipped."""
    images, labels = read_images()
    chosen = list(recipes)

    def maker(recipe: Recipe) -> Callable[[], SmallNet]:
        return lambda: train(recipe, images, labels, steps)

    about = {
        recipe.name: {
            "Task": recipe.task,
            "Visual Category": "digits",
            "Kind": TASKS[recipe.task].category,
            "Training-Dataset": "scikit-learn digits",
            **{k: v for k, v in asdict(recipe).items() if k != "task"},
        }
        for recipe in chosen
    }
    models = {recipe.name: maker(recipe) for recipe in chosen}
    return filterdb.export(models, path, about, progress=progress)


def main() -> None:
    """Train, write, summarise."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("path", type=Path, help="the database to write")
    parser.add_argument("--steps", type=int, help="stop each training after so many steps")
    parser.add_argument("--summary", action="store_true", help="write the summary that ships")
    chosen = parser.parse_args()
    chosen.path.parent.mkdir(parents=True, exist_ok=True)
    db = write(chosen.path, steps=chosen.steps, progress=True)
    print(db)
    if chosen.summary:
        trained = db.select("Task != 'untrained'")
        trained.summary(TITLE, by="Kind").save(SUMMARY)
        print(f"{SUMMARY.relative_to(ROOT)}: {SUMMARY.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
