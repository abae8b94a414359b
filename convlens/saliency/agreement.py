"""How alike two attributions are: of two models, or of two methods."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from convlens.errors import ArgumentError
from convlens.saliency.result import Saliency

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Agreement", "agreement"]

Floats = npt.NDArray[np.float64]

_WINDOW, _SIGMA = 11, 1.5  # of Wang et al. 2004
_K1, _K2 = 0.01, 0.03


@dataclass(frozen=True)
class Agreement:
    """How alike two sets of maps are, input by input.

    Attributes
    ----------
    rank_correlation : numpy.ndarray
        Spearman's, over pixels, (n,): 1 where both put the pixels into the same order.
    ssim : numpy.ndarray
        Structural similarity of the maps, each scaled by its largest size, (n,).
    cosine : numpy.ndarray
        Of the angle between the two as vectors, (n,).
    absolute : bool
        Whether sizes were compared, without signs.

    Notes
    -----
    NaN where a map has one value everywhere, which is alike to nothing.
    """

    rank_correlation: Floats
    ssim: Floats
    cosine: Floats
    absolute: bool

    def __len__(self) -> int:
        return len(self.cosine)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per input."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "rank_correlation": self.rank_correlation,
                "ssim": self.ssim,
                "cosine": self.cosine,
            }
        )
        frame.index.name = "input"
        return frame

    def __repr__(self) -> str:
        means = ", ".join(
            f"{name} {_mean(values):.3f}"
            for name, values in (
                ("rank correlation", self.rank_correlation),
                ("SSIM", self.ssim),
                ("cosine", self.cosine),
            )
        )
        signs = " of sizes" if self.absolute else ""
        return f"Agreement({len(self)} inputs{signs}: {means})"

    def _repr_html_(self) -> str:
        frame: Any = self.to_frame()
        return f"<p>{escape(repr(self))}</p>{frame.round(3).to_html(max_rows=10)}"


def agreement(
    a: Saliency | npt.ArrayLike, b: Saliency | npt.ArrayLike, *, absolute: bool | None = None
) -> Agreement:
    """Compare two attributions of the same inputs: two models, or two methods.

    Parameters
    ----------
    a, b : Saliency or array
        Arrays are maps (n, height, width).
    absolute : bool, optional
        Compare sizes, without signs; default: where one of the two has no negative values.

    Returns
    -------
    Agreement

    Raises
    ------
    ArgumentError
        They are of different inputs.

    Examples
    --------
    >>> digits = convlens.demo.load()
    >>> one = convlens.attribute(digits.model, digits.images[:3], method="saliency")
    >>> two = convlens.attribute(digits.model, digits.images[:3], method="input_x_gradient")
    >>> convlens.agreement(one, one).rank_correlation.round(3).tolist()
    [1.0, 1.0, 1.0]
    >>> bool((convlens.agreement(one, two).ssim < 1).all())
    True

    Notes
    -----
    Rank correlation and SSIM as in J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS
    2018; SSIM of Z. Wang et al., IEEE Transactions on Image Processing 2004, with a Gaussian window
    of 11 pixels, or as many as the map has.
    """
    one, two = _maps(a, "a"), _maps(b, "b")
    if len(one) != len(two):
        raise ArgumentError(
            f"a is of {len(one)} inputs and b of {len(two)}: compare maps of the same inputs."
        )
    if one.shape != two.shape:
        sizes = " and ".join(" x ".join(str(s) for s in m.shape[1:]) for m in (one, two))
        raise ArgumentError(f"The maps are {sizes}: compare maps of one size.")
    if absolute is None:
        absolute = bool((one >= 0).all()) or bool((two >= 0).all())
    if absolute:
        one, two = np.abs(one), np.abs(two)
    flat, other = one.reshape(len(one), -1), two.reshape(len(two), -1)
    return Agreement(
        _correlation(_ranks(flat), _ranks(other)),
        structural_similarity(one, two, signed=not absolute),
        _cosine(flat, other),
        absolute,
    )


def structural_similarity(one: Floats, two: Floats, *, signed: bool) -> Floats:
    """Return the SSIM of maps (n, height, width), each scaled by its largest size."""
    scaled: list[Tensor] = []
    flat: list[Tensor] = []
    for maps in (one, two):
        values = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float64))
        largest = values.flatten(1).abs().amax(1)[:, None, None]
        scaled.append((values / largest.clamp(min=1e-300))[:, None])
        flat.append(values.flatten(1).amax(1) == values.flatten(1).amin(1))
    size = min(_WINDOW, *one.shape[1:])
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    line = torch.exp(-(at**2) / (2 * _SIGMA**2))
    window = (line[:, None] * line[None, :] / line.sum() ** 2)[None, None]
    x, y = scaled

    def local(values: Tensor) -> Tensor:
        return F.conv2d(values, window)

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x**2, local(y * y) - mean_y**2
    cov = local(x * y) - mean_x * mean_y
    span = 2.0 if signed else 1.0
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    found = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    found = found / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    result = found.flatten(1).mean(1)
    return torch.where(flat[0] | flat[1], torch.nan, result).numpy()


def _maps(given: Any, called: str) -> Floats:
    maps = given.map() if isinstance(given, Saliency) else np.asarray(given)
    if maps.ndim != 3 or not maps.size:
        sizes = " x ".join(str(size) for size in maps.shape)
        raise ArgumentError(f"{called} is {sizes}; it must be maps of (n, height, width).")
    return maps.astype(np.float64)


def _ranks(values: Floats) -> Floats:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, axis=1), dtype=np.float64)


def _correlation(a: Floats, b: Floats) -> Floats:
    return _cosine(a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True))


def _cosine(a: Floats, b: Floats) -> Floats:
    # of values as small as gradients can be, squares vanish
    a = a / np.maximum(np.abs(a).max(1, keepdims=True), 1e-300)
    b = b / np.maximum(np.abs(b).max(1, keepdims=True), 1e-300)
    norms = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norms > 0, (a * b).sum(1) / norms, np.nan)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
