"""A Lens that follows training: snapshots, and what they become."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from convlens.errors import ArgumentError
from convlens.history import History, Recorder, Snapshot
from convlens.layers import Layers
from convlens.widget.conversation import Conversation
from convlens.widget.jobs import model_lock

__all__ = ["Following"]


class Following(Conversation):
    """A widget that can take snapshots of its model."""

    _inputs: object
    _forward: Any
    _recorder: Recorder | None = None

    @property
    def layers(self) -> Layers:
        """The layers as of the last look."""
        raise NotImplementedError

    @property
    def history(self) -> History | None:
        """The snapshots taken so far; None before the first."""
        return self._recorder

    def snapshot(self, label: str = "", step: int | None = None, *, cka: bool = False) -> Snapshot:
        """Keep the quality of every layer as it is now.

        Parameters
        ----------
        label : str, optional
            What to call this moment.
        step : int, optional
            Its number; default: the steps that `recording` counted.
        cka : bool, default False
            At the first snapshot: also keep what layers make of the first 32 of the Lens's
            inputs, so that ``lens.history.cka("first")`` can compare snapshots.

        Returns
        -------
        Snapshot

        Raises
        ------
        ArgumentError
            If `cka` is asked for without inputs, or after a first snapshot without.
        """
        return self._recording(cka).snapshot(label, step)

    def recording(
        self, every: int = 10, *, cka: bool = False, limit: int = 200
    ) -> AbstractContextManager[Recorder]:
        """Take a snapshot every so many optimiser steps inside ``with lens.recording():``.

        Parameters
        ----------
        every : int, default 10
            Steps of any ``torch.optim`` optimiser that trains the model.
        cka : bool, default False
            As for `snapshot`.
        limit : int, default 200
            Most snapshots that are held: beyond it every second one goes.

        Returns
        -------
        context manager
            Of the `Recorder`; its ``count()`` serves loops without an optimiser of torch.
        """
        return self._recording(cka, limit).recording(every)

    def _recording(self, cka: bool, limit: int = 200) -> Recorder:
        model = self._open()
        if cka and self._inputs is None:
            raise ArgumentError("cka=True needs inputs: make the Lens with Lens(model, inputs).")
        if self._recorder is None:
            inputs = self._inputs if cka else None
            self._recorder = Recorder(
                model, inputs, limit=limit, forward=self._forward, layers=self.layers
            )
            self._recorder.guard = partial(model_lock, model)
        elif cka and not self._recorder.has_probe:
            raise ArgumentError(
                "cka=True comes too late: the first snapshot was taken without. Make another Lens."
            )
        return self._recorder
