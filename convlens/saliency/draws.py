"""Random numbers of a run that goes on in steps, whatever else draws in between."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from convlens.untouched import may_draw, rng_keeper

__all__ = ["Draws"]

# what Captum computes by drawing; the others have generators of their own
_DRAWN = ("shapley_value_sampling", "lime", "kernel_shap")


class Draws:
    """The state of torch's and NumPy's global generators, which Captum draws from.

    Parameters
    ----------
    seed : int
        A run with the same seed draws the same numbers.
    method : str
        That is run.
    model : torch.nn.Module
        That is run.
    """

    def __init__(self, seed: int, method: str, model: nn.Module) -> None:
        self._seed, self._drawn, self._model = seed, method in _DRAWN, model
        self._state: tuple[Any, Any, Any] | None = None

    @contextmanager
    def borrowed(self) -> Generator[None]:
        """Draw from the generators inside as if this run alone did, and set them back after.

        Where nobody draws they are let be: a training loop may need them meanwhile.
        """
        beside = threading.current_thread() is not threading.main_thread()
        if beside and not self._drawn and not may_draw(self._model):
            yield
            return
        restore = rng_keeper()
        try:
            self._go_on()
            yield
            self._note()
        finally:
            restore()

    def _go_on(self) -> None:
        """Set the generators to where this run left them; to the seed at first."""
        if self._state is None:
            torch.manual_seed(self._seed)
            np.random.seed(self._seed % 2**32)  # noqa: NPY002 - the one that Captum uses
            return
        cpu, accelerator, numpy = self._state
        torch.set_rng_state(cpu)
        if accelerator is not None:
            torch.cuda.set_rng_state_all(accelerator)
        np.random.set_state(numpy)  # noqa: NPY002

    def _note(self) -> None:
        """Note where the generators are."""
        accelerator = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        self._state = (torch.get_rng_state(), accelerator, np.random.get_state())  # noqa: NPY002
