"""Run a model and see which modules are called, leaving the model as it was found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from convlens.errors import ArgumentError, ConvlensError, ForwardError
from convlens.inputs import as_call, device_of, first_batch, own_copy
from convlens.untouched import untouched

__all__ = ["call_order", "hooked", "run", "untouched"]

Before = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]
After = Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]
Forward = Callable[[nn.Module, Any], Any]

_ROWS = 8  # as many of a batch as tell the order of calls


@contextmanager
def hooked(
    modules: Iterable[nn.Module], before: Before | None = None, after: After | None = None
) -> Generator[None]:
    """Call `before` and `after` around each call of `modules` that this thread makes.

    Forward passes of other threads are ignored: a user's cell may run the same model meanwhile.
    The hooks are gone on the way out, however it ends.

    Parameters
    ----------
    modules : iterable of torch.nn.Module
    before : callable(module, args, kwargs), optional
    after : callable(module, args, kwargs, output), optional
        Sees the output as it is emitted, before any later in-place operation.
    """
    ours = threading.get_ident()

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        if before is not None and threading.get_ident() == ours:
            before(module, args, kwargs)

    def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if after is not None and threading.get_ident() == ours:
            after(module, args, kwargs, output)

    # By the class: a TorchScript module refuses its own method, and runs the hooks all the same.
    with ExitStack() as handles:
        for module in modules:
            if before is not None:
                handle = nn.Module.register_forward_pre_hook(module, enter, with_kwargs=True)
                handles.callback(handle.remove)
            if after is not None:
                handle = nn.Module.register_forward_hook(module, leave, with_kwargs=True)
                handles.callback(handle.remove)
        yield


def run(model: nn.Module, inputs: Any, forward: Forward | None = None) -> Any:
    """Run `model` once, in eval mode and without gradients, on a copy of the first batch.

    To be called inside :func:`untouched`, which takes the eval mode off again.

    Raises
    ------
    ForwardError
        If the model raises; the exception is its ``__cause__``.
    ArgumentError
        If `inputs` holds no batch.
    """
    if forward is not None and not callable(forward):
        raise ArgumentError(
            f"forward must be a callable(model, inputs), not a {type(forward).__name__}."
        )
    drawn = False
    if inputs is not None:
        inputs, drawn = first_batch(inputs)
        inputs = own_copy(inputs, device_of(model))
    with suppress(NotImplementedError):  # exported programs have one mode only
        model.eval()
    try:
        with torch.no_grad():
            if forward is not None:
                return forward(model, inputs)
            args, kwargs = as_call(model, inputs, drawn=drawn)
            return model(*args, **kwargs)
    except ConvlensError:
        raise
    except Exception as error:
        kind, said = type(error).__name__, str(error).strip().split("\n")[0]
        raise ForwardError(
            f"The model raised {kind} on these inputs ({said}): pass inputs that it takes, "
            "or forward=, a callable(model, inputs) that runs it."
        ) from error


def call_order(
    model: nn.Module,
    modules: Iterable[nn.Module],
    inputs: Any,
    forward: Forward | None = None,
) -> list[nn.Module]:
    """Return `modules` in the order in which a forward pass calls them, repeats included.

    Parameters
    ----------
    model : torch.nn.Module
        Left exactly as found.
    modules : iterable of torch.nn.Module
        Those to watch.
    inputs
        As for :func:`convlens.inputs.first_batch`. Of a tensor of many rows only the first few
        are run, where the model takes them: the order of calls does not need more.
    forward : callable(model, inputs), optional
        Runs the model where calling it on `inputs` would not.

    Raises
    ------
    ForwardError
        If the model raises.
    """
    watched = list(modules)

    def once(given: Any) -> list[nn.Module]:
        order: list[nn.Module] = []

        def note(module: nn.Module, args: Any, kwargs: Any) -> None:
            order.append(module)

        with untouched(model, runs=True), hooked(watched, before=note):
            run(model, given, forward)
        return order

    if isinstance(inputs, Tensor) and inputs.dim() > 1 and inputs.shape[0] > _ROWS:
        try:
            return once(inputs[:_ROWS])
        except ForwardError:
            pass  # the first dimension is none of samples, or the model wants exactly so many
    return once(inputs)
