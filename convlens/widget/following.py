"""A Lens that follows training: snapshots, and what they become."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, cast

import traitlets as T

from convlens import errors
from convlens.history import History, Recorder, Snapshot
from convlens.layers import Layers
from convlens.widget.conversation import Conversation
from convlens.widget.jobs import model_lock
from convlens.widget.recalling import SAVED_BYTES, Recalling
from convlens.widget.selection import ArgumentError

__all__ = ["Following"]

# a loop that takes a thousand snapshots a second tells of some of them
_TELL_EVERY = 0.5
_CALM_AFTER = 2.0
# of a Lens in a notebook, and of one row of its summary
_MOST_SAVED = 198_000
_ROW_BYTES = 1_100


class Following(Conversation):
    """A widget that can take snapshots of its model."""

    step: Any = T.TraitType(None, allow_none=True).tag(sync=True)
    # how many were taken: the front end then asks for those it does not know
    _taken: Any = T.Int(0).tag(sync=True)
    # what a saved notebook shows without a kernel
    _past: Any = T.Dict().tag(sync=True)

    _inputs: object
    _forward: Any
    _inputs_from: Any
    _recalling: Recalling
    _recorder: Recorder | None = None
    _told: float = 0.0
    _in_loop: bool = False

    @property
    def layers(self) -> Layers:
        """The layers as of the last look."""
        raise NotImplementedError

    @property
    def history(self) -> Recorder | None:
        """The snapshots taken so far; None before the first."""
        return self._recorder

    def snapshot(self, label: str = "", step: int | None = None, *, cka: bool = False) -> Snapshot:
        """Keep the quality of every layer as it is now.

        Parameters
        ----------
        label : str, optional
            What to call this moment.
        step : int, optional
            Its number; default: the steps that `recording` counted, or the number of the snapshot.
        cka : bool, default False
            At the first snapshot: also keep what layers make of the first 32 of the Lens's
            inputs, so that ``lens.history.cka("first")`` can compare snapshots.

        Returns
        -------
        Snapshot

        Raises
        ------
        ArgumentError
            If `cka` is asked for without inputs, or after a first snapshot without; if `label` is
            no text, or `step` no whole number or before the last one.
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
        return self._followed(self._recording(cka, limit), every)

    @T.validate("step")
    def _valid_step(self, proposal: Mapping[str, Any]) -> int | str | None:
        value, _ = proposal["value"], self.layers
        if value is None:
            return None
        value = (
            value
            if isinstance(value, (bool, str)) or not hasattr(value, "__index__")
            else (value.__index__())
        )
        try:
            (self._recorder or History()).place(value)
        except errors.ArgumentError as error:
            raise ArgumentError(str(error)) from None
        return value

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take the front end's changes; a step that went meanwhile stands for the nearest."""
        history = self._recorder
        if history and type(sync_data.get("step")) is int:
            sync_data = {**sync_data, "step": history.nearest(sync_data["step"])}
        super().set_state(sync_data)

    @contextmanager
    def _followed(self, recorder: Recorder, every: int) -> Generator[Recorder]:
        self._in_loop = True
        try:
            with recorder.recording(every):
                yield recorder
        finally:
            self._in_loop = False
            self._settle()

    def _took(self, _: Snapshot) -> None:
        """Tell the front end of a snapshot, a few times a second at most."""
        recorder = self._recorder
        if recorder is None:
            return
        step = self.step
        if isinstance(step, int) and all(step != s.step for s in recorder.snapshots):
            self.step = recorder.nearest(step)
        if self._worker.blocking and not self._in_loop:
            self._settle()  # there is no thread that would, once it is calm
            return
        now = time.monotonic()
        if now - self._told > _TELL_EVERY:
            self._told = now
            self._taken = recorder.taken

    def _settle(self) -> None:
        """Tell of what was not told yet, and keep it for the notebook."""
        recorder = self._recorder
        if recorder is None or self._past.get("taken") == recorder.taken:
            return
        with model_lock(self._open()):
            self._past = {**self._recalling.saved(self._room()), "taken": recorder.taken}
        self._taken = recorder.taken

    def _room(self) -> int:
        """Say how many bytes of history a saved notebook has room for, beside all else."""
        state = cast("dict[str, Any]", self.get_state())
        # the summary comes when the front end asks for it
        summary = _ROW_BYTES * len(self.layers)
        others = sum(
            len(json.dumps(value, default=str)) for name, value in state.items() if name != "_past"
        )
        missing = max(0, summary - len(json.dumps(self._summary)))
        return min(SAVED_BYTES, _MOST_SAVED - others - missing)

    def _settle_when_calm(self) -> None:
        recorder = self._recorder
        if recorder is None or time.monotonic() - self._told < _CALM_AFTER:
            return
        if self._in_loop:
            self._taken = recorder.taken
        else:
            self._settle()

    def _recording(self, cka: bool, limit: int = 200) -> Recorder:
        model = self._open()
        if cka and self._inputs is None:
            raise ArgumentError("cka=True needs inputs: make the Lens with Lens(model, inputs).")
        if self._recorder is None:
            inputs = self._inputs if cka else None
            self._recorder = Recorder(
                model,
                inputs,
                limit=limit,
                eps=self.eps,
                forward=self._forward,
                layers=self.layers,
                inputs_from=self._inputs_from,
            )
            self._recorder.guard = partial(model_lock, model)
            self._recorder.on_snapshot = self._took
        elif cka and not self._recorder.has_probe:
            raise ArgumentError(
                "cka=True comes too late: the first snapshot was taken without. Make another Lens."
            )
        return self._recorder
