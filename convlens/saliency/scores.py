"""What a model says of its inputs: class, probability, and whether it says anything at all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convlens.errors import ForwardError

__all__ = ["Said", "said_by"]


@dataclass(frozen=True)
class Said:
    """The scores of some inputs, read.

    Attributes
    ----------
    scores
        As the model gives them, (n, ...), on the CPU.
    probabilities
        (n, classes), where there is one score per input and class: the softmax of the scores, or
        these where they are probabilities; of a single score its logistic function.
    predicted
        (n,), the class with the highest score.
    """

    scores: Tensor
    probabilities: Tensor | None
    predicted: Tensor | None

    @property
    def classes(self) -> int | None:
        """How many classes there are; None where the scores are no classes'."""
        return None if self.probabilities is None else self.scores.shape[1]


def said_by(scores: Tensor, first: int = 0) -> Said:
    """Read scores.

    Parameters
    ----------
    scores : Tensor
        (n, classes), or of any other shape.
    first : int, default 0
        The place of the first among all inputs, for a message.

    Raises
    ------
    ForwardError
        Some are NaN.
    """
    scores = scores.detach()
    if scores.is_quantized:
        scores = scores.dequantize()
    scores = scores.cpu().float()
    if bool(scores.isnan().any()):
        wrong = first + int(scores.flatten(1).isnan().any(1).nonzero()[0])
        raise ForwardError(
            f"The model's outputs for input {wrong} are NaN: look at its weights and at the scale "
            "of the inputs."
        )
    if scores.dim() != 2:
        return Said(scores, None, None)
    if scores.shape[1] == 1:
        return Said(scores, torch.sigmoid(scores), torch.zeros(len(scores), dtype=torch.long))
    sums = scores.sum(1)
    given = bool((scores >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())
    probabilities = scores if given else torch.softmax(scores, 1)
    return Said(scores, probabilities, scores.argmax(1))
