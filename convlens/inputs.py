"""What users give as inputs, as one batch that can be run without touching theirs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import data
from torch.utils.data import DataLoader, Dataset

from convlens.errors import ArgumentError

__all__ = ["as_call", "device_of", "first_batch"]


def first_batch(inputs: Any) -> tuple[Any, bool]:
    """Return one batch of `inputs`, and whether it was drawn from a data set or loader.

    Parameters
    ----------
    inputs : Tensor, tuple, mapping, DataLoader, Dataset, other iterable, or any object
        A tensor, a tuple and a mapping are a batch. Of a list, loader or other iterable the first
        element is; of a Dataset the first item, with a batch dimension added.

    Raises
    ------
    ArgumentError
        If there is no first batch, or it is text or a NumPy array.
    """
    if isinstance(inputs, (Tensor, tuple, Mapping)):
        return cast("Any", inputs), False
    if isinstance(inputs, (str, bytes)):
        raise ArgumentError(f"inputs must be a batch or a loader of batches, not {inputs!r}.")
    if hasattr(inputs, "__array__"):
        raise ArgumentError(
            f"inputs is a {type(inputs).__name__}: pass torch.as_tensor(inputs), "
            "as float and scaled as the model expects it."
        )
    if isinstance(inputs, Dataset):
        return _first_item(cast("Any", inputs)), True
    if isinstance(inputs, Iterable):
        return _from_iterable(cast("Iterable[Any]", inputs)), True
    return inputs, False


def as_call(model: nn.Module, batch: Any, *, drawn: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments that give `batch` to ``model.forward``.

    Data sets and loaders also give labels, which the model does not take: of a `drawn` tuple as
    many leading elements are passed as ``forward`` requires, and of a `drawn` mapping the keys that
    it knows.
    """
    required, known = _signature(model)
    if isinstance(batch, Mapping):
        named = dict(cast("Mapping[str, Any]", batch))
        if drawn and known is not None and not known.isdisjoint(named):
            named = {key: value for key, value in named.items() if key in known}
        return (), named
    if isinstance(batch, tuple) or (drawn and isinstance(batch, list)):
        parts = tuple(cast("Iterable[Any]", batch))
        return (parts[: max(1, required)] if drawn else parts), {}
    return (batch,), {}


def own_copy(batch: Any, device: torch.device | None) -> Any:
    """Copy the tensors in `batch` to `device`: the first in-place ReLU would change the user's."""
    if isinstance(batch, Tensor):
        return batch.detach().to(batch.device if device is None else device, copy=True)
    if isinstance(batch, Mapping):
        named = cast("Mapping[Any, Any]", batch)
        return {key: own_copy(value, device) for key, value in named.items()}
    if isinstance(batch, (list, tuple)):
        kind = cast("Any", type(cast("Any", batch)))
        parts = [own_copy(value, device) for value in cast("Iterable[Any]", batch)]
        # A named tuple takes its fields one by one.
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
    return batch


def device_of(model: nn.Module) -> torch.device | None:
    """Return the device of the first parameter or buffer; None where there is neither."""
    tensor = next(chain(model.parameters(), model.buffers()), None)
    return None if tensor is None else tensor.device


def _from_iterable(inputs: Iterable[Any]) -> Any:
    if not isinstance(inputs, DataLoader):
        return _first(inputs)
    loader = cast("DataLoader[Any]", inputs)
    # Drawing a batch spends numbers of the loader's own generators; the global ones are the
    # caller's to keep.
    owners: list[Any] = [loader, loader.sampler, loader.batch_sampler]
    found: list[Any] = [getattr(owner, "generator", None) for owner in owners]
    states = [(g, g.get_state()) for g in found if isinstance(g, torch.Generator)]
    try:
        return _first(loader)
    finally:
        for generator, state in states:
            generator.set_state(state)


def _first(inputs: Iterable[Any]) -> Any:
    for batch in inputs:
        return batch
    raise ArgumentError("inputs is empty: it must hold at least one batch.")


def _first_item(dataset: Any) -> Any:
    """Return the first item as a batch of one: data sets hand out samples, loaders batches."""
    if isinstance(dataset, Iterable):
        item = _first(cast("Iterable[Any]", dataset))
    elif hasattr(dataset, "__len__") and len(dataset) == 0:
        item = _first([])
    else:
        item = dataset[0]
    try:
        return data.default_collate([item])
    except TypeError as error:
        raise ArgumentError(
            "inputs is a data set whose items are no tensors: give it a transform, or pass a "
            f"DataLoader ({str(error).strip()})."
        ) from error


def _signature(model: nn.Module) -> tuple[int, set[str] | None]:
    """How many positional arguments ``forward`` requires, and the names it knows (None: any)."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return 1, None
    kinds = [parameter.kind for parameter in parameters]
    required = sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
        for parameter in parameters
    )
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return required, None
    return required, {parameter.name for parameter in parameters}
