"""One layer of the reference compressed, all others as they were."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from convlens.compression.fusion import Norm, norm_scale
from convlens.compression.matching import Pair
from convlens.errors import ArgumentError
from convlens.forms import Form, form_of
from convlens.weights import is_torch_quantised

__all__ = ["replacement", "swapped"]

Run = Callable[..., Any]

_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def replacement(pair: Pair, norm: Norm | None) -> tuple[Run | None, str | None]:
    """Return what computes the compressed layer on float inputs, or why nothing does.

    The model's own layer where it takes what the reference's does; else the reference's with the
    weight of the model's, a folded batch norm divided out.
    """
    if not pair.same_shape:
        return None, "its weight has another shape in the reference"
    module = pair.layer.module
    beside = any(note.endswith("by NNCF") for note in pair.layer.notes)  # not in the module itself
    whole = not (isinstance(module, fx.GraphModule) or is_torch_quantised(module) or beside)
    if whole and norm is None and type(module).__name__ != "Identity" and _alike(pair):
        return module, None
    form = form_of(pair.reference.module)
    if form is None or isinstance(pair.reference.module, fx.GraphModule) or form.bilinear:
        return None, "the reference's layer takes its weight in a way that convlens does not know"
    weight = pair.layer.weight()
    if norm is not None:
        scale = norm_scale(norm)
        if scale is None or not bool((scale != 0).all()):
            return None, "a batch norm with a channel of 0 is folded into it"
        scale = scale.to(weight.device).reshape(-1, *[1] * (weight.dim() - 1))
        weight = (weight.double() / scale).to(weight.dtype)
    return _with_weight(pair.reference.module, form, weight), None


@contextmanager
def swapped(module: nn.Module, call: int, run: Run, seen: Run) -> Generator[None]:
    """Let `run` answer for one call of `module`; `seen` is told both outputs."""
    ours = threading.get_ident()
    calls = 0

    def answer(_: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        nonlocal calls
        if threading.get_ident() != ours:
            return None
        calls += 1
        if calls - 1 != call:
            return None
        other = run(*args, **kwargs)
        seen(output, other)
        return other

    handle = nn.Module.register_forward_hook(module, answer, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _alike(pair: Pair) -> bool:
    """Whether both modules do the same to their inputs, their weights aside."""
    one, other = pair.layer.module, pair.reference.module
    names = ("stride", "padding", "dilation", "groups", "in_features", "out_features")
    return all(getattr(one, name, None) == getattr(other, name, None) for name in names)


def _with_weight(module: nn.Module, form: Form, arranged: Tensor) -> Run:
    conv = cast("Any", module)
    stored = _stored(form, arranged)

    def weight_for(x: Tensor) -> Tensor:
        return stored.to(x.device, x.dtype)

    def run(x: Tensor, *rest: Any, **named: Any) -> Tensor:
        with torch.no_grad():
            if form.dims == 0:
                return F.linear(x, weight_for(x), conv.bias)
            if not form.transposed:
                return conv._conv_forward(x, weight_for(x), conv.bias)
            if rest or named:
                raise ArgumentError("a transposed convolution was called with an output size")
            parts = (conv.stride, conv.padding, conv.output_padding, conv.groups, conv.dilation)
            return _TRANSPOSED[form.dims](x, weight_for(x), conv.bias, *parts)

    return run


def _stored(form: Form, arranged: Tensor) -> Tensor:
    """Return a weight of (out, in / groups, *kernel) in the layout that the module stores."""
    if not form.transposed:
        return arranged
    apart = arranged.reshape(form.groups, -1, *arranged.shape[1:])
    return apart.transpose(1, 2).flatten(0, 1)
