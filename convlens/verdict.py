"""What the figures of a layer mean, in plain words, and how each is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from convlens.quality import LayerQuality

__all__ = ["METRICS", "Metric", "Tone", "Verdict", "judge", "percent"]

Tone = Literal["good", "warn", "bad", "none"]

# Where the readings change; `entropy_share` is the entropy as a share of that of random filters.
DIVERSE = 0.8
REDUNDANT = 0.5
ALIKE = 0.25
SPARSE = 0.1
RANDOM_P = 0.01

_NUMBERS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Verdict:
    """A layer in one line, in some sentences, and whether to worry.

    Attributes
    ----------
    title, text : str
        Plain words.
    tone : {"good", "warn", "bad", "none"}
        "none" where nothing can or need be said against the layer.
    """

    title: str
    text: str
    tone: Tone


@dataclass(frozen=True)
class Metric:
    """How a figure comes about and how to read it.

    Attributes
    ----------
    formula, range, reading, source : str
        Plain text, for documentation and tooltips.
    """

    formula: str
    range: str
    reading: str
    source: str


_PAPER = "Gavrikov and Keuper, CNN Filter DB, CVPR 2022"
_JOHN = "John, The distribution of a statistic used for testing sphericity, Biometrika 1972"
_OWN = "convlens"

METRICS: dict[str, Metric] = {
    "sparsity": Metric(
        "S = #{i : max_j |w_ij| < eps max|W|} / n",
        "0 to 1",
        "The share of filters that stay below eps of the largest weight in every tap: nearly dead, "
        "they could be pruned. 0 is best, 1 is an all-zero layer.",
        _PAPER,
    ),
    "variance_entropy": Metric(
        "H = -sum p log10 p, p = eigenvalues of the centred K x K scatter matrix of the n filters, "
        "divided by their sum; 0 log 0 = 0",
        "0 to log10 K (0.954 for 3 x 3)",
        "How diverse the filters' patterns are. 0: all are multiples of one pattern.",
        _PAPER,
    ),
    "variance_entropy_normalized": Metric(
        "H / T_H(n), T_H(n) = 1.2618047 / (1 + exp(-0.88767525 (log2 n - 2.30436435))) "
        "- 0.31050834",
        "0 to about 1; for 9 taps and 3 filters or more",
        "About 0.9 is good, near 0 redundant, above 1 like random filters. T_H is the fitted "
        "threshold of torchconvquality and too low as a test of randomness for many filters: see "
        "p_random.",
        _PAPER,
    ),
    "variance_entropy_clean": Metric(
        "H of the filters that are not sparse",
        "0 to log10 K",
        "The diversity of what would be left after pruning the sparse filters.",
        _PAPER,
    ),
    "variance_entropy_clean_normalized": Metric(
        "H_clean / T_H(n_clean)",
        "0 to about 1; for 9 taps and 3 filters or more",
        "As variance_entropy_normalized, of what would be left after pruning.",
        _PAPER,
    ),
    "entropy_of_random": Metric(
        "E[H] of n filters of K independent normal weights",
        "0 to log10 K",
        "What the entropy would be if training had left no trace in the patterns.",
        _JOHN,
    ),
    "random_threshold": Metric(
        "T with P(H < T) = 0.01 for random filters",
        "0 to log10 K",
        "Below it the filters are not random (at the 1 % level).",
        _JOHN,
    ),
    "p_random": Metric(
        "P(H_random <= H): (n - 1) K (ln K - H ln 10) ~ chi-squared, (K - 1)(K + 2) / 2 degrees "
        "of freedom, for n >= 4 K; drawn for fewer filters",
        "0 to 1",
        "How often random filters would be as uneven as these. Below 0.01: patterns were learnt. "
        "Above: they may as well be random.",
        _JOHN,
    ),
    "orthogonality": Metric(
        "O = 1 - mean over o != o' of |cos(w_o, w_o')|, w_o = flattened output filters, zero ones "
        "left out, within a group only",
        "0 to 1",
        "How little the outputs repeat each other. 1: orthogonal; 0: all parallel.",
        _PAPER,
    ),
    "l1": Metric("sum |w|", "0 and up", "Total size of the weights.", _OWN),
    "l2": Metric("sqrt(sum w^2)", "0 and up", "Length of the weights as one vector.", _OWN),
    "max_abs": Metric("max |w|", "0 and up", "What sparsity is measured against.", _OWN),
    "norm_l2_norm": Metric(
        "sqrt(number of weights - 1)",
        "1 and up",
        "Holds no information: the length of standardised weights follows from their number. Kept "
        "for those who come from torchconvquality.",
        "torchconvquality, development version",
    ),
    "exact_zeros": Metric(
        "#{w = 0} / number of weights",
        "0 to 1",
        "The share of weights that are exactly zero, as pruning leaves them.",
        _OWN,
    ),
    "dead_outputs": Metric(
        "#{o : all filters of output o are sparse}",
        "0 to the number of outputs",
        "Outputs that see next to nothing of their input.",
        _OWN,
    ),
    "dead_inputs": Metric(
        "#{i : all filters on input i are sparse}",
        "0 to the number of inputs, those of all groups",
        "Inputs that every output ignores.",
        _OWN,
    ),
    "explained_variance": Metric(
        "p, in descending order",
        "0 to 1 each, sum 1",
        "How much of the filters' variance each eigenimage carries.",
        _PAPER,
    ),
}


def percent(share: float) -> str:
    """Write a share in percent with as many digits as it needs: "12.5 %", "0.05 %"."""
    value = 100 * share
    digits = 0 if value == 0 or value >= 99.95 else 1 if value >= 1 else 2 if value >= 0.1 else 3
    text = f"{value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def judge(layer: LayerQuality) -> Verdict:
    """Say what the figures of a layer mean."""
    if layer.reason is not None:
        return Verdict("Not scored", f"{_sentence(layer.reason)}", "none")
    if layer.max_abs == 0:
        text = f"Every weight of the {_filters(layer)} is zero: nothing of the input gets through."
        return Verdict("All weights are zero", text, "bad")
    title, text, tone = _patterns(layer)
    sparse, sparse_text, sparse_tone = _sparseness(layer)
    order: tuple[Tone, ...] = ("none", "good", "warn", "bad")
    return Verdict(
        ", ".join(part for part in (title, sparse) if part),
        " ".join(part for part in (text, sparse_text, _chance(layer)) if part),
        max((tone, sparse_tone), key=order.index),
    )


def _patterns(layer: LayerQuality) -> tuple[str, str, Tone]:
    share = layer.entropy_share
    n, taps = layer.n or 0, layer.taps
    if taps == 1:
        what = "1 × 1 filters" if layer.kernel else "single weights"
        return "No patterns to judge", f"These are {what}, so entropy does not apply.", "none"
    if n <= taps:
        filters = "1 filter" if n == 1 else f"{n} filters"
        return (
            "Too few filters to judge",
            f"{filters} of {taps} weights cannot span the patterns possible, random or not.",
            "none",
        )
    if not any(layer.explained_variance):
        return "All filters are the same", f"All {n:,} filters are one pattern.", "bad"
    if share is None or layer.p_random is None:
        return "Patterns not judged", "", "none"
    said = f"{share:.2f}"
    if layer.p_random >= RANDOM_P:
        text = f"Its patterns vary as random ones do ({said}): training left no trace in them."
        return "Like random filters", text, "warn"
    if share >= DIVERSE:
        text = f"Its patterns vary almost as much as random ones would ({said}): well used."
        return "Diverse", text, "good"
    if share >= REDUNDANT:
        return (
            "Fairly diverse",
            f"Its patterns vary less than random ones would ({said}): some shapes dominate.",
            "good",
        )
    lead = layer.explained_variance[0]
    mostly = f"{percent(lead)} of their variance is one pattern"
    if share >= ALIKE:
        text = f"Its patterns vary far less than random ones would ({said}): {mostly}."
        return "Redundant", text, "warn"
    return "Very redundant", f"Its filters are nearly all alike ({said}): {mostly}.", "bad"


def _sparseness(layer: LayerQuality) -> tuple[str, str, Tone]:
    share = layer.sparsity or 0.0
    if share == 0:
        return "", "", "none"
    noun = _noun(layer)
    text = (
        f"{percent(share)} of the {_filters(layer)} stay below {percent(layer.eps)} of the largest "
        "weight and could be pruned."
    )
    dead = " and ".join(_dead(layer))
    if dead:
        text += f" {dead[0].upper()}{dead[1:]}."
    tone: Tone = "bad" if share > 0.5 else "warn" if share >= SPARSE else "none"
    if layer.taps == 1 and tone != "none":
        tone = "warn" if share > 0.5 else "none"  # single small weights are no dead patterns
    if share > 0.95:
        phrase = f"nearly all {noun}s dead"
    elif share > 0.55:
        phrase = f"most {noun}s nearly dead"
    elif share > 0.45:
        phrase = f"half of the {noun}s nearly dead"
    elif share > 0.095:
        phrase = f"one {noun} in {_NUMBERS[round(1 / share)]} nearly dead"
    elif share >= 0.01 and layer.taps > 1:
        phrase = f"{percent(share)} of the {noun}s nearly dead"
    else:
        phrase = ""
    return phrase, text, tone


def _dead(layer: LayerQuality) -> list[str]:
    """Name the whole rows and columns of filters that are sparse."""
    said: list[str] = []
    inputs = (layer.inputs or 0) * layer.groups
    for count, whole, one, many in (
        (layer.dead_inputs, inputs, "is ignored by every output", "are ignored by every output"),
        (layer.dead_outputs, layer.out, "sees next to nothing", "see next to nothing"),
    ):
        if count:
            word = "input" if many.startswith("are") else "output"
            verb = one if count == 1 else many
            said.append(f"{count:,} of {whole:,} {word}s {verb}")
    return said


def _chance(layer: LayerQuality) -> str:
    p = layer.p_random
    if p is None or (layer.n or 0) <= layer.taps:
        return ""
    text = "p(random) < 0.001." if p < 0.001 else f"p(random) = {p:.{3 if p < 0.1 else 2}f}."
    compat = layer.variance_entropy_normalized
    if compat is not None and (compat >= 1) != (p >= RANDOM_P):
        verdict = "random" if compat >= 1 else "not random"
        text += (
            f" (torchconvquality's uncalibrated threshold would call it {verdict}: {compat:.3f}.)"
        )
    return text


def _noun(layer: LayerQuality) -> str:
    return "filter" if layer.kernel else "weight"


def _filters(layer: LayerQuality) -> str:
    n = layer.n or 0
    return f"{n:,} {_noun(layer)}{'' if n == 1 else 's'}"


def _sentence(reason: str) -> str:
    return f"{reason[0].upper()}{reason[1:]}{'' if reason.endswith('.') else '.'}"
