"""The right class of each input, given beside the inputs or drawn with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from convlens.errors import ArgumentError
from convlens.similarity.batches import Batch

__all__ = ["Labels"]


class Labels:
    """Labels for batches in their order.

    Parameters
    ----------
    labels : Tensor, sequence of int or None
        One whole number per input; None takes what a loader gives after the inputs, if it does.
    inputs
        Where they belong to, to compare lengths at once where both are tensors.
    """

    def __init__(self, labels: Any, inputs: Any) -> None:
        self._all = None if labels is None else _checked(labels)
        if self._all is not None and isinstance(inputs, Tensor) and len(inputs) != len(self._all):
            raise ArgumentError(
                f"labels holds {len(self._all)} and inputs {len(inputs)} samples: one label each."
            )

    def of(self, batch: Batch, start: int) -> Tensor | None:
        """Return the labels of a batch whose first sample is number `start`; None without."""
        if self._all is not None:
            found = self._all[start : start + batch.n]
            if len(found) < batch.n:
                raise ArgumentError(
                    f"labels ends after {len(self._all)}, and inputs holds more samples: one each."
                )
            return found
        if not batch.drawn or not isinstance(batch.inputs, (tuple, list)):
            return None
        parts = cast("Sequence[Any]", batch.inputs)
        last = parts[-1] if len(parts) > 1 else None
        if not isinstance(last, Tensor) or last.dim() != 1 or len(last) != batch.n:
            return None
        return None if last.is_floating_point() or last.is_complex() else last.long().cpu()

    def check_end(self, n: int) -> None:
        """Refuse labels that are left over."""
        if self._all is not None and len(self._all) != n:
            raise ArgumentError(
                f"labels holds {len(self._all)} and inputs {n} samples: one label each."
            )


def _checked(labels: Any) -> Tensor:
    try:
        found = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(
            f"labels must be one whole number per input, not a {type(labels).__name__}."
        ) from error
    if found.dim() != 1 or found.is_floating_point() or found.is_complex():
        shape = " x ".join(map(str, found.shape)) or "a single number"
        raise ArgumentError(
            "labels must be one whole number per input, not "
            f"{str(found.dtype).removeprefix('torch.')} of shape {shape}."
        )
    return found.long().cpu()
