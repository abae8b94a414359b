"""Watch a model's layers through one batch and take from each what a measure needs, at once.

It is taken inside the hook: a later in-place operation (``out += shortcut``, an in-place ReLU) can
not change it, and no activation lives longer than the model lets it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from convlens.activations import hooked, untouched
from convlens.errors import ConvlensError, ForwardError
from convlens.inputs import as_call, device_of, own_copy
from convlens.similarity.batches import mapped
from convlens.similarity.layout import Layout
from convlens.similarity.reduce import first_tensor
from convlens.similarity.selection import Selection
from convlens.tensors import dense, dtype_name

__all__ = ["Emission", "capture", "is_out_of_memory", "unwatched"]

T = TypeVar("T")
_GUARD: Any = getattr(vars(torch)["_C"], "_DisableTorchDispatch", nullcontext)
Forward = Callable[[nn.Module, Any], Any]


@dataclass
class Emission(Generic[T]):
    """What one call of one module gave.

    Attributes
    ----------
    name, call, kind
        The module's dotted name, which of its calls in this pass, its class.
    shape
        Of the output.
    taken
        What was taken from it; None where `reason` says why nothing was.
    same_as
        Position of an earlier emission that gave the very same tensor, as a container and its last
        child do: computed once.
    """

    name: str
    call: int
    kind: str
    shape: tuple[int, ...] = ()
    taken: T | None = None
    reason: str | None = None
    same_as: int | None = None


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether `error`, or what caused it, is a lack of memory."""
    kinds: tuple[type[BaseException], ...] = (MemoryError, torch.cuda.OutOfMemoryError)
    cause: BaseException | None = error
    while cause is not None:
        words = str(cause).lower()
        if isinstance(cause, kinds) or (
            isinstance(cause, RuntimeError)
            and ("out of memory" in words or "can't allocate memory" in words)
        ):
            return True
        cause = cause.__cause__
    return False


def capture(
    selection: Selection,
    batch: Any,
    n: int,
    take: Callable[[Tensor, nn.Module], T],
    *,
    drawn: bool,
    forward: Forward | None = None,
    held: bool = False,
    layout: Layout | None = None,
) -> list[Emission[T]]:
    """Run the model once and return what was taken, in the order in which layers emitted.

    The model runs in eval mode without gradients and is left as it was found.

    Parameters
    ----------
    selection : Selection
    batch
        Given to the model as a copy on its device, cast to its dtype.
    n : int
        Number of samples, which each output must have as its first dimension.
    take : callable(output, module)
        Called inside the hook.
    drawn : bool
        Whether `batch` came from a loader and may hold labels.
    forward : callable(model, batch), optional
        Runs the model where calling it would not.
    held : bool, default False
        Whether the caller sees to it that the model is left as it was found.
    layout : Layout, optional
        Of the batch in memory; default: as it is.

    Raises
    ------
    ForwardError
        If the model raises.
    """
    model = selection.model
    names = {id(module): name for name, module in selection.modules.items()}
    calls: dict[str, int] = {}
    emissions: list[Emission[T]] = []
    # Weak: holding the tensors would keep every activation alive. One that was written to in
    # between has another version, and is another activation.
    known: dict[int, tuple[weakref.ref[Tensor], int, int]] = {}

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        # what is computed here writes to nothing of the model's: it need not be watched
        with unwatched():
            note(module, output)

    def note(module: nn.Module, output: Any) -> None:
        name = names[id(module)]
        call = calls.get(name, 0)
        calls[name] = call + 1
        wanted = selection.calls.get(name)
        if wanted is not None and call not in wanted:
            return
        emission: Emission[T] = Emission(name, call, type(module).__name__)
        emissions.append(emission)
        tensor = first_tensor(output)
        emission.reason = unusable(output, tensor, n)
        if tensor is None:
            return
        emission.shape = tuple(tensor.shape)
        if emission.reason is not None:
            return
        version = None if tensor.is_inference() else tensor._version
        found = None if version is None else known.get(id(tensor))
        if found is not None and found[0]() is tensor and found[1] == version:
            emission.same_as = found[2]
            return
        if version is not None:
            known[id(tensor)] = (weakref.ref(tensor), version, len(emissions) - 1)
        plain = type(tensor) is Tensor and tensor.dtype == torch.float32
        if not plain or tensor.layout is not torch.strided:
            tensor = dense(tensor)
        emission.taken = take(tensor.detach(), module)

    def run(given: Any) -> None:
        with torch.no_grad():
            if forward is not None:
                forward(model, given)
            else:
                args, kwargs = as_call(model, given, drawn=drawn)
                model(*args, **kwargs)

    def copied() -> Any:
        return fitted(own_copy(batch, device_of(model)), model)

    keeper = nullcontext() if held else untouched(model)
    with keeper, hooked(selection.modules.values(), after=after):
        # asking is quicker than setting
        if any(getattr(module, "training", True) for module in model.modules()):
            with suppress(NotImplementedError):  # exported programs have one mode only
                model.eval()
        try:
            given = copied()
            if layout is None or not layout.changes(given, model):
                run(given)
            else:
                try:
                    run(layout.quicker(given))
                except Exception as error:
                    if not layout.refused(error):
                        raise
                    for noted in (calls, emissions, known):
                        noted.clear()
                    run(copied())
        except ConvlensError:
            raise
        except Exception as error:
            raise ForwardError(_told(error, emissions)) from error
    return emissions


def unwatched() -> AbstractContextManager[object]:
    """Keep dispatch modes (of `untouched`) out: they take longer than small operations do."""
    return _GUARD()


def fitted(batch: Any, model: nn.Module) -> Any:
    """Cast float tensors to the model's dtype, so that a half-precision model takes them."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    if dtype is None or dtype.itemsize == 1:
        return batch
    return mapped(batch, lambda t: t.to(dtype) if t.is_floating_point() else t)


def unusable(output: Any, tensor: Tensor | None, n: int) -> str | None:
    """Why an output cannot be compared, in words; None where it can."""
    if tensor is None:
        return f"returns a {type(output).__name__}, no tensor"
    if not (tensor.is_floating_point() or tensor.is_quantized):
        return f"returns {dtype_name(tensor.dtype)} numbers, not real ones"
    if tensor.dim() == 0 or tensor.shape[0] != n:
        shape = " x ".join(str(size) for size in tensor.shape) or "a single number"
        return f"returns {shape}: the first dimension is not the batch's {n} samples"
    if tensor.numel() == 0:
        return "returns no features"
    return None


def _told(error: Exception, emissions: list[Emission[Any]]) -> str:
    said = str(error).strip().split("\n")[0]
    where = f" after {emissions[-1].name!r}" if emissions else " before any chosen layer"
    return f"The model raised {type(error).__name__}{where} ({said})"
