"""Saliency: which parts of an input a prediction rests on, by every method of Captum."""

from __future__ import annotations

from convlens.saliency.agreement import Agreement, agreement
from convlens.saliency.attribute import attribute, preflight, warm_up
from convlens.saliency.attribution import Attribution
from convlens.saliency.methods import METHODS, Method, find_method
from convlens.saliency.predict import Prediction, Predictions, predict
from convlens.saliency.result import Saliency
from convlens.saliency.sanity import Sanity, SanityCheck, sanity_check

__all__ = [
    "METHODS",
    "Agreement",
    "Attribution",
    "Method",
    "Prediction",
    "Predictions",
    "Saliency",
    "Sanity",
    "SanityCheck",
    "agreement",
    "attribute",
    "find_method",
    "predict",
    "preflight",
    "sanity_check",
    "warm_up",
]
