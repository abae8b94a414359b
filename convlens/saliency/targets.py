"""What an attribution is of: a class, the predicted one, the true label, any number at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from convlens.errors import ArgumentError, ForwardError, nearest

__all__ = ["Goal", "Readout", "Target", "as_goal", "logits_of", "read", "scores_of"]

Readout = Callable[[Any], Tensor]
Target = int | Literal["predicted", "label"] | Sequence[int] | Tensor | Readout | None

_WORDS = ("predicted", "label")


@dataclass(frozen=True)
class Goal:
    """A target as given, checked as far as is possible without running the model.

    Attributes
    ----------
    indices
        One class per input, where they are known ahead.
    predicted
        The predicted class of each input.
    readout
        Takes the model's outputs and gives one number per input.
    """

    indices: Tensor | None = None
    predicted: bool = False
    readout: Readout | None = None

    def resolve(self, predicted: Tensor | None, classes: int | None, shape: Sequence[int]) -> Any:
        """Return the class of each input, None for a callable, once the outputs are known.

        Raises
        ------
        ArgumentError
            A class that the model does not have, or outputs that hold no classes.
        """
        if self.readout is not None:
            return None
        if classes is None or predicted is None:
            sizes = " x ".join(str(size) for size in shape)
            raise ArgumentError(
                f"The outputs are {sizes}, not one score per input and class: pass target= a "
                "callable that takes them and gives one number per input."
            )
        if self.indices is None:
            return predicted
        wrong = (self.indices < 0) | (self.indices >= classes)
        if bool(wrong.any()):
            raise ArgumentError(
                f"target is {int(self.indices[wrong][0])}; this model has {classes} classes, "
                f"0 to {classes - 1}."
            )
        return self.indices


def as_goal(target: Any, labels: Any, n: int) -> Goal:
    """Check a target against the number of inputs.

    Parameters
    ----------
    target : int, "predicted", "label", sequence of int, Tensor, callable or None
        None is the predicted class.
    labels : sequence of int or Tensor, optional
        The true class of each input, for "label".
    n : int
        Number of inputs.

    Raises
    ------
    ArgumentError
        It is none of these, or does not fit the inputs.
    """
    if target is None or (isinstance(target, str) and target == "predicted"):
        return Goal(predicted=True)
    if isinstance(target, str):
        if target != "label":
            raise ArgumentError(
                f"target is {target!r}; it must be a class index, 'predicted', 'label', one index "
                f"per input or a callable.{nearest(target, _WORDS)}"
            )
        if labels is None:
            raise ArgumentError("target='label' needs labels=, the true class of each input.")
        return Goal(indices=_indices(labels, n, "labels"))
    if callable(target) and not isinstance(target, Tensor):
        return Goal(readout=cast("Readout", target))
    return Goal(indices=_indices(target, n, "target"))


def _indices(given: Any, n: int, called: str) -> Tensor:
    try:
        found = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"{called} is {given!r}; it must be a class index or one index per input."
        ) from error
    if found.is_floating_point() or found.is_complex() or found.dtype is torch.bool:
        raise ArgumentError(
            f"{called} holds {str(found.dtype).removeprefix('torch.')} numbers; classes are "
            "given by whole numbers."
        )
    found = found.detach().cpu().long()
    if found.dim() == 0 and called == "target":
        return found.expand(n).clone()
    if found.dim() != 1 or len(found) != n:
        shape = " x ".join(str(size) for size in found.shape) or "a single number"
        raise ArgumentError(f"{called} is {shape}, and there are {n} inputs: give one class each.")
    return found


def logits_of(outputs: Any) -> Tensor:
    """Return the tensor of scores among a model's outputs.

    Raises
    ------
    ForwardError
        There is none.
    """
    if isinstance(outputs, Tensor):
        return outputs
    kind = type(outputs).__name__
    if isinstance(outputs, Mapping):
        named = cast("Mapping[str, Any]", outputs)
        for name in ("logits", "out", "output"):
            if isinstance(named.get(name), Tensor):
                return named[name]
        parts = list(named.values())
    elif isinstance(outputs, (list, tuple)):
        parts = list(cast("Sequence[Any]", outputs))
    else:
        parts = []
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if not tensors:
        raise ForwardError(
            f"The model returns a {kind} without a tensor of scores: pass "
            "target= a callable that takes it and gives one number per input."
        )
    return tensors[0]


def scores_of(outputs: Any, n: int) -> Tensor:
    """Return the scores as (n, ...), a single column for one number per input."""
    logits = logits_of(outputs)
    if logits.dim() == 0 or logits.shape[0] != n:
        sizes = " x ".join(str(size) for size in logits.shape) or "a single number"
        raise ForwardError(
            f"The model returns {sizes} for {n} inputs: its first dimension must be the inputs'."
        )
    return logits[:, None] if logits.dim() == 1 else logits


def read(readout: Readout, outputs: Any, n: int) -> Tensor:
    """Return the number per input that a target callable gives, checked."""
    found = readout(outputs)
    if not isinstance(found, Tensor) or found.numel() != n or found.shape[:1] != (n,):
        what = (
            " x ".join(str(size) for size in found.shape) or "a single number"
            if isinstance(found, Tensor)
            else f"a {type(found).__name__}"
        )
        raise ArgumentError(
            f"The target callable must give one number per input, a tensor of {n}; it gave {what}."
        )
    if not found.is_floating_point():
        raise ArgumentError(
            "The target callable must give real numbers that a gradient can be taken of, not "
            f"{str(found.dtype).removeprefix('torch.')}."
        )
    return found.reshape(n)
