"""Similarity of representations: CKA and its relatives, between layers, models and data sets."""

from __future__ import annotations

from convlens.parameters import Parameter
from convlens.similarity.compare import compare
from convlens.similarity.comparison import Comparison
from convlens.similarity.measures import MEASURES, Measure
from convlens.similarity.memory import Estimate
from convlens.similarity.result import Row, Similarity
from convlens.similarity.run import ComparisonError

__all__ = [
    "MEASURES",
    "Comparison",
    "ComparisonError",
    "Estimate",
    "Measure",
    "Parameter",
    "Row",
    "Similarity",
    "compare",
]
