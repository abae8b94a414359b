"""A model to run while its owner trains the original."""

from __future__ import annotations

import copy
from typing import Any, cast

from torch import Tensor, nn

__all__ = ["replica"]


def replica(model: nn.Module) -> nn.Module:
    """Copy a model's modules and buffers, and share its parameters.

    A forward pass for the Lens puts modules into eval mode and hooks into them. On a replica a
    training loop in the notebook, on another thread, notices nothing of that.

    Parameters
    ----------
    model
        The original.

    Returns
    -------
    torch.nn.Module
        The replica; the model itself where its modules cannot be copied.
    """
    # deepcopy takes what the memo holds for its copy
    memo: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    for module in model.modules():
        for value in cast(dict[str, object], vars(module)).values():
            # torch.nn.utils.prune and weight_norm leave a computed weight on the module
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach()
    try:
        return copy.deepcopy(model, memo)
    except Exception:  # noqa: BLE001 - of a user's __deepcopy__, or of what cannot be copied
        return model
