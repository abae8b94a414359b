"""The effective weight of a module: what its forward pass really multiplies with.

Masks of ``torch.nn.utils.prune``, parametrisations, the older weight_norm and spectral_norm hooks,
quantised and fake-quantised modules of ``torch.ao`` and ``torchao``: all are evaluated afresh from
the tensors that are trained, on copies of whatever keeps state, so that reading changes nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from convlens.errors import ModelError
from convlens.tensors import dense, describe, dtype_name, is_lazy, scheme, why_unreadable

__all__ = ["Source", "describe_computed", "effective_weight", "find_source", "is_torch_quantised"]

# What torch's own parametrisations are called by those who use them. They keep the shape and draw
# no random numbers, so they need not run before somebody asks for their weight.
_TORCH_PARAMETRISATIONS = {
    "_WeightNorm": "weight_norm",
    "_SpectralNorm": "spectral_norm",
    "_Orthogonal": "orthogonal",
}
_OURS = "FakeQuantize"  # of convlens.compression: keeps the shape, draws nothing, says its scheme
_FAKE_QUANTISERS = ("weight_fake_quant", "weight_fake_quantizer")  # torch.ao, torchao


@dataclass(frozen=True)
class Source:
    """Where the weight of a module comes from, and how to read it.

    Attributes
    ----------
    read : callable
        Gives the effective weight as the module stores it: its own layout, perhaps quantised.
    stored : tuple of Tensor
        The tensors behind it; two modules that share one are tied.
    shape, dtype, device
        Of the weight as stored; an empty shape where there is none yet.
    notes : tuple of str
        What makes the effective weight differ from a plain parameter.
    reason : str or None
        Why it cannot be read; `read` must not be called then.
    """

    read: Callable[[], Tensor]
    stored: tuple[Tensor, ...]
    shape: tuple[int, ...] = ()
    dtype: str = ""
    device: str = ""
    notes: tuple[str, ...] = ()
    reason: str | None = None


def effective_weight(module: nn.Module, name: str = "weight") -> Tensor:
    """Return the weight that `module` uses, detached, dense, float, on its own device.

    Parameters
    ----------
    module : torch.nn.Module
        A module with a weight: convolution, linear, quantised, parametrised, pruned, ...
    name : str, default "weight"
        Which of its weights.

    Returns
    -------
    Tensor
        In the layout that the module stores. Of a plain parameter, a view and no copy.

    Raises
    ------
    ModelError
        If there are no values to read (lazy, on the meta device, sharded, ...).

    Examples
    --------
    >>> effective_weight(torch.nn.Conv2d(3, 8, 3)).shape
    torch.Size([8, 3, 3, 3])
    """
    source = find_source(module, name)
    if source.reason is not None:
        kind = type(module).__name__
        raise ModelError(f"The {name} of this {kind} cannot be read: {source.reason}.")
    return dense(source.read())


def find_source(module: nn.Module, name: str = "weight") -> Source:
    """Find out how the weight called `name` of `module` comes about, without changing it."""
    if is_torch_quantised(module) and callable(getattr(module, name, None)):
        return describe_computed(getattr(module, name), ())
    source = (
        _reference_quantised(module, name)
        or _parametrised(module, name)
        or _pruned(module, name)
        or _hooked(module, name)
        or _plain(module, name)
    )
    return _fake_quantised(module, name, source)


def is_torch_quantised(module: nn.Module) -> bool:
    """Whether `module` is one of torch.ao's that hold packed integers."""
    return _is_quantised(type(module))


@lru_cache(maxsize=256)
def _is_quantised(kind: type[nn.Module]) -> bool:
    homes = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.sparse")
    return any(
        base.__module__.startswith(homes) and ".reference." not in base.__module__
        for base in kind.__mro__
    )


def _plain(module: nn.Module, name: str) -> Source:
    try:
        value = getattr(module, name, None)
    except Exception as error:  # noqa: BLE001 - a property of the user's may raise anything
        return _unreadable(f"its {name} could not be read ({_said(error)})")
    if not isinstance(value, Tensor):
        return _unreadable(f"its {name} is {'missing' if value is None else _a(value)}, no tensor")
    return _described(lambda: getattr(module, name), value, (value,), describe_it=True)


def _pruned(module: nn.Module, name: str) -> Source | None:
    """``torch.nn.utils.prune``: the mask times the trained weight, not the product it cached."""
    original, mask = (_tensor(module, f"{name}_{part}") for part in ("orig", "mask"))
    if original is None or mask is None:
        return None

    def read() -> Tensor:
        trained, keep = (_tensor(module, f"{name}_{part}") for part in ("orig", "mask"))
        if trained is None or keep is None:  # prune.remove was called since
            return _plain(module, name).read()
        return trained.detach() * keep.detach().to(trained.dtype)

    return _described(read, original, (original,), ("pruned: mask applied",))


def _hooked(module: nn.Module, name: str) -> Source | None:
    """Read the older weight_norm and spectral_norm, whose hook sets the attribute at a call."""
    hooks = cast("Mapping[int, Any]", getattr(module, "_forward_pre_hooks", {}))
    for hook in hooks.values():
        if getattr(hook, "name", None) != name:
            continue
        if type(hook).__name__ == "WeightNorm":
            return _weight_normed(module, name, cast("int", hook.dim))
        if type(hook).__name__ == "SpectralNorm":
            original = find_source(module, f"{name}_orig")

            def divided(hook: Any = hook) -> Tensor:
                with torch.no_grad():
                    return hook.compute_weight(module, do_power_iteration=False)

            return replace(original, read=divided, notes=("spectral_norm", *original.notes))
    return None


def _weight_normed(module: nn.Module, name: str, dim: int) -> Source:
    direction, length = find_source(module, f"{name}_v"), find_source(module, f"{name}_g")

    def read() -> Tensor:
        with torch.no_grad():
            return torch.ops.aten._weight_norm(direction.read(), length.read(), dim)

    return replace(direction, read=read, notes=("weight_norm", *direction.notes))


def _parametrised(module: nn.Module, name: str) -> Source | None:
    chains = getattr(module, "parametrizations", None)
    if not isinstance(chains, nn.ModuleDict) or name not in chains:
        return None
    chain = chains[name]
    steps = [step for key, step in chain.named_children() if key.isdigit()]
    notes = tuple(_parametrisation(step) for step in steps)
    stored = tuple(chain.parameters(recurse=False)) or tuple(chain.buffers(recurse=False))
    for tensor in stored:
        if (reason := why_unreadable(tensor)) is not None:
            return _unreadable(reason, stored, notes)
    known = all(type(step).__name__ in (*_TORCH_PARAMETRISATIONS, _OURS) for step in steps)

    def read() -> Tensor:
        # The copy takes the training flag off (spectral_norm then leaves its vectors alone) and
        # receives whatever the parametrisation writes; the user's own never notices.
        with _no_trace(stored[0].device, random=not known):
            return _detached_copy(chain).eval()()

    if not known:  # of somebody else's we know neither the shape nor whether it runs at all
        return describe_computed(read, stored, notes)
    widest = max(stored, key=lambda tensor: tensor.numel())
    return _described(read, widest, stored, notes)


def _fake_quantised(module: nn.Module, name: str, inner: Source) -> Source:
    """Quantisation-aware training: the weight rounded as the next forward pass would round it."""
    found = (getattr(module, attribute, None) for attribute in _FAKE_QUANTISERS)
    quantiser = next((q for q in found if isinstance(q, nn.Module)), None)
    if quantiser is None or isinstance(quantiser, nn.Identity) or name != "weight" or inner.reason:
        return inner
    folded = getattr(module, "bn", None)

    def rounded() -> tuple[Tensor, nn.Module]:
        # A copy, since an observer that is switched on learns from every weight it sees.
        with _no_trace(inner.stored[0].device, random=False):
            twin = _detached_copy(quantiser)
            weight = inner.read()
            if isinstance(folded, nn.Module):
                weight = weight * _batchnorm_scale(folded).reshape(-1, *[1] * (weight.dim() - 1))
            return twin(weight), twin

    try:
        _, twin = rounded()
    except Exception as error:  # noqa: BLE001 - a quantiser of the user's may raise anything
        reason = f"its {type(quantiser).__name__} raised {_said(error)}"
        return _unreadable(reason, inner.stored, inner.notes)
    notes = (_fake_scheme(twin),)
    if isinstance(folded, nn.Module):
        notes += ("batch norm folded in",)
    return replace(inner, read=lambda: rounded()[0], notes=inner.notes + notes)


def _reference_quantised(module: nn.Module, name: str) -> Source | None:
    """``torch.ao.nn.quantized.reference``: a float weight with the scales to round it by."""
    read = getattr(module, "get_weight", None)
    ours = any(".quantized.reference." in base.__module__ for base in type(module).__mro__)
    if name != "weight" or not ours or not callable(read):
        return None
    stored = _tensor(module, "weight")
    scale, zero = _tensor(module, "weight_scale"), _tensor(module, "weight_zero_point")
    notes: tuple[str, ...] = ()
    if scale is not None:
        kept = dtype_name(cast("torch.dtype", module.weight_dtype)).removeprefix("q")
        per = "per tensor" if scale.numel() == 1 else "per channel"
        neutral = 128 if kept == "uint8" else 0
        notes = (f"rounded to {scheme(kept, per, scale, zero, neutral)}",)
    return describe_computed(
        cast("Callable[[], Tensor]", read), () if stored is None else (stored,), notes
    )


def describe_computed(
    read: Callable[[], Tensor], stored: tuple[Tensor, ...], notes: tuple[str, ...] = ()
) -> Source:
    """Describe a weight that only exists once it is computed, by computing it."""
    try:
        with torch.no_grad():
            value = read()
    except Exception as error:  # noqa: BLE001 - code of the user's may raise anything
        return _unreadable(f"it could not be computed ({_said(error)})", stored, notes)
    if not isinstance(value, Tensor):
        return _unreadable(f"it came out as {_a(value)}, no tensor", stored, notes)
    return _described(read, value, stored, notes, describe_it=True)


def _described(
    read: Callable[[], Tensor],
    like: Tensor,
    stored: tuple[Tensor, ...],
    notes: tuple[str, ...] = (),
    *,
    describe_it: bool = False,
) -> Source:
    reason = why_unreadable(like)
    lazy = is_lazy(like)
    more = describe(like) if describe_it and reason is None else ()
    return Source(
        read=read,
        stored=stored,
        shape=() if lazy else tuple(like.shape),
        dtype=dtype_name(like.dtype),
        device=str(like.device),
        notes=notes + more,
        reason=reason,
    )


def _unreadable(
    reason: str, stored: tuple[Tensor, ...] = (), notes: tuple[str, ...] = ()
) -> Source:
    def read() -> Tensor:
        raise ModelError(f"This weight cannot be read: {reason}.")

    like = stored[0] if stored else None
    return Source(
        read=read,
        stored=stored,
        dtype="" if like is None else dtype_name(like.dtype),
        device="" if like is None else str(like.device),
        notes=notes,
        reason=reason,
    )


def _detached_copy(module: nn.Module) -> nn.Module:
    """Copy a small module with its tensors, those included that deepcopy refuses (non-leaves)."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(module, memo)


@contextmanager
def _no_trace(device: torch.device, *, random: bool) -> Generator[None]:
    """No autograd graph, no autocast; and no random numbers spent where unknown code may draw."""
    with ExitStack() as inside:
        inside.enter_context(torch.no_grad())
        if device.type in ("cpu", "cuda"):
            inside.enter_context(torch.autocast(device.type, enabled=False))
        if random:
            devices = [device] if device.type == "cuda" else []
            fork = cast("Any", torch.random.fork_rng(devices=devices))
            inside.enter_context(fork)
        yield


def _batchnorm_scale(norm: nn.Module) -> Tensor:
    variance, gain = _tensor(norm, "running_var"), _tensor(norm, "weight")
    if variance is None:
        raise ModelError("the batch norm folded into it keeps no running variance")
    # As torch.ao computes it, to the last bit: the rounding that follows is a step function.
    spread = torch.sqrt(variance + cast("float", norm.eps))
    return 1 / spread if gain is None else gain / spread


def _fake_scheme(quantiser: nn.Module) -> str:
    enabled = getattr(quantiser, "fake_quant_enabled", getattr(quantiser, "enabled", True))
    if not bool(enabled):
        return "fake quantisation is switched off"
    config = getattr(quantiser, "config", None)  # torchao keeps the scheme there
    dtype = getattr(quantiser, "dtype", None) or getattr(config, "dtype", None)
    scale = _tensor(quantiser, "scale")
    if not isinstance(dtype, torch.dtype) or scale is None:
        return f"fake-quantised by {type(quantiser).__name__}"
    kept = dtype_name(dtype).removeprefix("q")
    per = "per tensor" if scale.numel() == 1 else "per channel"
    group = getattr(config, "group_size", None) if _is_grouped(config) else None
    if group is not None:
        per = f"per group of {group}"
    neutral = 128 if kept == "uint8" else 0
    return (
        f"fake-quantised to {scheme(kept, per, scale, _tensor(quantiser, 'zero_point'), neutral)}"
    )


def _is_grouped(config: object) -> bool:
    return type(getattr(config, "granularity", None)).__name__ == "PerGroup"


def _parametrisation(step: nn.Module) -> str:
    kind = type(step).__name__
    if kind in _TORCH_PARAMETRISATIONS:
        return _TORCH_PARAMETRISATIONS[kind]
    if kind == _OURS and callable(told := getattr(step, "scheme", None)):
        return str(told())
    own = sum(parameter.numel() for parameter in step.parameters())
    return f"parametrised by {kind}" + (f" ({own:,} parameters of its own)" if own else "")


def _tensor(module: nn.Module, name: str) -> Tensor | None:
    value = getattr(module, name, None)
    return value if isinstance(value, Tensor) else None


def _a(value: object) -> str:
    return f"a {type(value).__name__}"


def _said(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
