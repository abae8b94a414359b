"""The module tree of a model: what counts as a model, without its wrappers, each module once."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from convlens.errors import ModelError
from convlens.weights import is_torch_quantised

__all__ = ["Node", "Tree", "check_model", "kind_of", "walk"]

# Wrappers that add nothing to the weights: class name -> (where the model is, what to call it).
_WRAPPERS = {
    "DataParallel": ("module", "DataParallel"),
    "DistributedDataParallel": ("module", "DistributedDataParallel"),
    "OptimizedModule": ("_orig_mod", "torch.compile"),
    "FullyShardedDataParallel": ("_fsdp_wrapped_module", "FullyShardedDataParallel"),
    "CheckpointWrapper": ("_checkpoint_wrapped_module", "CheckpointWrapper"),
    "OffloadWrapper": ("_checkpoint_wrapped_module", "OffloadWrapper"),
}


@dataclass(eq=False)
class Node:
    """One module of the tree.

    Attributes
    ----------
    name : str
        Dotted, without the steps into wrappers; "" for the model itself.
    module : torch.nn.Module
    parent : Node or None
    aliases : list of str
        Other names under which the same module is registered.
    sealed : bool
        Inside a TorchScript module, whose submodules run where no hook sees them.
    sharded : bool
        Inside FullyShardedDataParallel, which keeps the weights elsewhere.
    """

    name: str
    module: nn.Module
    parent: Node | None = None
    aliases: list[str] = field(default_factory=list[str])
    sealed: bool = False
    sharded: bool = False

    def all_aliases(self) -> list[str]:
        """Its own other names, and those it has because a module around it has several."""
        names = list(self.aliases)
        around = self.parent
        while around is not None:
            rest = self.name[len(around.name) :]
            names += [alias + rest for alias in around.aliases]
            around = around.parent
        return names


@dataclass(frozen=True)
class Tree:
    """The model without its outer wrappers, its modules in order, and what was unwrapped."""

    model: nn.Module
    nodes: tuple[Node, ...]
    notes: tuple[str, ...]


def kind_of(module: nn.Module) -> str:
    """Return the class name that its author gave it: not torch's wrapping of that class."""
    original = getattr(module, "original_name", None)
    if isinstance(module, torch.jit.ScriptModule) and isinstance(original, str):
        return original
    kind = type(module)
    if kind.__name__.startswith("Parametrized") and isinstance(
        getattr(module, "parametrizations", None), nn.ModuleDict
    ):
        kind = kind.__mro__[1]
    bases = [base for base in kind.__mro__ if base.__name__ != "FSDPModule"]
    if len(bases) < len(kind.__mro__):  # fully_shard makes a class FSDPConv2d of both
        kind = bases[1]
    return kind.__name__


def walk(model: nn.Module) -> Tree:
    """List every module of `model` once, in the order of registration, parents first."""
    notes: list[str] = []
    root, wrappers = _unwrap(model)
    notes += [f"unwrapped from {wrapper}" for wrapper in wrappers]
    nodes: list[Node] = []
    seen: dict[int, Node] = {}
    # A stack and no recursion: depth is the user's affair, cycles included.
    first = Node("", root, sharded="FullyShardedDataParallel" in wrappers)
    stack: list[tuple[Node, list[str]]] = [(first, [])]
    while stack:
        node, unwrapped = stack.pop()
        known = seen.get(id(node.module))
        if known is not None:
            known.aliases.append(node.name)
            continue
        seen[id(node.module)] = node
        nodes.append(node)
        notes += [f"{node.name}: unwrapped from {wrapper}" for wrapper in unwrapped]
        if getattr(node.module, "_compiled_call_impl", None) is not None:
            notes.append(f"{node.name or kind_of(root)}: compiled in place, run uncompiled here")
        sealed = node.sealed or isinstance(node.module, torch.jit.ScriptModule)
        for name, child in reversed(_children(node.module)):
            inner, around = _unwrap(child)
            step = f"{node.name}.{name}" if node.name else name
            sharded = node.sharded or "FullyShardedDataParallel" in around
            stack.append((Node(step, inner, node, [], sealed, sharded), around))
    return Tree(root, tuple(nodes), tuple(notes))


def check_model(model: object) -> nn.Module:
    """Return `model` if it is a module, else say what it is and what to pass instead.

    Raises
    ------
    ModelError
        If it is anything but a ``torch.nn.Module`` instance.
    """
    if isinstance(model, nn.Module):
        return model
    raise ModelError(f"convlens expects a torch.nn.Module, but got {_mistaken(model)}.")


def _unwrap(module: nn.Module) -> tuple[nn.Module, list[str]]:
    wrappers: list[str] = []
    while True:
        for base in type(module).__mro__:
            if base.__name__ in _WRAPPERS and base.__module__.startswith("torch."):
                attribute, called = _WRAPPERS[base.__name__]
                break
        else:
            return module, wrappers
        inner = getattr(module, attribute, None)
        if not isinstance(inner, nn.Module):
            return module, wrappers
        wrappers.append(called)
        module = inner


def _children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    if is_torch_quantised(module):
        return []  # holders of packed weights, which belong to this module
    registered = cast("Mapping[str, nn.Module | None]", getattr(module, "_modules", {}))
    return [
        (name, child)
        for name, child in registered.items()
        # The parametrisations are part of how this module gets its weight, no layers.
        if child is not None
        and not (name == "parametrizations" and is_parametrized(module))
        and name != "__nncf_hooks"  # likewise: convlens.nncf_hooks reads them
    ]


def _mistaken(model: object) -> str:
    if isinstance(model, (str, Path)):
        return (
            f"the path {str(model)!r}: build the model, load the file into it with "
            "model.load_state_dict(torch.load(path, weights_only=True)), and pass the model"
        )
    if isinstance(model, type):
        called = f"{model.__name__}(...)"
        return f"the class {model.__name__}: make one of it, {called}, and pass that"
    if isinstance(model, Mapping):
        return _mapping(cast("Mapping[Any, Any]", model))
    if isinstance(model, Tensor):
        return f"a tensor of shape {tuple(model.shape)}: pass the module that holds it"
    kind = type(model).__name__
    if _holds_modules(model):
        return f"a {kind} of modules: pass one of them, or torch.nn.Sequential(*modules)"
    if kind == "ExportedProgram":
        return "an ExportedProgram: pass its module, program.module()"
    if inspect.isroutine(model) or kind == "ScriptFunction":
        name: str = getattr(model, "__name__", kind)
        return f"the function {name}: pass the model that it returns or uses"
    if model is None:
        return "None: pass the model itself"
    inner = [
        name
        for name in ("model", "module", "network", "net", "backbone")
        if isinstance(getattr(model, name, None), nn.Module)
    ]
    hint = f": pass its .{inner[0]}" if inner else ""
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}{hint}"


def _holds_modules(model: object) -> bool:
    if not isinstance(model, (list, tuple)):
        return False
    return any(isinstance(part, nn.Module) for part in cast("Iterable[object]", model))


def _mapping(model: Mapping[Any, Any]) -> str:
    kind = type(model).__name__
    tensors = sum(isinstance(value, Tensor) for value in model.values())
    if tensors:
        return (
            f"a state dict ({kind} of {tensors} tensors): build the model, call "
            "model.load_state_dict(...) with it, and pass the model"
        )
    for key in ("model", "module", "net"):
        if isinstance(model.get(key), nn.Module):
            return f"a {kind}: pass its [{key!r}]"
    nested = ("state_dict", "model_state_dict", "model", "weights")
    for key in nested:
        if isinstance(model.get(key), Mapping):
            return (
                f"a checkpoint ({kind}): build the model, call "
                f"model.load_state_dict(checkpoint[{key!r}]), and pass the model"
            )
    return f"a {kind}: pass the model itself"
