"""What an input is compared with: nothing, a mean, a blurred or noisy picture, or one given."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from convlens.errors import ArgumentError, nearest

__all__ = ["KINDS", "Baseline", "BaselineSpec"]

KINDS = ("zero", "mean", "blur", "noise")
"""The baselines that have a name."""

BaselineSpec = Literal["zero", "mean", "blur", "noise"] | float | Tensor


class Baseline:
    """A baseline as given, checked against the inputs.

    Parameters
    ----------
    given : str, float or Tensor
        "zero"; "mean", of each input and channel; "blur", the input without its details; "noise",
        normal with the mean and spread of each input's channel; a number; or a tensor that
        broadcasts to the inputs.
    inputs : Tensor
        All of them, (n, ...).
    seed : int
        Of the noise.
    """

    def __init__(self, given: Any, inputs: Tensor, seed: int) -> None:
        self._given = given
        self._seed = seed
        self._tensor: Tensor | None = None
        if isinstance(given, str):
            if given not in KINDS:
                raise ArgumentError(
                    f"baseline is {given!r}; it must be one of {', '.join(KINDS)}, a number or a "
                    f"tensor.{nearest(given, KINDS)}"
                )
            if given == "blur" and inputs.dim() != 4:
                raise ArgumentError("baseline='blur' needs images: inputs of (n, channels, h, w).")
            return
        if isinstance(given, bool) or not isinstance(given, (int, float, Tensor)):
            raise ArgumentError(
                f"baseline is a {type(given).__name__}; it must be one of {', '.join(KINDS)}, a "
                "number or a tensor."
            )
        tensor = torch.as_tensor(given, dtype=inputs.dtype).detach().to(inputs.device)
        self._several = tensor.dim() == inputs.dim() and tensor.shape[0] not in (1, len(inputs))
        try:
            one = inputs[:1].shape if self._several else inputs.shape
            torch.broadcast_shapes(tensor.shape[1:] if self._several else tensor.shape, one)
            fits = tensor.dim() <= inputs.dim()
        except RuntimeError:
            fits = False
        if not fits:
            raise ArgumentError(
                f"baseline is {_sizes(tensor)} and does not fit inputs of {_sizes(inputs)}."
            )
        self._tensor = tensor

    @property
    def name(self) -> str:
        """What it is called in a result."""
        if isinstance(self._given, Tensor):
            return "given"
        return self._given if isinstance(self._given, str) else f"{self._given:g}"

    def of(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the baseline of each input in `x`, whose places among all are `index`."""
        if self._tensor is not None:
            if self._several:
                raise ArgumentError(
                    f"baseline holds {len(self._tensor)} examples, and there are not as many "
                    "inputs: several baselines for each are for the Shap methods."
                )
            own = self._tensor.dim() == x.dim() and len(self._tensor) > 1
            return (self._tensor[index] if own else self._tensor).expand_as(x)
        if self._given == "mean":
            return _channel_means(x).expand_as(x)
        if self._given == "blur":
            return blurred(x)
        if self._given == "noise":
            parts = [self._noise(one, 1, int(i)) for one, i in zip(x, index, strict=True)]
            return torch.cat(parts)
        return torch.zeros_like(x)

    def several(self, x: Tensor, index: int, count: int) -> Tensor:
        """Return baselines of one input `x`, (1, ...), to average over: `count` of those drawn."""
        if self._tensor is not None and self._several:
            return self._tensor.expand(len(self._tensor), *x.shape[1:])
        if self._given == "noise":
            return self._noise(x[0], count, index)
        own = self.of(x, torch.tensor([index]))
        return own.expand(2, *x.shape[1:])

    def _noise(self, x: Tensor, count: int, index: int) -> Tensor:
        generator = torch.Generator().manual_seed(self._seed + 1_000_003 * index)
        drawn = torch.randn((count, *x.shape), generator=generator).to(x)
        spread = x.flatten(1).std(1, correction=0) if x.dim() > 1 else x.std(correction=0)
        return _channel_means(x[None]) + drawn * spread.view(-1, *(1,) * (x.dim() - 1))


def blurred(x: Tensor) -> Tensor:
    """Return images (n, c, h, w) without details: a Gaussian as wide as an eighth of the side."""
    sigma = max(1.0, min(x.shape[-2:]) / 8)
    for dim in (-2, -1):
        size = x.shape[dim]
        # up to the border and no further: reflection needs as many pixels as it adds
        reach = min(int(3 * sigma), size - 1)
        at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
        kernel = torch.exp(-(at**2) / (2 * sigma**2))
        kernel = (kernel / kernel.sum()).view(1, 1, -1)
        lines = x.movedim(dim, -1)
        padded = F.pad(lines.reshape(-1, 1, size), (reach, reach), mode="reflect")
        x = F.conv1d(padded, kernel).reshape(lines.shape).movedim(-1, dim)
    return x.contiguous()


def _channel_means(x: Tensor) -> Tensor:
    dims = tuple(range(2, x.dim())) or (1,)
    return x.mean(dims, keepdim=True)


def _sizes(tensor: Tensor) -> str:
    return " x ".join(str(size) for size in tensor.shape) or "a single number"
