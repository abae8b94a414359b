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

__all__ = ["load", "load_soon", "passes"]

_BEGINS = 2  # who asked that often measures again and again


class _State:
    lock = threading.Lock()
    passes: ModuleType | None = None
    missing: str | None = None
    """Why they cannot be had."""
    asked = 0


def passes() -> ModuleType | None:
    """Return `convlens.fused` if it is loaded by now."""
    return _State.passes


def load() -> str | None:
    """Load the passes now, which takes up to some seconds.

    Returns
    -------
    str or None
        Why they cannot be had; None where they are loaded.
    """
    with _State.lock:
        if _State.passes is None and _State.missing is None:
            try:
                _State.passes = importlib.import_module("convlens.fused")
            # numba is not there, not for this Python or NumPy, or finds no place to write
            except Exception as error:  # noqa: BLE001 - whatever it is, torch does the work
                _State.missing = f"{type(error).__name__}: {error}"
        return _State.missing


def load_soon() -> None:
    """Begin to load the passes in the background if this is not the first time of asking."""
    _State.asked += 1
    if _State.asked == _BEGINS and _State.passes is None:
        threading.Thread(target=load, name="convlens-compile").start()
