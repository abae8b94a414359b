"""A model to run while its owner trains the original."""

from __future__ import annotations

import copy
from typing import Any, cast

from torch import Tensor, nn

from convlens.errors import ModelError
from convlens.untouched import spared_alike

__all__ = ["duplicate", "replica"]


def replica(model: nn.Module) -> nn.Module:
    """Copy a model's modules and buffers, and share its parameters.

    Modes, hooks and buffers of the replica are its own. Values and gradients are not: where another
    thread may train the original meanwhile, `duplicate` it.

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
    try:
        return spared_alike(copy.deepcopy(model, memo | _computed(model)), model)
    except Exception:  # noqa: BLE001 - of a user's __deepcopy__, or of what cannot be copied
        return model


def duplicate(model: nn.Module) -> nn.Module:
    """Copy a model with weights of its own.

    Raises
    ------
    ModelError
        It cannot be copied.
    """
    try:
        return spared_alike(copy.deepcopy(model, _computed(model)), model)
    except Exception as error:
        said = str(error).strip().split("\n")[0]
        raise ModelError(f"This {type(model).__name__} cannot be copied ({said}).") from error


def _computed(model: nn.Module) -> dict[int, Any]:
    """Return copies of the weights that prune and weight_norm leave on modules, by identity."""
    return {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in cast(dict[str, object], vars(module)).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
