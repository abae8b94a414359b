"""What a report says of one layer, of one input, and of all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Flip", "LayerChange", "Overall"]

_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class LayerChange:
    """What compression did to one layer.

    Figures that could not be had are NaN or None, and `reasons` says why.

    Attributes
    ----------
    key, reference_key : str
        The layer in the model and in the reference.
    kind : str
        Class of the model's module.
    how : str
        How the two were matched: "name", "renamed" or "order".
    shape : tuple of int
        Of the model's weight, (out, in / groups, *kernel).
    notes : tuple of str
        How the model stores the weight: its masks, integers, scales.
    weight_sqnr : float
        10 log10(sum w² / sum (w - w')²) in dB, w of the reference (its batch norm folded in where
        the model has it so) and w' of the model; infinite where nothing changed.
    exact_zeros, reference_exact_zeros : float or None
        Share of the weights that are 0.
    zero_filters, reference_zero_filters : float or None
        Share of the filters (one output's kernel for one input) that hold nothing but 0.
    zero_outputs, reference_zero_outputs : int or None
        Output channels whose every weight is 0.
    sparsity, reference_sparsity : float or None
        Of filters below eps of the largest weight, as `convlens.measure_quality` has it.
    entropy, reference_entropy : float or None
        Variance entropy of the filters.
    output_sqnr, output_cosine : float
        Of the layer's output when the whole network is compressed: the error accumulated up to it.
    isolated_sqnr, isolated_cosine : float
        Of the layer's output when it alone is compressed.
    cost : float
        Share of the energy of the network's output that is lost when this layer alone is
        compressed: sum (y - y')² / sum y².
    isolated_agreement, isolated_accuracy : float or None
        Of the reference with this layer alone compressed.
    cka, cka_stderr : float
        Unbiased CKA between the layer's output in both, and its standard error over batches.
    reasons : dict
        Name of a figure -> why it is missing.
    """

    key: str
    reference_key: str
    kind: str
    how: str
    shape: tuple[int, ...]
    notes: tuple[str, ...] = ()
    weight_sqnr: float = math.nan
    exact_zeros: float | None = None
    reference_exact_zeros: float | None = None
    zero_filters: float | None = None
    reference_zero_filters: float | None = None
    zero_outputs: int | None = None
    reference_zero_outputs: int | None = None
    sparsity: float | None = None
    reference_sparsity: float | None = None
    entropy: float | None = None
    reference_entropy: float | None = None
    output_sqnr: float = math.nan
    output_cosine: float = math.nan
    isolated_sqnr: float = math.nan
    isolated_cosine: float = math.nan
    cost: float = math.nan
    isolated_agreement: float | None = None
    isolated_accuracy: float | None = None
    cka: float = math.nan
    cka_stderr: float = math.nan
    reasons: Mapping[str, str] = field(default_factory=lambda: dict(_NOTHING))

    @property
    def changed(self) -> bool:
        """Whether anything of the layer's weight changed."""
        return not math.isinf(self.weight_sqnr)


@dataclass(frozen=True)
class Flip:
    """An input whose predicted class changed.

    Attributes
    ----------
    index : int
        Place among the inputs, from 0.
    before, after : int
        The class that the reference and the model predict.
    label : int or None
        The right one, where labels were given.
    """

    index: int
    before: int
    after: int
    label: int | None = None

    @property
    def kind(self) -> str:
        """Either "lost" (only the reference was right), "won" (only the model is) or "other"."""
        if self.label is None or self.label not in (self.before, self.after):
            return "other"
        return "lost" if self.label == self.before else "won"


@dataclass(frozen=True)
class Overall:
    """What compression did to the network as a whole.

    Attributes
    ----------
    n : int
        Inputs that both models ran on.
    accuracy, reference_accuracy : float or None
        Share of the labels that each predicts; None without labels.
    agreement : float or None
        Share of the inputs for which both predict the same class; None where outputs are no scores
        of classes.
    output_sqnr : float
        Of the network's output, in dB.
    size, reference_size : int or None
        Bytes of the state dict as ``torch.save`` writes it.
    packed, reference_packed : int
        Bytes that the numbers need at least: rounded weights by their bits, pruned ones by a mask
        and what is left.
    """

    n: int = 0
    accuracy: float | None = None
    reference_accuracy: float | None = None
    agreement: float | None = None
    output_sqnr: float = math.nan
    size: int | None = None
    reference_size: int | None = None
    packed: int = 0
    reference_packed: int = 0
