"""Run a model up to one layer, and no further, and take what that layer emits."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn

from convlens.activations import hooked, untouched
from convlens.errors import ArgumentError, ConvlensError, ForwardError
from convlens.inputs import as_call, device_of
from convlens.similarity.capture import fitted, unwatched
from convlens.similarity.reduce import channels_last, first_tensor
from convlens.similarity.selection import select
from convlens.tensors import dense, dtype_name
from convlens.tree import check_model, kind_of, walk

__all__ = ["OUTPUT", "Tap"]

OUTPUT = "(output)"
"""The key of what the model itself returns."""

_LEAK = 0.01  # of the gradient that passes a ReLU under observation where it is shut
_GATES = (nn.ReLU, nn.ReLU6)

Forward = Callable[[nn.Module, Any], Any]


class _Reached(BaseException):
    """Ends a forward pass at the layer. No Exception, so that no model takes it for a fault."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap


class Tap:
    """One call of one module of a model, or what the model returns.

    The forward pass ends where the layer has emitted: nothing after it is computed, and no later
    in-place operation can change what was taken.

    Parameters
    ----------
    model : torch.nn.Module
    layer : str, int or None
        Dotted name, key of one call (``"relu:1"``; without a call the first), or index into
        ``find_layers(model)``. None: what the model returns.
    forward : callable(model, batch), optional
        Runs the model where calling it on a batch would not.

    Attributes
    ----------
    model : torch.nn.Module
        Without wrappers.
    key : str
    kind : str
        Class of the module.
    notes : tuple of str
        What was unwrapped.

    Raises
    ------
    UnknownLayerError, ModelError
        As :func:`convlens.find_layers` does.
    ArgumentError
        If `layer` means several layers.
    """

    def __init__(self, model: Any, layer: Any = None, forward: Forward | None = None) -> None:
        if forward is not None and not callable(forward):
            raise ArgumentError(
                f"forward must be a callable(model, inputs), not a {type(forward).__name__}."
            )
        tree = walk(check_model(model))
        self.model, self.notes = tree.model, tree.notes
        self._forward = forward
        self.key, self.kind, self._call = OUTPUT, kind_of(self.model), 0
        self._module: nn.Module | None = None
        if layer is None:
            return
        chosen = select(model, layer)
        if len(chosen.modules) > 1 or any(len(calls) > 1 for calls in chosen.calls.values()):
            some = ", ".join(repr(name) for name in list(chosen.modules)[:3])
            raise ArgumentError(
                f"layer={layer!r} means {len(chosen.modules)} layers; name one of them: {some}, ..."
            )
        name, self._module = next(iter(chosen.modules.items()))
        calls = chosen.calls.get(name)
        self._call = min(calls) if calls else 0
        self.key = f"{name}:{self._call}" if calls else name
        self.kind = kind_of(self._module)

    @property
    def device(self) -> torch.device:
        """Of the model; the CPU where it has no parameters."""
        return device_of(self.model) or torch.device("cpu")

    @property
    def gated(self) -> bool:
        """Whether the layer is a ReLU: its outputs are never negative, its gradient can be 0."""
        return isinstance(self._module, _GATES)

    def whole(self) -> Tap:
        """Return the tap of what the same model returns."""
        return self if self._module is None else Tap(self.model, None, self._forward)

    @contextmanager
    def held(self) -> Generator[None]:
        """Put the model into eval mode, and leave it as it was found."""
        with untouched(self.model), torch.inference_mode(mode=False):
            with suppress(NotImplementedError):  # exported programs have one mode only
                self.model.eval()
            yield

    def emit(
        self, batch: Any, *, drawn: bool = False, leak: bool = False, rough: bool = False
    ) -> Tensor:
        """Run the model up to the layer and return what it emits, channels second.

        To be called inside :meth:`held`.

        Parameters
        ----------
        batch
            On the model's device; floats are cast to its dtype. May be written to.
        drawn : bool, default False
            Whether it came from a loader and may hold labels.
        leak : bool, default False
            Let a hundredth of the gradient through a ReLU that is the layer, where it is shut.
        rough : bool, default False
            Multiply in bfloat16, by torch's autocast.

        Returns
        -------
        Tensor
            (n, channels) or (n, channels, *positions).

        Raises
        ------
        ForwardError
            If the model raises before it reaches the layer.
        ArgumentError
            If it never calls the layer, or the layer gives no real numbers.
        """
        taken: list[Any] = []
        before: list[Tensor] = []
        calls = 0

        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            if calls == self._call and args and isinstance(args[0], Tensor):
                before.append(args[0].clone())  # it may work in place

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            nonlocal calls
            calls += 1
            if calls - 1 == self._call:
                taken.append(output)
                raise _Reached(self)

        watched = [] if self._module is None else [self._module]
        with (
            hooked(watched, enter if leak and self.gated else None, leave),
            torch.autocast(self.device.type, torch.bfloat16) if rough else nullcontext(),
        ):
            try:
                output = self._run(batch, drawn=drawn)
                if self._module is None:
                    taken.append(output)
            except _Reached as reached:
                if reached.tap is not self:
                    raise
        if not taken:
            times = f"only {calls} times" if calls else "never"
            raise ArgumentError(
                f"The model calls {self.key!r} {times} on these inputs, so there is nothing to see."
            )
        with unwatched():
            found = self._channels_second(taken[0])
            if before and before[0].requires_grad and before[0].shape == found.shape:
                found = found + _LEAK * (before[0] - before[0].detach())
        return found

    def _run(self, batch: Any, *, drawn: bool) -> Any:
        with unwatched():
            batch = fitted(batch, self.model)
        try:
            if self._forward is not None:
                return self._forward(self.model, batch)
            args, kwargs = as_call(self.model, batch, drawn=drawn)
            return self.model(*args, **kwargs)
        except ConvlensError:
            raise
        except Exception as error:
            kind, said = type(error).__name__, str(error).strip().split("\n")[0]
            raise ForwardError(
                f"The model raised {kind} on {_described(batch)} ({said}): pass inputs that it "
                "takes, or forward=, a callable(model, inputs) that runs it."
            ) from error

    def _channels_second(self, output: Any) -> Tensor:
        found = first_tensor(output)
        if found is None:
            raise ArgumentError(f"{self.key} returns a {type(output).__name__}, no tensor.")
        if type(found) is not Tensor or found.layout is not torch.strided or found.is_quantized:
            found = dense(found)
        if not found.is_floating_point():
            raise ArgumentError(
                f"{self.key} returns {dtype_name(found.dtype)} numbers, not real ones."
            )
        if found.dim() < 2 or found.numel() == 0:
            shape = " x ".join(str(size) for size in found.shape) or "a single number"
            raise ArgumentError(
                f"{self.key} returns {shape}: channels need an output of (n, channels, ...)."
            )
        if self._module is not None and found.dim() > 2 and channels_last(self._module, found):
            found = found.movedim(-1, 1)
        return found


def _described(batch: Any) -> str:
    if not isinstance(batch, Tensor):
        return "these inputs"
    return f"inputs of {' x '.join(str(size) for size in batch.shape[1:])}"
