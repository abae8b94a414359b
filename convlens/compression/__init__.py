"""Compression: prune and quantise a network, and see what that did to it."""

from __future__ import annotations

from convlens.compression.assessment import Assessment
from convlens.compression.changes import Flip, LayerChange, Overall
from convlens.compression.prune import prune
from convlens.compression.quantize import quantize
from convlens.compression.report import report
from convlens.compression.result import CompressionReport

__all__ = [
    "Assessment",
    "CompressionReport",
    "Flip",
    "LayerChange",
    "Overall",
    "prune",
    "quantize",
    "report",
]
