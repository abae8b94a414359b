"""Random numbers of a run that goes on in steps, whatever else draws in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

__all__ = ["Draws"]


class Draws:
    """The state of torch's and NumPy's global generators, which Captum draws from.

    Parameters
    ----------
    seed : int
        A run with the same seed draws the same numbers.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: tuple[Any, Any, Any] | None = None

    def go_on(self) -> None:
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

    def note(self) -> None:
        """Note where the generators are."""
        accelerator = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        self._state = (torch.get_rng_state(), accelerator, np.random.get_state())  # noqa: NPY002
