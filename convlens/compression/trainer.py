"""A small trainer: loss, optimiser, schedule, epochs, early stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from convlens.errors import ArgumentError
from convlens.inputs import as_call, device_of

__all__ = ["Trainer", "accuracy_of", "labelled_batches"]

Optimizer = torch.optim.Optimizer
AfterEpoch = Callable[[int, float], None]


def sgd(parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return SGD with rate 0.1, momentum 0.9 and weight decay 1e-4: what ResNets are trained by."""
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-4)


def one_cosine(optimizer: Optimizer, epochs: int) -> Any:
    """Return a schedule that falls from the optimiser's rate to nearly 0 as half a cosine."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda epoch: 0.5 * (1 + math.cos(math.pi * min(epoch, epochs) / epochs))
    )


@dataclass(frozen=True)
class Trainer:
    """How to train a classifier; called with a model it trains that.

    Parameters
    ----------
    data : (Tensor, Tensor), DataLoader or other iterable
        Inputs and labels, which are shuffled and split, or batches of (inputs, labels).
    epochs : int
        Passes over the data.
    loss : callable(outputs, labels), default cross-entropy
    optimizer : callable(parameters), optional
        Makes the optimiser. Default: SGD with rate 0.1, momentum 0.9 and weight decay 1e-4.
    schedule : callable(optimizer), optional
        Makes a scheduler of ``torch.optim.lr_scheduler``, stepped after each epoch. Default: half a
        cosine from the optimiser's rate to 0.
    batch_size : int, default 128
        Of data that are split.
    validation : (Tensor, Tensor), DataLoader or other iterable, optional
        Data for the early stop.
    patience : int, optional
        Stop after so many epochs in which the loss on `validation` has not improved; the weights of
        the best epoch are kept.

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> data = (digits.images[:128], digits.labels[:128])
    >>> trainer = cl.compression.Trainer(data, epochs=1)
    >>> losses = trainer(digits.model)
    >>> len(losses)
    1
    """

    data: Any = field(repr=False)
    epochs: int
    loss: Callable[[Any, Tensor], Tensor] = F.cross_entropy
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = sgd
    schedule: Callable[[Optimizer], Any] | None = None
    batch_size: int = 128
    validation: Any = field(default=None, repr=False)
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            value: object = getattr(self, name)
            if value is None and name == "patience":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ArgumentError(f"{name} must be a whole number above 0, not {value!r}.")
        if self.patience is not None and self.validation is None:
            raise ArgumentError("patience needs validation: data to see when to stop.")

    def __call__(
        self,
        model: nn.Module,
        *,
        start: int = 0,
        constant: bool = False,
        after: AfterEpoch | None = None,
    ) -> tuple[float, ...]:
        """Train `model` in place.

        Parameters
        ----------
        model : torch.nn.Module
        start : int, default 0
            The epoch of the schedule to begin with.
        constant : bool, default False
            Stay at the last learning rate of the schedule: fine-tuning.
        after : callable(epoch, loss), optional
            Called after each epoch.

        Returns
        -------
        tuple of float
            The mean loss of each epoch.
        """
        optimizer = self.optimizer(list(model.parameters()))
        scheduler = self._schedule(optimizer)
        for _ in range(self.epochs - 1 if constant else start):
            optimizer.step()  # without gradients it moves nothing
            scheduler.step()
        losses: list[float] = []
        best, waited, kept = math.inf, 0, None
        for epoch in range(start, self.epochs):
            losses.append(self._epoch(model, optimizer))
            if not constant:
                scheduler.step()
            if after is not None:
                after(epoch + 1, losses[-1])
            if self.patience is None:
                continue
            found = self._validate(model)
            if found < best:
                best, waited = found, 0
                kept = {k: v.detach().clone() for k, v in model.state_dict().items()}
            else:
                waited += 1
            if waited >= self.patience:
                break
        if kept is not None:
            model.load_state_dict(kept)
        return tuple(losses)

    def _schedule(self, optimizer: Optimizer) -> Any:
        return one_cosine(optimizer, self.epochs) if not self.schedule else self.schedule(optimizer)

    def _epoch(self, model: nn.Module, optimizer: Optimizer) -> float:
        model.train()
        total, seen = 0.0, 0
        for inputs, labels in labelled_batches(model, self.data, self.batch_size, shuffle=True):
            optimizer.zero_grad(set_to_none=True)
            loss = self.loss(_run(model, inputs), labels)
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(labels)
            seen += len(labels)
        if not seen:
            raise ArgumentError("data is empty: it must hold at least one batch to train on.")
        return total / seen

    def _validate(self, model: nn.Module) -> float:
        model.eval()
        total, seen = 0.0, 0
        with torch.no_grad():
            for inputs, labels in labelled_batches(model, self.validation, self.batch_size):
                total += float(self.loss(_run(model, inputs), labels)) * len(labels)
                seen += len(labels)
        if not seen:
            raise ArgumentError("validation is empty: it must hold at least one batch.")
        return total / seen


def labelled_batches(
    model: nn.Module, data: Any, batch_size: int = 128, *, shuffle: bool = False
) -> Iterator[tuple[Any, Tensor]]:
    """Give inputs and labels in batches on the model's device.

    The order is drawn from torch's global generator, or by the loader as it was made.
    """
    device = device_of(model) or torch.device("cpu")
    pair = cast("Sequence[Any]", data) if isinstance(data, (tuple, list)) else ()
    if len(pair) == 2 and all(isinstance(part, Tensor) for part in pair):
        inputs, labels = cast("tuple[Tensor, Tensor]", tuple(pair))
        if len(inputs) != len(labels):
            raise ArgumentError(
                f"data holds {len(inputs)} inputs and {len(labels)} labels: one label each."
            )
        order = torch.randperm(len(inputs)) if shuffle else torch.arange(len(inputs))
        for places in torch.split(order, batch_size):
            places = places.to(inputs.device)
            yield inputs[places].to(device), labels[places.to(labels.device)].to(device)
        return
    if not isinstance(data, (DataLoader, Iterable)):
        raise ArgumentError(
            "data must be (inputs, labels) or a loader of such batches, not a "
            f"{type(data).__name__}."
        )
    for batch in cast("Iterable[Any]", data):
        if not isinstance(batch, (tuple, list)) or len(cast("Sequence[Any]", batch)) < 2:
            raise ArgumentError("data must give batches of (inputs, labels).")
        *inputs, labels = cast("Sequence[Any]", batch)
        moved = tuple(x.to(device) if isinstance(x, Tensor) else x for x in inputs)
        yield moved[0] if len(moved) == 1 else moved, labels.to(device)


def accuracy_of(model: nn.Module, data: Any) -> float:
    """Return the share of the labels of `data` that `model` predicts, in eval mode."""
    right = seen = 0
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            for inputs, labels in labelled_batches(model, data):
                right += int((_run(model, inputs).argmax(1) == labels).sum())
                seen += len(labels)
    finally:
        for module, was in training:
            module.training = was
    if not seen:
        raise ArgumentError("evaluate is empty: it must hold at least one batch.")
    return right / seen


def _run(model: nn.Module, inputs: Any) -> Any:
    args, kwargs = as_call(model, inputs, drawn=False)
    return model(*args, **kwargs)
