"""Compression: prune and quantise a network, and see what that did to it."""

from __future__ import annotations

from convlens.compression.assessment import Assessment
from convlens.compression.changes import Flip, LayerChange, Overall
from convlens.compression.imp import imp
from convlens.compression.prune import prune
from convlens.compression.pruning import Pruning, Round
from convlens.compression.quantize import quantize
from convlens.compression.report import report
from convlens.compression.result import CompressionReport
from convlens.compression.scales import Scales, read_scales
from convlens.compression.trainer import Trainer

__all__ = [
    "Assessment",
    "CompressionReport",
    "Flip",
    "LayerChange",
    "Overall",
    "Pruning",
    "Round",
    "Scales",
    "Trainer",
    "imp",
    "prune",
    "quantize",
    "read_scales",
    "report",
]
