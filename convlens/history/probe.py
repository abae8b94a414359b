"""What layers make of one fixed batch, kept so that moments of training can be compared by CKA."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convlens.similarity.batches import part
from convlens.similarity.batches import samples as samples_in
from convlens.similarity.capture import capture
from convlens.similarity.gram import centred_gram, triangle, u_centred
from convlens.similarity.selection import select

__all__ = ["Probe", "alike"]

Values = npt.NDArray[np.float32]


class Probe:
    """A batch on which a model's layers are looked at again and again.

    Parameters
    ----------
    model : torch.nn.Module
    keys : sequence of str
        Keys of layers, in the order of the rows of `take`.
    batch, drawn
        As `convlens.inputs.first_batch` gives them.
    samples : int
        At most so many of the batch.
    forward : callable(model, batch), optional
    """

    def __init__(
        self,
        model: nn.Module,
        keys: Sequence[str],
        batch: Any,
        samples: int,
        drawn: bool,
        forward: Callable[[nn.Module, Any], Any] | None,
    ) -> None:
        n = samples_in(batch)
        self._n = min(n, samples)
        self._batch = part(batch, n, 0, self._n)
        self._drawn, self._forward = drawn, forward
        self._selection = select(model, [key.partition(":")[0] for key in keys])
        self._rows: dict[tuple[str, int], int] = {}
        for place, key in enumerate(keys):
            name, _, call = key.partition(":")
            self._rows[name, int(call or 0)] = place
        self._count = len(keys)

    def take(self) -> Values:
        """Return the U-centred Gram matrix of each layer above its diagonal, unit length.

        Returns
        -------
        ndarray
            float32 (layers, n (n - 1) / 2), NaN where a layer gave nothing that varies.
        """
        n = self._n
        table = torch.full((self._count, n * (n - 1) // 2), torch.nan)

        def profile(x: Tensor, module: nn.Module) -> Tensor:
            gram = centred_gram(x.flatten(1).float())
            u = triangle(u_centred(gram.values))
            varies: Any = gram.values.diagonal().sum() > gram.limit
            if not bool(varies):
                return torch.full_like(u, math.nan)
            return torch.nn.functional.normalize(u, dim=0, eps=0.0)

        emissions = capture(
            self._selection, self._batch, n, profile, drawn=self._drawn, forward=self._forward
        )
        for emission in emissions:
            row = self._rows.get((emission.name, emission.call))
            source = emissions[emission.same_as] if emission.same_as is not None else emission
            if row is not None and source.taken is not None:
                table[row] = source.taken.cpu()
        found: Any = table.numpy()
        return found


def alike(one: Values, other: Values) -> Values:
    """Return the unbiased CKA of each row of one with the same row of the other."""
    return (one.astype(np.float64) * other).sum(1).astype(np.float32)
