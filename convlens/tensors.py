"""Any tensor that can hold a weight (quantised, sparse, a subclass, ...) as a dense float tensor.

Nothing but torch is imported: the types of torchao, DTensor and others are known by what they
carry, so that a model that does not use them costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

__all__ = ["dense", "describe", "dtype_name", "has_own_dispatch", "is_lazy", "why_unreadable"]


def is_lazy(tensor: object) -> bool:
    """Whether `tensor` is a parameter of a lazy module that has seen no input yet."""
    return isinstance(tensor, (UninitializedParameter, UninitializedBuffer))


def dtype_name(dtype: torch.dtype) -> str:
    """``"float32"`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def why_unreadable(tensor: Tensor) -> str | None:
    """Why `tensor` has no values that could be read as floats, in words; None where it has."""
    kind = type(tensor)
    if is_lazy(tensor):
        return "lazy: not initialised yet, run the model once on an input"
    if tensor.is_meta or kind.__name__ == "FakeTensor":
        return "meta device: no values"
    if kind.__module__.startswith(("torch.distributed.tensor", "torch.distributed._tensor")):
        return "DTensor: sharded over processes, gather it with full_tensor() first"
    if tensor.is_nested:
        return "nested tensor: its rows differ in size"
    if tensor.is_quantized or _reads(kind, "dequantize") or _reads(kind, "to_dense"):
        return None
    if has_own_dispatch(kind):
        return f"{kind.__name__}: a tensor type that offers no dequantize()"
    if tensor.is_complex():
        return "complex numbers: the measures are of real ones"
    if not tensor.is_floating_point():
        return f"{dtype_name(tensor.dtype)} numbers without a known scale"
    if tensor.dtype.itemsize == 1 and "x2" in str(tensor.dtype):
        return f"{dtype_name(tensor.dtype)}: packed numbers without a known scale"
    return None


def dense(tensor: Tensor) -> Tensor:
    """Return `tensor` detached, dense and of an ordinary float type.

    A strided float tensor comes back as a view on the same memory. float16, bfloat16 and float64
    stay what they are; quantised types are dequantised; float8 becomes float32.
    """
    tensor = tensor.detach()
    kind = type(tensor)
    with torch.no_grad():
        if tensor.is_quantized or _reads(kind, "dequantize"):
            tensor = tensor.dequantize()
        elif _reads(kind, "to_dense"):
            tensor = tensor.to_dense()
        elif kind is not Tensor:
            tensor = tensor.as_subclass(Tensor)
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
        if tensor.dtype.itemsize == 1:
            tensor = tensor.float()
    return tensor.detach()


def describe(tensor: Tensor) -> tuple[str, ...]:
    """Say how `tensor` is stored, where that is out of the ordinary.

    Quantisation is told in words: ``"int8 per channel, symmetric, scales 0.001 to 0.02"``.
    """
    if tensor.is_quantized:
        return (_torch_quantisation(tensor),)
    if hasattr(tensor, "qdata") and isinstance(getattr(tensor, "scale", None), Tensor):
        return (_torchao_quantisation(tensor),)
    if type(tensor) not in (Tensor, nn.Parameter) and _reads(type(tensor), "dequantize"):
        return (f"{type(tensor).__name__}, dequantised",)
    if tensor.layout is not torch.strided:
        return (f"{str(tensor.layout).removeprefix('torch.').lstrip('_')} storage, made dense",)
    if tensor.dtype.itemsize == 1 and tensor.is_floating_point():
        return (f"{dtype_name(tensor.dtype)}, read as float32",)
    return ()


def scheme(
    stored: str,
    granularity: str,
    scales: Tensor | Sequence[float],
    zero_points: Tensor | Sequence[float] | None,
    neutral: float = 0,
) -> str:
    """Say a quantisation scheme in words.

    Parameters
    ----------
    stored : str
        The stored type, ``"int8"``.
    granularity : str
        What shares a scale: ``"per tensor"``, ``"per channel"``, ``"per group of 32"``.
    scales, zero_points : tensor or sequence of float
        Any shape; no zero points means symmetric.
    neutral : float, default 0
        The zero point that makes the scheme symmetric (128 for uint8).
    """
    scale = torch.as_tensor(scales).detach().float().flatten()
    zero = None if zero_points is None else torch.as_tensor(zero_points).detach().float().flatten()
    symmetric = zero is None or bool((zero == neutral).all())
    words = f"{stored} {granularity}, {'symmetric' if symmetric else 'asymmetric'}"
    words += f", {_span('scale', scale)}"
    if zero is not None and not symmetric:
        words += f", {_span('zero point', zero)}"
    return words


def _span(word: str, values: Tensor) -> str:
    if values.numel() == 0 or values.is_meta:
        return f"{word}s unknown"
    low, high = values.min().item(), values.max().item()
    return f"{word} {low:.3g}" if low == high else f"{word}s {low:.3g} to {high:.3g}"


def _torch_quantisation(tensor: Tensor) -> str:
    stored = {"qint8": "int8", "quint8": "uint8", "qint32": "int32", "quint4x2": "uint4"}
    name = dtype_name(tensor.dtype)
    neutral = 128 if tensor.dtype is torch.quint8 else 0
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        per, scales, zeros = "per tensor", [tensor.q_scale()], [tensor.q_zero_point()]
    else:
        per = "per channel"
        scales, zeros = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
    return scheme(stored.get(name, name), per, scales, zeros, neutral)


def _torchao_quantisation(tensor: Tensor) -> str:
    data: object = getattr(tensor, "qdata")  # noqa: B009 - not an attribute of Tensor
    scale: Tensor = getattr(tensor, "scale")  # noqa: B009
    zero: object = getattr(tensor, "zero_point", None)
    target = getattr(tensor, "target_dtype", None)  # int4 kept in int8
    if not isinstance(target, torch.dtype):
        target = data.dtype if isinstance(data, Tensor) else tensor.dtype
    rows = tensor.shape[0] if tensor.dim() else 1
    if scale.numel() == 1:
        per = "per tensor"
    elif scale.numel() == rows:
        per = "per channel"
    else:
        block = getattr(tensor, "block_size", None)
        per = f"per group of {block[-1]}" if isinstance(block, (list, tuple)) else "per group"
    return scheme(dtype_name(target), per, scale, zero if isinstance(zero, Tensor) else None)


def _reads(kind: type[Tensor], method: str) -> bool:
    """Whether this subclass of Tensor brings its own `method`."""
    return getattr(kind, method) is not getattr(Tensor, method)


def has_own_dispatch(kind: type[Tensor]) -> bool:
    """Whether this subclass of Tensor answers every operation itself."""
    # Such a subclass may hold its numbers anywhere; its own storage can be empty.
    plain = getattr(Tensor, "__torch_dispatch__", None)
    return getattr(kind, "__torch_dispatch__", None) is not plain
