"""Rounds of training and pruning, each whole on disk before the next begins."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from convlens.compression.checkpoint import read_checkpoint, remove_parts, write_checkpoint
from convlens.compression.duplicate import duplicate
from convlens.compression.prunable import Prunable, counts, set_mask
from convlens.compression.prune import prune_weights
from convlens.compression.trainer import Trainer
from convlens.errors import Cancelled, CheckpointError, ModelError
from convlens.untouched import rng_keeper

__all__ = ["Plan", "Pruning", "Round"]

Progress = Callable[[int, int | None, str], bool | None]
State = dict[str, Tensor]


@dataclass(frozen=True)
class Round:
    """A network after one round of iterative pruning.

    Attributes
    ----------
    number : int
        0 is the dense network.
    sparsity : float
        Share of the weights that can be pruned which are.
    alive, total : int
        The same in numbers of weights.
    accuracy : float or None
        What `evaluate` gave.
    layers : dict
        Key of a layer -> share of its weights that is pruned.
    losses : tuple of float
        Mean training loss of each epoch, of a `Trainer`.
    resumed : bool
        Read from a checkpoint.
    model : torch.nn.Module
        A copy of the network in eval mode, with its masks.
    """

    number: int
    sparsity: float
    alive: int
    total: int
    accuracy: float | None
    layers: dict[str, float] = field(repr=False)
    losses: tuple[float, ...] = field(default=(), repr=False)
    resumed: bool = False
    model: nn.Module = field(default_factory=nn.Module, repr=False, compare=False)


@dataclass(frozen=True)
class Plan:
    """What every round does.

    Attributes
    ----------
    rounds, amount, scope, structured, rewind, rewind_to, seed, trained
        As `imp` takes them.
    """

    rounds: int
    amount: float
    scope: str
    structured: bool
    rewind: str | None
    rewind_to: int
    seed: int
    trained: bool


class Pruning:
    """Iterative magnitude pruning under way: iterate over it for one `Round` after the other.

    Attributes
    ----------
    model : torch.nn.Module
        The network that is trained and pruned: a copy of the one that was given, the same object
        through all rounds, so that a Lens upon it follows them.
    rounds : list of Round
        Those that are done.
    """

    def __init__(
        self,
        model: nn.Module,
        weights: Sequence[Prunable],
        train: Callable[..., Any],
        plan: Plan,
        evaluate: Callable[[nn.Module], float] | None,
        folder: Path | None,
        progress: Progress | None,
    ) -> None:
        self.model = model
        self.rounds: list[Round] = []
        self._weights, self._train, self._plan = list(weights), train, plan
        self._evaluate, self._folder, self._progress = evaluate, folder, progress
        self._start: State = self._state()
        for weight in self._weights:  # the structure stays the same from here on
            set_mask(weight, weight.mask)

    def __len__(self) -> int:
        return self._plan.rounds + 1

    def __repr__(self) -> str:
        state = f"{len(self.rounds)} of {len(self)} rounds done"
        last = f", sparsity {self.rounds[-1].sparsity:.3f}" if self.rounds else ""
        return f"Pruning({state}{last})"

    def __iter__(self) -> Iterator[Round]:
        """Do the rounds that are left; those on disk come first, as they are."""
        if not self.rounds and self._folder is not None:
            remove_parts(self._folder)
            yield from self._resume()
        while len(self.rounds) < len(self):
            yield self._next()

    # -- one round ---------------------------------------------------------------------------

    def _next(self) -> Round:
        number = len(self.rounds)
        before, masks = self._state(), [weight.mask.clone() for weight in self._weights]
        try:
            with _seeded(self._plan.seed, number, self._train):
                if number:
                    self._prune()
                self.model.zero_grad(set_to_none=True)
                losses = self._trained(number)
                accuracy = None if self._evaluate is None else float(self._evaluate(self.model))
            done = self._described(number, accuracy, losses)
            if self._folder is not None:
                write_checkpoint(self._path(number), self._contents(number), self._header(done))
        except BaseException:  # half a round is none: the next call does it from its beginning
            self._load(before)
            for weight, mask in zip(self._weights, masks, strict=True):
                set_mask(weight, mask)
            raise
        self.rounds.append(done)
        self._tell(number, f"round {number} done")
        return done

    def _trained(self, number: int) -> tuple[float, ...]:
        if number == 0 and self._plan.trained:
            return ()
        masks = [weight.mask.clone() for weight in self._weights]
        self.model.train()
        if isinstance(self._train, Trainer):
            losses = self._by_trainer(self._train, number)
        else:
            _call(self._train, self.model, number)
            losses = ()
        for weight, mask in zip(self._weights, masks, strict=True):
            kept = getattr(weight.modules[0], "weight_mask", None)
            if not isinstance(kept, Tensor) or not torch.equal(kept != 0, mask):
                raise ModelError(
                    f"train changed the mask of {weight.key}: leave weight_mask as it is, and call "
                    "torch.nn.utils.prune.remove after the last round."
                )
            self._clean(weight)
        return losses

    def _by_trainer(self, trainer: Trainer, number: int) -> tuple[float, ...]:
        plan = self._plan
        again = number > 0
        per_round = trainer.epochs

        def after(epoch: int, loss: float) -> None:
            if number == 0 and plan.rewind == "weights" and epoch == plan.rewind_to:
                self._start = self._state()
            label = f"round {number}, epoch {epoch} of {per_round}, loss {loss:.4f}"
            self._tell(number, label, epoch / per_round)

        constant = again and plan.rewind is None
        return trainer(
            self.model, start=plan.rewind_to if again else 0, constant=constant, after=after
        )

    def _prune(self) -> None:
        """Prune, and put the weights back where the dense network's were if that is wanted."""
        plan = self._plan
        prune_weights(self._weights, plan.amount, plan.scope, structured=plan.structured)
        if self._plan.rewind == "weights":
            self._load(self._start)
        for weight in self._weights:
            self._clean(weight)

    @staticmethod
    def _clean(weight: Prunable) -> None:
        """Zero the trained values of what is pruned, which momentum or decay may have moved."""
        weight.trained.mul_(weight.mask)
        set_mask(weight, weight.mask)

    # -- what is kept ------------------------------------------------------------------------

    def _state(self) -> State:
        """Copy all tensors of the model but the masks, by their names without those."""
        named = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        return {
            name.removesuffix("_orig") if name.endswith("weight_orig") else name: t.detach().clone()
            for name, t in named.items()
            if not name.endswith("weight_mask")
        }

    def _load(self, state: State) -> None:
        named = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        with torch.no_grad():
            for name, tensor in named.items():
                plain = name.removesuffix("_orig") if name.endswith("weight_orig") else name
                if plain in state:
                    tensor.copy_(state[plain])

    def _described(
        self, number: int, accuracy: float | None, losses: tuple[float, ...], resumed: bool = False
    ) -> Round:
        alive, total = counts(self._weights)
        layers = {w.key: 1 - float(w.mask.double().mean()) for w in self._weights}
        return Round(
            number=number,
            sparsity=1 - alive / total,
            alive=alive,
            total=total,
            accuracy=accuracy,
            layers=layers,
            losses=losses,
            resumed=resumed,
            model=duplicate(self.model).eval(),
        )

    # -- checkpoints -------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return cast("Path", self._folder) / f"round-{number:03d}.safetensors"

    def _contents(self, number: int) -> State:
        found = {f"model.{name}": tensor for name, tensor in self._state().items()}
        for weight in self._weights:
            found[f"mask.{weight.key}"] = weight.mask
        if number == 0 and self._plan.rewind == "weights":
            found.update({f"start.{name}": tensor for name, tensor in self._start.items()})
        return found

    def _header(self, done: Round) -> dict[str, Any]:
        settings = {k: v for k, v in asdict(self._plan).items() if k != "rounds"}
        return {
            "what": "imp",
            "round": done.number,
            "settings": settings,
            "layers": [weight.key for weight in self._weights],
            "accuracy": done.accuracy,
            "losses": list(done.losses),
        }

    def _resume(self) -> Iterator[Round]:
        """Read the rounds that are on disk, and hand them out."""
        for number in range(len(self)):
            path = self._path(number)
            if not path.exists():
                break
            tensors, header = read_checkpoint(path)
            self._check(path, tensors, header, number)
            if number == 0 and self._plan.rewind == "weights":
                self._start = _part(tensors, "start.")
            self._load(_part(tensors, "model."))
            masks = _part(tensors, "mask.")
            for weight in self._weights:
                set_mask(weight, masks[weight.key])
            losses = tuple(float(loss) for loss in header["losses"])
            done = self._described(number, header["accuracy"], losses, resumed=True)
            self.rounds.append(done)
            yield done

    def _check(self, path: Path, tensors: State, header: dict[str, Any], number: int) -> None:
        """Refuse a checkpoint of another network or of other settings."""
        known = self._header(replace(_NO_ROUND, number=number))
        for name in ("what", "round", "layers"):
            if header.get(name) != known[name]:
                raise CheckpointError(
                    f"{str(path)!r} is of another pruning (its {name} differ): pass another folder."
                )
        given = cast("dict[str, Any]", header.get("settings") or {})
        for name, value in known["settings"].items():
            if given.get(name) != value:
                raise CheckpointError(
                    f"{str(path)!r} was made with {name}={given.get(name)!r}, not {value!r}: pass "
                    "the same, or another folder."
                )
        wanted = self._contents(number)
        for name in sorted(wanted.keys() | tensors.keys()):
            one, other = (t.get(name) for t in (wanted, tensors))
            if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
                raise CheckpointError(
                    f"{str(path)!r} is of another network ({name} differs): pass another folder."
                )
        if not {"accuracy", "losses"} <= header.keys():
            raise CheckpointError(f"{str(path)!r} lacks a part: delete it to do its round again.")

    def _tell(self, number: int, label: str, share: float = 1.0) -> None:
        """Report progress, in thousandths of a round; False as the answer stops."""
        if self._progress is None:
            return
        done = int(1000 * (number + share))
        if self._progress(done, 1000 * len(self), label) is False:
            raise Cancelled(f"Pruning was stopped in round {number}; what is on disk is whole.")


_NO_ROUND = Round(0, 0.0, 0, 0, None, {})


def _part(tensors: State, prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _call(train: Callable[..., Any], model: nn.Module, number: int) -> None:
    """Call a user's function with the number of the round where it takes two arguments."""
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)
    try:
        places = [p for p in signature(train).parameters.values() if p.kind in kinds]
    except (TypeError, ValueError):
        places = []
    wide = len(places) > 1 or any(p.kind is Parameter.VAR_POSITIONAL for p in places)
    train(model, number) if wide else train(model)


@contextmanager
def _seeded(seed: int, number: int, train: object) -> Generator[None]:
    """Seed every generator for one round, so that it is the same after a kill; restore them."""
    restore = rng_keeper()
    value = seed * 1_000_003 + number
    try:
        random.seed(value)
        np.random.seed(value % 2**32)  # noqa: NPY002 - what a user's function may draw from
        torch.manual_seed(value)
        if isinstance(train, Trainer) and isinstance(train.data, DataLoader):
            loader = cast("DataLoader[Any]", train.data)
            owners: list[Any] = [loader, loader.sampler, loader.batch_sampler]
            for owner in owners:
                generator = getattr(owner, "generator", None)
                if isinstance(generator, torch.Generator):
                    generator.manual_seed(value)
        yield
    finally:
        restore()
