"""Whether the passes that numba compiles are there, and how they come to be.

numba is optional and slow to begin with: importing it takes a third of a second, and compiling the
passes for the first time on a machine some three; they are then kept on disk. No call waits for
that, only the end of a process that comes sooner. Who measures once never loads them; who measures
again has them loaded meanwhile, and until then, or without numba, torch finds the same figures.
"""

from __future__ import annotations

import importlib
import threading
from types import ModuleType
from typing import Any

__all__ = ["HOW", "SAMPLES", "WEIGHTS", "Compiled", "load", "load_soon", "passes"]

_BEGINS = 2  # who asked that often measures again and again

HOW: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz"},
}
"""How numba compiles them: without the interpreter's lock, so that other threads go on."""


class Compiled:
    """A module whose import compiles passes, or loads what an earlier process compiled."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.lock = threading.Lock()
        self.passes: ModuleType | None = None
        self.missing: str | None = None
        """Why they cannot be had."""
        self.asked = 0


WEIGHTS = Compiled("convlens.fused")
SAMPLES = Compiled("convlens.similarity.fused")


def passes(of: Compiled = WEIGHTS) -> ModuleType | None:
    """Return the compiled module if it is loaded by now."""
    return of.passes


def load(of: Compiled = WEIGHTS) -> str | None:
    """Load passes now, which takes up to some seconds.

    Returns
    -------
    str or None
        Why they cannot be had; None where they are loaded.
    """
    with of.lock:
        if of.passes is None and of.missing is None:
            try:
                of.passes = importlib.import_module(of.module)
            # numba is not there, not for this Python or NumPy, or finds no place to write
            except Exception as error:  # noqa: BLE001 - whatever it is, torch does the work
                of.missing = f"{type(error).__name__}: {error}"
        return of.missing


def load_soon(of: Compiled = WEIGHTS) -> None:
    """Begin to load passes in the background if this is not the first time of asking."""
    of.asked += 1
    if of.asked == _BEGINS and of.passes is None:
        threading.Thread(target=load, args=(of,), name="convlens-compile").start()
