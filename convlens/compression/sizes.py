"""How large a model is: as a file, and as the numbers that it needs."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, fx, nn

from convlens.compression.rounding import FakeQuantize
from convlens.layers import Layer
from convlens.weights import is_torch_quantised

__all__ = ["file_size", "packed_size"]


class _Counter(io.RawIOBase):
    """A file that keeps only its length."""

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.length += size
        return size


def file_size(model: nn.Module) -> int | None:
    """Return the bytes of ``torch.save(model.state_dict(), ...)``; None where that fails."""
    counter = _Counter()
    save: Callable[..., None] = torch.save
    with suppress(Exception):  # what a library keeps in its state may refuse to be saved
        save(model.state_dict(), counter)
        return counter.length
    return None


def packed_size(model: nn.Module, layers: Iterable[Layer]) -> int:
    """Return the bytes that the numbers of a model need at least.

    Rounded weights take their bits and a float32 per scale, pruned ones one bit for the mask and
    their bits where they are not zero, whichever of dense and masked is less. Everything else
    counts as it is kept. This is a bound on what a packed format would take, not a file.
    """
    if isinstance(model, fx.GraphModule):
        used = _in_graph(model)
        if used is not None:
            return used
    total = 0.0
    weights: set[int] = set()
    for layer in layers:
        if layer.reason is not None or layer.call:
            continue
        with suppress(Exception):
            weight = layer.weight()
            bits, scales = _bits(layer, weight)
            dense = weight.numel() * bits
            sparse = weight.numel() + int(weight.count_nonzero()) * bits
            total += min(dense, sparse) / 8 + scales
            weights.update(id(tensor) for tensor in _behind(layer))
    for tensor in {id(t): t for t in (*model.parameters(), *model.buffers())}.values():
        if id(tensor) not in weights:
            total += tensor.numel() * tensor.element_size()
    return math.ceil(total)


def _in_graph(model: fx.GraphModule) -> int | None:
    """Return the bytes of all that a graph of calls reads; None of one that calls modules.

    An exported graph keeps the weights from before quantisation beside the integers it reads.
    """
    found: dict[int, Tensor] = {}
    for node in model.graph.nodes:
        if node.op == "call_module":
            called = model.get_submodule(node.target)
            if is_torch_quantised(called) or next(called.parameters(), None) is not None:
                return None
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            value = getattr(model.get_submodule(owner), name, None)
            if isinstance(value, Tensor):
                found[id(value)] = value
    return sum(t.numel() * t.element_size() for t in found.values()) or None


def _bits(layer: Layer, weight: Tensor) -> tuple[int, int]:
    """Return the bits of one weight, and the bytes of its scales."""
    chains = getattr(layer.module, "parametrizations", None)
    if isinstance(chains, nn.ModuleDict) and "weight" in chains:
        steps = [step for step in chains["weight"].children() if isinstance(step, FakeQuantize)]
        if steps:
            return steps[-1].bits, steps[-1].scale.numel() * 4
    if "int8" in "".join(layer.notes):
        return 8, weight.shape[0] * 4 if "per channel" in "".join(layer.notes) else 4
    return weight.element_size() * 8, 0


def _behind(layer: Layer) -> Iterable[Tensor]:
    """Give the tensors of a layer that its weight is made of."""
    module = layer.module
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers())}
    for name in ("weight", "weight_orig", "weight_mask"):
        if name in own:
            yield own[name]
    chains = getattr(module, "parametrizations", None)
    if isinstance(chains, nn.ModuleDict) and "weight" in chains:
        yield from chains["weight"].parameters()
        yield from chains["weight"].buffers()
