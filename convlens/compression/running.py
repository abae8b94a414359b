"""Batches of what users give, and one batch through a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from convlens.errors import ArgumentError, ConvlensError, ForwardError
from convlens.inputs import as_call, device_of, own_copy
from convlens.similarity.batches import Batch, InputsFrom, Stream
from convlens.similarity.capture import Forward, fitted
from convlens.similarity.reduce import first_tensor

__all__ = ["Batches", "predictions", "run_batch"]


class Batches:
    """What a user gave, batch by batch.

    Parameters
    ----------
    inputs
        A tensor, tuple or mapping of tensors is split; a loader or another iterable gives batches.
    batch_size, inputs_from
        As for `convlens.compare`.
    forward
        How to run a model on a batch, where calling it would not do.
    called
        What to call the argument in a message.
    """

    def __init__(
        self,
        inputs: Any,
        batch_size: int | None = None,
        inputs_from: InputsFrom | None = None,
        forward: Forward | None = None,
        called: str = "inputs",
    ) -> None:
        if forward is not None and not callable(forward):
            raise ArgumentError(
                f"forward must be a callable(model, inputs), not a {type(forward).__name__}."
            )
        self.forward = forward
        self.called = called
        try:
            self._stream = Stream(inputs, None, batch_size, inputs_from)
        except ArgumentError as error:
            raise ArgumentError(str(error).replace("inputs", called, 1)) from error
        self.total = self._stream.total
        self.drawn = self._stream.drawn

    def __iter__(self) -> Iterator[Batch]:
        while (batch := self._stream.next()) is not None:
            yield batch

    def next(self) -> Batch | None:
        """Return the next batch, None after the last."""
        return self._stream.next()


def run_batch(model: nn.Module, batch: Batch, forward: Forward | None = None) -> Any:
    """Run `model` in eval mode without gradients on a copy of a batch.

    To be called inside ``untouched(model)``.

    Raises
    ------
    ForwardError
        If the model raises; the exception is its ``__cause__``.
    """
    given = fitted(own_copy(batch.inputs, device_of(model)), model)
    with suppress(NotImplementedError):  # exported programs have one mode only
        model.eval()
    try:
        with torch.no_grad():
            if forward is not None:
                return forward(model, given)
            args, kwargs = as_call(model, given, drawn=batch.drawn)
            return model(*args, **kwargs)
    except ConvlensError:
        raise
    except Exception as error:
        said = str(error).strip().split("\n")[0]
        raise ForwardError(f"The model raised {type(error).__name__} ({said})") from error


def predictions(output: Any, n: int) -> Tensor | None:
    """Return the scores of the classes, (n, classes) in float32; None where there are none."""
    scores = first_tensor(output)
    if scores is None or scores.dim() != 2 or scores.shape[0] != n or scores.shape[1] < 2:
        return None
    if not scores.is_floating_point():
        return None
    return scores.detach().float()
