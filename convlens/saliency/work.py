"""The rows of an attribution, run in parts that fit into memory and leave room for a click."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from convlens.saliency.baselines import Baseline
from convlens.saliency.probe import Place, Probe
from convlens.similarity.capture import is_out_of_memory
from convlens.similarity.memory import available

__all__ = ["Parts", "Rows", "Steps", "Work", "rows_at_once"]

T = TypeVar("T")
Steps = Generator[None, None, T]

# Bytes kept for the backward pass in one step: on a CPU some tens of milliseconds, so that a click
# waits no longer and caches still help; an accelerator wants more.
_STEP_ON_CPU = 64_000_000
_STEP_ELSEWHERE = 2_000_000_000
_MOST = 1024


@dataclass(frozen=True)
class Rows:
    """Inputs with what belongs to each.

    Attributes
    ----------
    x
        What attributions are for, (n, ...).
    index
        The place of each among all inputs, (n,), on the CPU.
    target
        The class of each, on the device of `x`; None where the model gives one number per input.
    extra
        Further arguments of the module, which attributions are not for.
    """

    x: Tensor
    index: Tensor
    target: Tensor | None = None
    extra: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, chosen: slice) -> Rows:
        return self.take(torch.arange(len(self))[chosen])

    def take(self, chosen: Tensor) -> Rows:
        """Return the rows at these places, repeats allowed."""
        there = chosen.to(self.x.device)
        return Rows(
            self.x[there],
            self.index[chosen],
            None if self.target is None else self.target[there],
            tuple(part[there] for part in self.extra),
        )

    @property
    def leaf(self) -> Tensor:
        """The values as a tensor that gradients are taken with respect to."""
        return self.x.detach().requires_grad_()

    def repeated(self, times: int) -> Rows:
        """Return each row `times` times, one after the other."""
        return self.take(torch.arange(len(self)).repeat_interleave(times))

    def at(self, x: Tensor) -> Rows:
        """Return the same rows with other values."""
        return replace(self, x=x)


@dataclass
class Parts:
    """Runs rows in parts, and halves the parts when memory runs out.

    Attributes
    ----------
    rows
        At most so many forward passes at once.
    done
        Forward passes run so far.
    notes
        What was out of the ordinary.
    """

    rows: int
    done: int = 0
    notes: list[str] = field(default_factory=list[str])

    def spread(
        self,
        total: int,
        compute: Callable[[int, int], T],
        take: Callable[[int, int, T], None],
        weight: int = 1,
    ) -> Steps[None]:
        """Compute `total` rows in parts.

        Parameters
        ----------
        total : int
        compute : callable(start, stop)
            Of the rows from start to stop. May be called again for a part of them.
        take : callable(start, stop, found)
            Keeps what was found: parts that are done are not done again.
        weight : int, default 1
            How many forward passes one row stands for.
        """
        start = 0
        while start < total:
            most = max(1, self.rows // weight)
            # even parts: 50 rows by 32 are 25 and 25
            left = total - start
            stop = start + -(-left // -(-left // most))
            try:
                found = compute(start, stop)
            except Exception as error:
                if stop - start == 1 or not is_out_of_memory(error):
                    raise
                self._halve((stop - start) * weight, weight)
                found = None
            if found is None:
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            take(start, stop, found)
            self.done += (stop - start) * weight
            start = stop
            yield

    def _halve(self, rows: int, weight: int) -> None:
        self.rows = max(weight, rows // 2)
        note = "memory ran out: run in smaller parts"
        if note not in self.notes:
            self.notes.append(note)


@dataclass
class Work(Parts):
    """What a method works with.

    Attributes
    ----------
    module
        What is differentiated: ``module(x, *extra)`` gives scores or one number per input.
    probe
        The model as one module; `module` itself but for attributions to a layer.
    baseline
        Of the inputs.
    seed
        Of random draws.
    place, channel
        The layer in question, of methods that are about one, and its channel.
    """

    _: KW_ONLY
    module: nn.Module
    probe: Probe
    baseline: Baseline
    seed: int = 0
    place: Place | None = None
    channel: int | None = None

    def seed_of(self, index: int) -> int:
        """Return the seed of one input's random numbers."""
        return self.seed + 1_000_003 * index

    def generator(self, index: int) -> torch.Generator:
        """Return the random numbers of one input, the same wherever and with whom it is run."""
        return torch.Generator().manual_seed(self.seed_of(index))


# Bytes that one row keeps for the backward pass, by model and then by shape and device.
_known: WeakKeyDictionary[nn.Module, dict[Any, int]] = WeakKeyDictionary()


def rows_at_once(probe: Probe, x: Tensor, least: int, gradients: bool) -> int:
    """Return how many rows to run at once, from what one keeps in memory and what is free.

    Parameters
    ----------
    probe : Probe
    x : Tensor
        The inputs, (n, ...); the first is run where its size is not known yet.
    least : int
        So many rows are wanted at most; few are not worth measuring.
    gradients : bool
        Whether the backward pass will be needed.
    """
    if least <= 4:
        return max(1, least)
    sizes = _known.setdefault(probe.model, {})
    key = (tuple(x.shape[1:]), str(x.device), x.dtype)
    if key not in sizes:
        sizes[key] = _kept_by(probe, x[:1])
    per_row = max(sizes[key], x[:1].nbytes)
    step = _STEP_ON_CPU if x.device.type == "cpu" else _STEP_ELSEWHERE
    if not gradients:
        step *= 3  # without the backward pass, a third of the time
    free = available(x.device)
    if free is not None:
        step = min(step, free // 4)
    return max(1, min(_MOST, least, step // per_row))


def _kept_by(probe: Probe, x: Tensor) -> int:
    own = {id(tensor) for tensor in (*probe.model.parameters(), *probe.model.buffers())}
    seen: set[tuple[int, int]] = set()
    total = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal total
        place = (tensor.data_ptr(), tensor.nbytes)
        if id(tensor) not in own and place not in seen:
            seen.add(place)
            total += tensor.nbytes
        return tensor

    with (
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        output = probe(x.detach().clone().requires_grad_())
    del output
    return total
