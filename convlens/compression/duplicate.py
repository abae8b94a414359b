"""A copy of a model to be changed, so that the one that was given stays as it is."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from convlens.errors import ModelError
from convlens.tree import check_model, kind_of, walk

__all__ = ["duplicate"]


def duplicate(model: nn.Module) -> nn.Module:
    """Copy `model`, out of wrappers such as DataParallel, without its gradients.

    Weights that are shared in the model are shared in the copy. Weights that a hook computes at
    each call (pruning, the older weight_norm) are no leaves of autograd, which deepcopy refuses:
    the copy gets their values, and its hooks compute them anew.

    Raises
    ------
    ModelError
        If something in the model cannot be copied.
    """
    inner = walk(check_model(model)).model
    memo: dict[int, Any] = {}
    for module in inner.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    for tensor in (*inner.parameters(), *inner.buffers()):
        if tensor.is_leaf and tensor.grad is not None:
            memo[id(tensor.grad)] = None
    try:
        return copy.deepcopy(inner, memo)
    except Exception as error:
        raise ModelError(
            f"This {kind_of(inner)} cannot be copied, so that yours would stay as it is "
            f"({type(error).__name__}: {error})."
        ) from error
