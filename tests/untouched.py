"""A fingerprint of all that an analysis could change about a model, and around it.

It shares no code with ``convlens.untouched``, so that both cannot be wrong in the same way.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Fingerprint = dict[str, Any]


def fingerprint(model: nn.Module) -> Fingerprint:
    """Return a flat mapping from a readable place to what was found there.

    Covered are, of every module: class, training flag, every attribute by identity, every container
    in them by content, all kinds of hooks; of every tensor: identity, values, ``_version``, memory,
    device, dtype, stride, ``requires_grad``, gradient; and the random generators, the grad mode,
    the default dtype and the global hooks.
    """
    found: Fingerprint = {}
    for name, module in model.named_modules(remove_duplicate=False):
        place = name or "(model)"
        found[f"{place}: class"] = _Same(type(module))
        found[f"{place}: training"] = getattr(module, "training", None)
        _attributes(f"{place}", vars(module), found, set())
        own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        for tensor_name, tensor in own:
            found.update(_tensor(f"{place}.{tensor_name}", tensor))
    found["torch rng"] = _digest(torch.get_rng_state().tolist())
    found["python rng"] = _digest(random.getstate())
    drawn: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - the one that is global
    found["numpy rng"] = _digest((drawn["state"]["key"].tolist(), drawn["state"]["pos"]))
    if torch.cuda.is_available():
        found["cuda rng"] = _digest([state.tolist() for state in torch.cuda.get_rng_state_all()])
    found["grad mode"] = torch.is_grad_enabled()
    found["default dtype"] = torch.get_default_dtype()
    for name, value in vars(nn.modules.module).items():
        if name.startswith("_global_"):
            found[name] = [*value.items()] if isinstance(value, dict) else value
    return found


def differences(before: Fingerprint, after: Fingerprint) -> list[str]:
    """Return the places that differ, for a failure message that says what was changed."""
    return [
        f"{place}: {before.get(place, 'missing')!r} became {after.get(place, 'missing')!r}"
        for place in sorted(before.keys() | after.keys())
        if place not in before or place not in after or before[place] != after[place]
    ]


@contextmanager
def left_untouched(model: nn.Module) -> Generator[None]:
    """Fail unless `model` is the same on the way out, exception or not."""
    before = fingerprint(model)
    try:
        yield
    finally:
        changed = differences(before, fingerprint(model))
        assert not changed, "\n".join(changed)


def _digest(state: object) -> str:
    return sha256(repr(state).encode()).hexdigest()[:8]


class _Same:
    """Equal to itself wrapped again, and to nothing else; keeps the object alive."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self.value).__name__} at {id(self.value):#x}>"


class _Values:
    """The numbers of a tensor, NaN equal to NaN."""

    def __init__(self, tensor: Tensor) -> None:
        plain = tensor.detach()
        if plain.is_quantized or type(plain).dequantize is not Tensor.dequantize:
            plain = plain.dequantize()
        if plain.layout is not torch.strided:
            plain = plain.to_dense()
        self.tensor = plain.clone()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Values) or self.tensor.shape != other.tensor.shape:
            return False
        if not self.tensor.is_floating_point():
            return bool(torch.equal(self.tensor, other.tensor))
        one, two = self.tensor.double(), other.tensor.double()
        return bool(torch.equal(one.isnan(), two.isnan())) and bool(
            torch.equal(one.nan_to_num(), two.nan_to_num())
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"values {self.tensor.flatten()[:4]}"


class _Memory:
    """The storage behind a tensor; kept alive, so that its address is not given out again."""

    def __init__(self, tensor: Tensor) -> None:
        self.storage = tensor.untyped_storage()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Memory) and self.storage._cdata == other.storage._cdata

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"memory {self.storage._cdata:#x}"


def _tensor(place: str, tensor: Tensor) -> Fingerprint:
    found: Fingerprint = {f"{place}: identity": _Same(tensor), f"{place}: dtype": tensor.dtype}
    if isinstance(tensor, nn.parameter.UninitializedParameter):
        return found
    found[f"{place}: device"] = tensor.device
    found[f"{place}: shape"] = tensor.shape
    found[f"{place}: requires_grad"] = tensor.requires_grad
    found[f"{place}: version"] = tensor._version
    if not tensor.is_meta:
        found[f"{place}: values"] = _Values(tensor)
    if tensor.layout is torch.strided:
        found[f"{place}: stride"] = tensor.stride()
        found[f"{place}: memory"] = _Memory(tensor)
    if tensor.is_leaf and tensor.grad is not None:
        found |= _tensor(f"{place}.grad", tensor.grad)
    return found


def _attributes(place: str, value: Any, found: Fingerprint, seen: set[int]) -> None:
    """Record a container by the identity of what it holds, and the containers in it likewise."""
    if id(value) in seen:
        return
    seen.add(id(value))
    items: Iterable[tuple[Any, Any]]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    held = list(items)
    if isinstance(value, set):
        found[f"{place}: members"] = sorted(map(repr, value))
        return
    found[f"{place}: keys"] = [key for key, _ in held]
    for key, item in held:
        found[f"{place}[{key!r}]"] = item if isinstance(item, (int, float, str)) else _Same(item)
        if isinstance(item, (dict, list, set, deque)):
            _attributes(f"{place}[{key!r}]", item, found, seen)
        elif isinstance(item, Tensor) and not isinstance(item, nn.Parameter):
            found.update(_tensor(f"{place}[{key!r}]", item))
