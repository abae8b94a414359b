"""History: what training did to each layer, step by step."""

from __future__ import annotations

from convlens.history.recorded import FIGURES, History, Snapshot
from convlens.history.recorder import Recorder

__all__ = ["FIGURES", "History", "Recorder", "Snapshot"]
