"""The measures of similarity, each declared once: menu, form and docs come from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from convlens.errors import ArgumentError, nearest
from convlens.parameters import Parameter, fill_in
from convlens.similarity import profiles
from convlens.similarity.profiles import Factor, Sample

__all__ = ["MEASURES", "Measure", "Reduce", "find_measure"]

Reduce = Literal["flatten", "mean", "positions"]
Invariance = Literal["units", "scale", "samples", "translation", "rotation", "linear"]
Values = Mapping[str, Any]
Profile = Tensor | Factor
# Both matrices are (rows, columns); the second where a measure has two directions.
Combined = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Measure:
    """One way to compare what two layers make of the same samples.

    Attributes
    ----------
    name, title
        As given to ``measure=``; as shown.
    equation, source
        In plain text; the paper it is from.
    needs
        What the number of samples n must be against the number of features p.
    invariant
        What may be done to one layer's features without changing the value: permute its "units",
        "scale" them together, permute the "samples" of both layers together, "translation" by a
        constant, "rotation", any invertible "linear" map.
    identical
        The value of a layer with itself: 1 of a similarity, 0 of a distance.
    batched
        Whether it is a sum over batches, so that no more than one batch is ever held.
    reduce
        The reduction of activations that suits it.
    parameters
        Declared one by one.
    kernel
        What it needs of features that are too many to keep: the "linear" Gram matrix, the
        "correlation" of samples, or the "features" all the same.
    directed
        Whether (row, column) differs from (column, row).
    """

    name: str
    title: str
    equation: str
    source: str
    needs: str
    invariant: frozenset[Invariance]
    profile: Callable[[Sample, Values], Profile] = field(repr=False)
    combine: Callable[[Sequence[Any], Sequence[Any]], Combined] = field(repr=False)
    identical: float = 1.0
    batched: bool = False
    reduce: Reduce = "flatten"
    parameters: tuple[Parameter, ...] = ()
    kernel: Literal["linear", "correlation", "features"] = "linear"
    directed: bool = False

    def values(self, given: Values) -> dict[str, Any]:
        """Return every parameter's value, defaults filled in, those given checked."""
        return fill_in(self.name, self.parameters, given)

    def kernel_of(self, values: Values) -> str:
        """Return the kernel that it needs with these parameters."""
        if self.kernel == "correlation" and values.get("distance") != "correlation":
            return "linear"
        return self.kernel

    def to_json(self) -> dict[str, Any]:
        """Return the declaration for a menu and a form."""
        return {
            "name": self.name,
            "title": self.title,
            "equation": self.equation,
            "source": self.source,
            "needs": self.needs,
            "invariant": sorted(self.invariant),
            "identical": self.identical,
            "batched": self.batched,
            "reduce": self.reduce,
            "directed": self.directed,
            "parameters": [parameter.to_json() for parameter in self.parameters],
        }


def _cosine(rows: Sequence[Tensor], columns: Sequence[Tensor]) -> Combined:
    return profiles.cosines(rows, columns), None


def _bases(score: Callable[[Tensor], Tensor]) -> Callable[[Any, Any], Combined]:
    return lambda rows, columns: (profiles.combine_bases(rows, columns, score), None)


def _nuclear(after: Callable[[Tensor], Tensor]) -> Callable[[Any, Any], Combined]:
    def combine(rows: Sequence[Factor], columns: Sequence[Factor]) -> Combined:
        return after(profiles.combine_bases(rows, columns, profiles.nuclear_norm)), None

    return combine


def _rbf(sample: Sample, values: Values) -> Tensor:
    kernel = profiles.rbf(sample.linear(), values["t"])
    return profiles.debiased(kernel) if values["debiased"] else profiles.biased(kernel)


def _rsa(sample: Sample, values: Values) -> Tensor:
    ranked = values["correlation"] == "spearman"
    return profiles.dissimilarities(sample, values["distance"], ranked=ranked)


_EVERY: frozenset[Invariance] = frozenset({"units", "scale", "samples"})
_CENTRED: frozenset[Invariance] = frozenset({*_EVERY, "translation"})
_ROTATED: frozenset[Invariance] = frozenset({*_CENTRED, "rotation"})
_LINEAR: frozenset[Invariance] = frozenset({*_ROTATED, "linear"})

_KORNBLITH = "Kornblith, Norouzi, Lee & Hinton, ICML 2019"
_MORE_SAMPLES = "more samples than features: n of at least 5 to 10 p"

_DECLARED = (
    Measure(
        name="cka",
        title="CKA, minibatch",
        equation="sum_b HSIC1(K_b, L_b) / sqrt(sum_b HSIC1(K_b, K_b) sum_b HSIC1(L_b, L_b))",
        source="Nguyen, Raghu & Kornblith, ICLR 2021, eq. 2 and 3",
        needs="batches of at least 4 samples; any number of features",
        invariant=_ROTATED,
        profile=lambda sample, values: profiles.debiased(sample.linear()),
        combine=_cosine,
        batched=True,
    ),
    Measure(
        name="cka_debiased",
        title="CKA, debiased",
        equation="HSIC1(K, L) / sqrt(HSIC1(K, K) HSIC1(L, L))",
        source="Song et al., JMLR 2012, eq. 5; " + _KORNBLITH,
        needs="at least 4 samples, all in memory at once as an n x n matrix",
        invariant=_ROTATED,
        profile=lambda sample, values: profiles.debiased(sample.linear()),
        combine=_cosine,
    ),
    Measure(
        name="cka_biased",
        title="CKA, biased",
        equation="<HKH, HLH> / (|HKH| |HLH|), K = X X^T",
        source=_KORNBLITH + ", eq. 3",
        needs="many more samples than features: with few it is high whatever the layers hold",
        invariant=_ROTATED,
        profile=lambda sample, values: profiles.biased(sample.linear()),
        combine=_cosine,
    ),
    Measure(
        name="cka_rbf",
        title="CKA, RBF kernel",
        equation="CKA of K_ij = exp(-|x_i - x_j|^2 / (2 t^2 median))",
        source=_KORNBLITH + ", section 3",
        needs="at least 4 samples, all in memory at once as an n x n matrix",
        invariant=_ROTATED,
        profile=_rbf,
        combine=_cosine,
        parameters=(
            Parameter(
                "t", "float", 1.0, "width of the kernel, in medians of the distances", high=100.0
            ),
            Parameter("debiased", "bool", False, "take the diagonal's bias out (U-centring)"),
        ),
    ),
    Measure(
        name="mean_cca",
        title="Mean CCA",
        equation="sum rho_i / min(r_x, r_y), rho = singular values of Q_x^T Q_y",
        source=_KORNBLITH + ", section 3; Raghu et al., NeurIPS 2017",
        needs=_MORE_SAMPLES,
        invariant=_LINEAR,
        profile=lambda sample, values: profiles.basis(sample),
        combine=_bases(profiles.mean_correlation),
        reduce="positions",
    ),
    Measure(
        name="r2_cca",
        title="R² CCA",
        equation="|Q_x^T Q_y|_F^2 / min(r_x, r_y)",
        source=_KORNBLITH + ", table 1",
        needs=_MORE_SAMPLES,
        invariant=_LINEAR,
        profile=lambda sample, values: profiles.basis(sample),
        combine=_bases(profiles.mean_squared_correlation),
        reduce="positions",
    ),
    Measure(
        name="svcca",
        title="SVCCA",
        equation="mean CCA of the principal directions that hold 99% of the variance",
        source="Raghu, Gilmer, Yosinski & Sohl-Dickstein, NeurIPS 2017",
        needs="more samples than principal directions kept",
        invariant=_ROTATED,
        profile=lambda sample, values: profiles.basis(sample, variance=values["variance"]),
        combine=_bases(profiles.mean_correlation),
        reduce="positions",
        parameters=(
            Parameter("variance", "float", 0.99, "share of the centred variance to keep", high=1.0),
        ),
    ),
    Measure(
        name="pwcca",
        title="PWCCA",
        equation="sum alpha_i rho_i / sum alpha_i, alpha_i = sum_j |<h_i, x_j>|",
        source="Morcos, Raghu & Bengio, NeurIPS 2018, eq. 2 and 3",
        needs=_MORE_SAMPLES,
        invariant=_CENTRED,
        profile=lambda sample, values: profiles.basis(sample, weights=True),
        combine=profiles.projection_weighted,
        reduce="positions",
        kernel="features",
        directed=True,
    ),
    Measure(
        name="nbs",
        title="NBS (normalised Bures)",
        equation="|X^T Y|_* / (|X|_F |Y|_F), X and Y centred",
        source="Tang et al., arXiv 2011.13375",
        needs="any number of features; high with few samples whatever the layers hold",
        invariant=_ROTATED,
        profile=lambda sample, values: profiles.factor(sample),
        combine=_nuclear(lambda nbs: nbs),
    ),
    Measure(
        name="procrustes",
        title="Procrustes distance",
        equation="sqrt(2 - 2 NBS)",
        source="Ding, Denain & Steinhardt, NeurIPS 2021; Williams et al., NeurIPS 2021",
        needs="any number of features; low with few samples whatever the layers hold",
        invariant=_ROTATED,
        profile=lambda sample, values: profiles.factor(sample),
        combine=_nuclear(lambda nbs: (2 - 2 * nbs).clamp(min=0).sqrt()),
        identical=0.0,
    ),
    Measure(
        name="angular",
        title="Angular shape distance",
        equation="arccos NBS, in radians",
        source="Williams, Kunz, Kornblith & Linderman, NeurIPS 2021",
        needs="any number of features; low with few samples whatever the layers hold",
        invariant=_ROTATED,
        profile=lambda sample, values: profiles.factor(sample),
        combine=_nuclear(lambda nbs: nbs.clamp(-1, 1).arccos()),
        identical=0.0,
    ),
    Measure(
        name="rsa",
        title="RSA",
        equation="correlation of the upper triangles of two dissimilarity matrices",
        source="Kriegeskorte, Mur & Bandettini, Front. Syst. Neurosci. 2008",
        needs="at least 4 samples, all in memory at once as an n x n matrix",
        invariant=_EVERY,
        profile=_rsa,
        combine=_cosine,
        parameters=(
            Parameter(
                "distance",
                "choice",
                "correlation",
                "how unlike two samples are: 1 - Pearson over features, or Euclidean (then also "
                "invariant to rotation and translation)",
                choices=("correlation", "euclidean"),
            ),
            Parameter(
                "correlation",
                "choice",
                "spearman",
                "what compares the two matrices: ranks, or values",
                choices=("spearman", "pearson"),
            ),
        ),
        kernel="correlation",
    ),
)

MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in _DECLARED}
"""Every measure by the name that ``compare(measure=...)`` takes."""


def find_measure(name: object) -> Measure:
    """Return the measure of that name, or say which there are."""
    if isinstance(name, Measure):
        return name
    found = MEASURES.get(name) if isinstance(name, str) else None
    if found is None:
        raise ArgumentError(
            f"measure is {name!r}; it must be one of {', '.join(MEASURES)}."
            f"{nearest(name, MEASURES)}"
        )
    return found
