"""All figures of one weight, put together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from convlens import measures
from convlens.orthogonality import orthogonality_of, pays_to_round
from convlens.randomness import compat_threshold, random_entropy
from convlens.scores import NOT_YET, LayerQuality

__all__ = ["figures_of", "finite", "renewed"]

_OF_RANDOM = ("entropy_of_random", "random_threshold", "p_random")
_CLEAN = ("variance_entropy_clean", "variance_entropy_clean_normalized")
_ONE_TAP = "one weight per filter: there is no pattern to measure"
_NINE_TAPS = "defined for 9 taps (3 × 3) only: compare with entropy_of_random"
_FEW = "needs at least 3 filters"
_NONE_LEFT = "every filter is sparse"
_NO_SPREAD = "all filters are the same: there is no spread to test"
_ONE_FILTER = "needs at least 2 filters"
_DEPTHWISE = "depthwise: each output has an input of its own"
_FEW_OUTPUTS = "needs at least 2 outputs that are not zero"
_FEW_IN_GROUP = "no group has 2 outputs that are not zero"


def figures_of(
    weight: Tensor, key: str, groups: int, eps: float, orthogonality: bool
) -> LayerQuality:
    """Measure a weight (out, inputs / groups, *kernel)."""
    out, inputs, *kernel = weight.shape
    found = _Found(key=key, n=out * inputs, kernel=tuple(kernel), eps=eps)
    found.update(out=out, inputs=inputs, groups=groups)
    if weight.numel() == 0:
        found["reason"] = f"no filters: its weight has shape {tuple(weight.shape)}"
        return found.frozen()
    with measures.undisturbed(weight):
        rows = measures.as_rows(weight)
        rounds = orthogonality and pays_to_round(rows.view(out, -1), groups)
        look = measures.look_at(rows, out if rounds else 0)
        if not finite(look, rows):
            found["reason"] = _not_finite(rows)
            return found.frozen()
        zeros = measures.zeros_in(rows) if look.has_zeros else 0
        found.update(max_abs=look.high, exact_zeros=zeros / rows.numel())
        rows, factor = measures.scaled(rows, look.high)
        if factor != 1:
            look = measures.look_at(rows, out if rounds else 0)
        moments = measures.moments_of(rows, look.moments)
        found.update(l1=look.l1 * factor, l2=moments.length * factor, moments=moments)
        _add_entropy(found, moments)
        _add_sparsity(found, rows, look, moments)
        _add_orthogonality(found, rows, orthogonality, look.rounded)
        return found.frozen()


def renewed(known: LayerQuality, weight: Tensor, eps: float, orthogonality: bool) -> LayerQuality:
    """Measure what is not known of a weight yet, or all if it changed."""
    moments, high = known.moments, known.max_abs
    if moments is None or high is None:
        return replace(known, eps=eps)
    with measures.undisturbed(weight):
        rows, factor = measures.scaled(measures.as_rows(weight), high)
        look = measures.look_at(rows)
        if (look.high * factor, look.l1 * factor) != (high, known.l1):
            wanted = orthogonality or not known.pending
            return figures_of(weight, known.key, known.groups, eps, wanted)
        found = _Found(vars(known), eps=eps)
        anew = (*(known.pending if orthogonality else ()), *(_CLEAN if eps != known.eps else ()))
        found["omitted"] = {k: why for k, why in known.omitted.items() if k not in anew}
        if eps != known.eps:
            _add_sparsity(found, rows, look, moments)
        if orthogonality and known.pending:
            _add_orthogonality(found, rows, asked=True)
        return found.frozen()


class _Found(dict[str, Any]):
    """Figures of a layer as they come in, and why some do not."""

    def omit(self, names: Iterable[str], why: str) -> None:
        self.setdefault("omitted", {}).update(dict.fromkeys(names, why))

    def frozen(self) -> LayerQuality:
        return LayerQuality(**dict[str, Any](self))


def _add_entropy(found: _Found, moments: measures.Moments) -> None:
    """Add what the eigenvalues of all filters tell."""
    n, taps = moments.count, len(moments.total)
    if taps == 1:
        found.omit(("variance_entropy", "variance_entropy_normalized", *_OF_RANDOM), _ONE_TAP)
        return
    entropy, shares = measures.variance_entropy(moments)
    found.update(variance_entropy=entropy, explained_variance=shares)
    _add_normalized(found, "variance_entropy_normalized", entropy, n, taps)
    null = random_entropy(n, taps)
    if null is None:
        found.omit(_OF_RANDOM, _ONE_FILTER)
        return
    found.update(entropy_of_random=null.expected, random_threshold=null.threshold)
    if any(shares):
        found["p_random"] = null.p_value(entropy)
    else:
        found.omit(("p_random",), _NO_SPREAD)


def _add_sparsity(
    found: _Found, rows: Tensor, look: measures.Look, moments: measures.Moments
) -> None:
    """Add what depends on eps."""
    found.update(dict.fromkeys(_CLEAN))
    n, taps = rows.shape
    # Nothing is below eps times nothing, and yet every filter of an all-zero layer is dead.
    limit = look.high * found["eps"] if look.high else 1.0
    mask, part = measures.sparse_in(rows, look, limit)
    channels = mask.reshape(found["groups"], -1, found["inputs"])
    count = int(np.count_nonzero(mask))
    found.update(
        sparsity=count / n,
        dead_outputs=int(np.count_nonzero(channels.all(axis=2))),
        dead_inputs=int(np.count_nonzero(channels.all(axis=1))),
    )
    if taps == 1 or count == n:
        found.omit(_CLEAN, _ONE_TAP if taps == 1 else _NONE_LEFT)
        return
    clean = measures.clean_moments(rows, moments, mask, part)
    same = clean is moments
    entropy = found["variance_entropy"] if same else measures.variance_entropy(clean)[0]
    found["variance_entropy_clean"] = entropy
    _add_normalized(found, "variance_entropy_clean_normalized", entropy, clean.count, taps)


def _add_normalized(found: _Found, name: str, entropy: float, n: int, taps: int) -> None:
    """Add an entropy divided by T_H(n), or why that is not defined."""
    threshold = compat_threshold(n)
    if taps == 9 and threshold is not None:
        found[name] = entropy / threshold
    else:
        found.omit((name,), _FEW if taps == 9 else _NINE_TAPS)


def _add_orthogonality(
    found: _Found, rows: Tensor, asked: bool, rounded: measures.Rounded | None = None
) -> None:
    both = ("orthogonality", "orthogonality_excluded")
    if not asked:
        found.omit(both, NOT_YET)
    elif found["groups"] > 1 and found["inputs"] == 1:
        found.omit(both, _DEPTHWISE)
    else:
        whole = rows.view(found["out"], -1)
        value, excluded = orthogonality_of(whole, found["groups"], rounded)
        found.update(orthogonality=value, orthogonality_excluded=excluded)
        if value is None:
            found.omit(both[:1], _FEW_OUTPUTS if found["groups"] == 1 else _FEW_IN_GROUP)


def finite(look: measures.Look, rows: Tensor) -> bool:
    """Whether all weights are; their sum may overflow all the same."""
    return math.isfinite(look.l1) or bool(rows.isfinite().all())


def _not_finite(rows: Tensor) -> str:
    nan = int(rows.isnan().sum())
    infinite = int(rows.isinf().sum())
    said = [f"{count:,} {word}" for count, word in ((nan, "NaN"), (infinite, "infinite")) if count]
    return f"{' and '.join(said)} among its {rows.numel():,} weights"
