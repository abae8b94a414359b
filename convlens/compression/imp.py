"""Iterative magnitude pruning: train, prune, rewind, again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, cast

from torch import nn

from convlens.compression.duplicate import duplicate
from convlens.compression.prunable import LayerNames, find_prunable
from convlens.compression.prune import check_amount, check_scope
from convlens.compression.pruning import Plan, Progress, Pruning
from convlens.compression.trainer import Trainer, accuracy_of
from convlens.errors import ArgumentError, nearest

__all__ = ["imp"]

REWINDS = ("lr", "weights", None)


def imp(
    model: nn.Module,
    train: Trainer | Callable[..., Any],
    rounds: int,
    amount: float,
    rewind: str | None = "lr",
    *,
    rewind_to: int = 0,
    scope: str = "global",
    structured: bool = False,
    layers: LayerNames | None = None,
    trained: bool = False,
    evaluate: Any = None,
    checkpoint: str | PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | bool | None = None,
) -> Pruning:
    """Prune iteratively: train, prune the smallest weights, rewind, train again.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is; a copy is trained.
    train : Trainer or callable(model) or callable(model, round)
        A :class:`convlens.compression.Trainer`, or your own function, which trains the model in
        place. It makes a new optimiser each time it is called.
    rounds : int
        How often to prune. Round 0 trains the dense network and prunes nothing.
    amount : float
        Share of the weights alive that each round prunes, as for :func:`prune`.
    rewind : {"lr", "weights", None}, default "lr"
        What training goes back to after pruning. "lr": the learning rate's schedule starts again
        and weights go on from where they are (Renda et al. 2020). "weights": weights and buffers
        too go back to where they were (lottery ticket, Frankle and Carbin 2019). None: fine-tuning
        at the schedule's last rate. For a function of your own "lr" and None are the same: it is
        called again, and what it does with the rate is its own affair.
    rewind_to : int, default 0
        The epoch to go back to; for a `Trainer`.
    scope, structured, layers : optional
        As for :func:`prune`.
    trained : bool, default False
        The model is trained already: round 0 measures it as it is.
    evaluate : callable(model), (Tensor, Tensor) or DataLoader, optional
        Gives the accuracy of a round: a function, or inputs and labels.
    checkpoint : str or path, optional
        A folder for one safetensors file per round. Called again with the same folder and settings
        the rounds in it are read, and the others done.
    seed : int, default 0
        Each round seeds the generators of Python, NumPy and torch from it and its number, and puts
        yours back afterwards: a run that was killed and resumed gives the same bits on the CPU.
    progress : bool or callable, optional
        True for a bar on standard error, or called as ``progress(done, total, label)``; False as
        its answer stops.

    Returns
    -------
    Pruning
        Nothing has run yet: iterate over it for one :class:`Round` after the other.

    Raises
    ------
    ArgumentError
        If an argument cannot be used; while iterating, if nothing is left to prune.
    CheckpointError
        While iterating: if a checkpoint is damaged, of another network or of other settings, or
        cannot be written.
    ModelError
        If `model` is no module or cannot be copied; while iterating, if `train` changed a mask.
    UnknownLayerError
        If `layers` names one that is not there.
    Cancelled
        While iterating: if `progress` returned False.

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> data = (digits.images[:256], digits.labels[:256])
    >>> trainer = cl.compression.Trainer(data, epochs=1)
    >>> pruning = cl.compression.imp(digits.model, trainer, 2, 0.5, trained=True, evaluate=data)
    >>> [round(one.sparsity, 2) for one in pruning]
    [0.0, 0.5, 0.75]

    Notes
    -----
    Masks are those of ``torch.nn.utils.prune``. A pruned weight stays 0 whatever momentum and
    weight decay do, since the optimiser moves ``weight_orig`` and the network multiplies with the
    mask; after each round what is pruned is zeroed there as well.

    References
    ----------
    A. Renda, J. Frankle, M. Carbin, "Comparing Rewinding and Fine-tuning in Neural Network
    Pruning", ICLR 2020. J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis", ICLR 2019.
    """
    _check_whole("rounds", rounds, 0)
    _check_whole("rewind_to", rewind_to, 0)
    _check_whole("seed", seed, 0)
    amount = check_amount(amount)
    check_scope(scope)
    if not callable(train):
        raise ArgumentError(
            f"train must be a Trainer or a callable(model), not a {type(train).__name__}."
        )
    if rewind not in REWINDS:
        raise ArgumentError(
            f"rewind must be 'lr', 'weights' or None, not {rewind!r}."
            f"{nearest(rewind, ('lr', 'weights'))}"
        )
    _check_rewind(train, rewind_to, trained=trained, rewind=rewind)
    copied = duplicate(model)
    weights = find_prunable(copied, layers, structured=structured)
    plan = Plan(rounds, amount, scope, structured, rewind, rewind_to, seed, trained)
    return Pruning(
        copied,
        weights,
        train,
        plan,
        _evaluator(evaluate),
        None if checkpoint is None else Path(checkpoint),
        _Bar() if progress is True else progress or None,
    )


def _check_whole(called: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"{called} must be a whole number from {least}, not {value!r}.")


def _check_rewind(train: object, rewind_to: int, *, trained: bool, rewind: str | None) -> None:
    if not rewind_to:
        return
    if not isinstance(train, Trainer):
        raise ArgumentError(
            "rewind_to needs a Trainer, whose epochs convlens sees: a function of your own starts "
            "where it likes."
        )
    if rewind_to >= train.epochs:
        raise ArgumentError(f"rewind_to must lie below the {train.epochs} epochs, not {rewind_to}.")
    if trained and rewind == "weights":
        raise ArgumentError(
            "rewind_to with rewind='weights' needs the dense network's training: trained=False."
        )


def _evaluator(evaluate: Any) -> Callable[[nn.Module], float] | None:
    if evaluate is None or callable(evaluate):
        return cast("Callable[[nn.Module], float] | None", evaluate)
    return lambda model: accuracy_of(model, evaluate)


class _Bar:
    """A bar on standard error, drawn over itself."""

    def __call__(self, done: int, total: int | None, label: str) -> None:
        share = done / total if total else 0.0
        full = round(30 * share)
        end = "\n" if total and done >= total else ""
        bar = "#" * full + "-" * (30 - full)
        sys.stderr.write(f"\r[{bar}] {100 * share:3.0f} % {label:<48}{end}")
        sys.stderr.flush()
