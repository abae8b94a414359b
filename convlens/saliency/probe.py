"""A model and what is asked of it as one module, which Captum differentiates."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

from torch import Tensor, nn

from convlens.activations import Forward
from convlens.errors import ArgumentError, ConvlensError, ForwardError
from convlens.saliency.targets import Readout, read, scores_of

__all__ = ["Head", "Place", "Probe", "Tap", "named_modules"]


class Place:
    """One call of one module.

    Parameters
    ----------
    key : str
        As shown: "layer1.0.relu:1".
    module : torch.nn.Module
    call : int or None
        Which call in a forward pass, from 0; None where there is one only.
    """

    def __init__(self, key: str, module: nn.Module, call: int | None = None) -> None:
        self.key = key
        self.module = module
        self.call = call

    @contextmanager
    def changed(self, change: Callable[[Tensor], Tensor]) -> Generator[None]:
        """Pass what this call emits through `change`, as long as this lasts."""
        count = 0
        ours = threading.get_ident()

        def after(module: nn.Module, args: Any, output: Any) -> Any:
            nonlocal count
            if threading.get_ident() != ours:  # a user's cell may run the same model
                return None
            here = self.call is None or count == self.call
            count += 1
            if not here:
                return None
            if not isinstance(output, Tensor):
                raise ArgumentError(
                    f"{self.key} gives a {type(output).__name__}, not a tensor: choose a layer "
                    "inside it."
                )
            return change(output)

        # by the class: a TorchScript module refuses its own method
        handle = nn.Module.register_forward_hook(self.module, after)
        try:
            yield
        finally:
            handle.remove()
        if not count or (self.call is not None and count <= self.call):
            times = f"; its module is called {count} times" if count else ""
            raise ArgumentError(f"{self.key} is not called on these inputs{times}.")
        if self.call is None and count > 1:
            raise ArgumentError(
                f"{self.key} is called {count} times: choose one, {self.key}:0 to "
                f"{self.key}:{count - 1}."
            )


class Tap(nn.Module):
    """Hands on a copy, so that hooks on what comes in and what goes out are on two tensors."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy."""
        return x.clone()


class Probe(nn.Module):
    """The model's scores, or one number per input where a readout or channel is asked for.

    A `place` makes what is emitted there pass through ``self.tap``, a module that Captum's layer
    methods hook into: in-place operations after it then change a copy, and one call of a module
    that is called several times can be told from the others.

    Parameters
    ----------
    model : torch.nn.Module
    forward : callable(model, inputs), optional
        Runs the model where calling it would not.
    readout : callable(outputs), optional
        Gives one number per input.
    place : Place, optional
        The layer in question.
    channel : int, optional
        Of `place`: the number per input is its mean activation.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Forward | None = None,
        readout: Readout | None = None,
        place: Place | None = None,
        channel: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.tap = Tap()
        self._run = forward
        self._readout = readout
        self._place = place
        self._channel = channel

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, classes) scores, or (n,) of a readout or channel."""
        emitted: list[Tensor] = []
        # a copy, as the model may begin with an in-place operation
        x = x.clone()
        if self._place is None:
            outputs = self.outputs(x)
        else:

            def tapped(output: Tensor) -> Tensor:
                tap = self.tap(output)
                emitted.append(tap)
                return tap.clone()

            with self._place.changed(tapped):
                outputs = self.outputs(x)
        if self._channel is not None and self._place is not None:
            return channel_mean(emitted[0], self._channel, self._place.key)
        if self._readout is not None:
            return read(self._readout, outputs, len(x))
        return scores_of(outputs, len(x))

    def outputs(self, x: Tensor) -> Any:
        """Run the model.

        Raises
        ------
        ForwardError
            If it raises.
        """
        try:
            return self.model(x) if self._run is None else self._run(self.model, x)
        except ConvlensError:
            raise
        except Exception as error:
            kind, said = type(error).__name__, str(error).strip().split("\n")[0]
            raise ForwardError(
                f"The model raised {kind} on inputs of {' x '.join(map(str, x.shape))} ({said})."
            ) from error


class Head(nn.Module):
    """A model from one layer's output on: the scores as a function of what the layer emits.

    Parameters
    ----------
    probe : Probe
    place : Place
    """

    def __init__(self, probe: Probe, place: Place) -> None:
        super().__init__()
        self.probe = probe
        self._place = place

    def forward(self, emitted: Tensor, x: Tensor) -> Tensor:
        """Return what the probe gives on `x` where the layer emits `emitted` instead."""
        with self._place.changed(lambda output: emitted.clone()):
            return self.probe(x)

    def emitted(self, x: Tensor) -> Tensor:
        """Return what the layer emits on `x`."""
        found: list[Tensor] = []

        def keep(output: Tensor) -> Tensor:
            found.append(output.detach().clone())
            return output

        with self._place.changed(keep):
            self.probe(x)
        return found[0]


def channel_mean(emitted: Tensor, channel: int, key: str) -> Tensor:
    """Return the mean activation of a channel, one number per input."""
    if emitted.dim() < 2:
        raise ArgumentError(f"{key} emits no channels.")
    channels = emitted.shape[1]
    if not -channels <= channel < channels:
        raise ArgumentError(
            f"channel is {channel}; {key} has {channels} channels, 0 to {channels - 1}."
        )
    return emitted[:, channel].flatten(1).mean(1) if emitted.dim() > 2 else emitted[:, channel]


def named_modules(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return every module with its dotted name."""
    return [(str(name), module) for name, module in cast("Any", model.named_modules())]
